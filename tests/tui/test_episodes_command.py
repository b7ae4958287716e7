"""`nightschool episodes`, `feedback` and `undo` over a real runtime on a home that a crash left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.events import EpisodeStarted, RunFinished, StepFinished, TaskAccepted
from agent.home import Home
from agent.journal import Journal
from memory.types import Message, Step, TokenSignal, TokenUsage, ToolCall, ToolResult
from skills.preimages import Preimages

FIRST, SECOND, CUT_OFF = "ep_20260101T090000_aaaa", "ep_20260101T100000_bbbb", "ep_20260102T090000_cccc"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Three episodes in the journal, none in the tables; the last one was cut off."""
    monkeypatch.setenv("NIGHTSCHOOL_CACHE", str(tmp_path / "cache"))
    home = Home(tmp_path / "home")
    home.create()
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    journal = Journal(home.journal)
    for name, task in (
        (FIRST, "Count the errors in app.log."),
        (SECOND, "Bake bread."),
        (CUT_OFF, "Tidy up."),
    ):
        journal.append(
            EpisodeStarted(
                episode_id=name,
                episode_kind="task",
                workspace=str(workspace),
                model="m",
                tools=("run_shell",),
            )
        )
        user = Message(role="user", content=task, provenance="user")
        journal.append(TaskAccepted(episode_id=name, message=user))
        call = ToolCall(id="call_0_0", name="run_shell", arguments={"command": "grep -c ERROR app.log"})
        content = 'Let me count.\n<tool_call>{"name": "run_shell"}</tool_call>'
        message = Message(role="assistant", content=content, provenance="model", tool_calls=(call,))
        output = "212\n\x1b[31mred\x1b[0m [bold]plain[/bold]\n" + "line\n" * 50
        step = Step(
            index=0,
            message=message,
            results=(ToolResult(call_id=call.id, name=call.name, ok=True, content=output),),
            usage=TokenUsage(prompt=900, prefilled=120, generated=31),
            signals=(TokenSignal(token_id=1, text="L", logprob=-0.25, entropy=0.5, margin=0.9),),
        )
        journal.append(StepFinished(episode_id=name, step=step))
        if name != CUT_OFF:
            journal.append(RunFinished(episode_id=name, outcome="success", answer="There are 212."))
    journal.close()
    return home


@pytest.fixture
def run(home: Home, monkeypatch: pytest.MonkeyPatch, command_line: Callable[[Path], Run]) -> Run:
    """Runs `nightschool` with arguments: exit code, standard output, standard error."""

    return command_line(home.root)


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_list_shows_what_the_journal_has(run: Run) -> None:
    code, out, err = run("episodes", "list", "--json")
    assert (code, err) == (0, "")
    found = lines(out)
    assert [one["id"] for one in found] == [CUT_OFF, SECOND, FIRST]
    assert [one["outcome"] for one in found] == ["interrupted", "success", "success"]
    assert found[1]["answer"] == "There are 212."
    assert len(lines(run("episodes", "list", "--json", "--limit", "1")[1])) == 1
    code, out, _ = run("episodes", "list")
    assert code == 0
    assert FIRST in out
    assert "Bake bread." in out


def test_show_prints_the_conversation_as_plain_text(run: Run) -> None:
    code, out, _ = run("episodes", "show", "ep_20260101T09")
    assert code == 0
    for part in (FIRST, "Count the errors", "Let me count.", "grep -c ERROR app.log", "212", "more lines"):
        assert part in out
    for part in ("There are 212.", "31 generated", "120 of 900", "entropy 0.50", "[bold]plain[/bold]"):
        assert part in out
    assert "<tool_call>" not in out
    assert "\x1b[31m" not in out
    (found,) = lines(run("episodes", "show", FIRST, "--json")[1])
    assert found["id"] == FIRST
    assert found["outcome"] == "success"
    assert found["turns"][0]["steps"][0]["signals"][0]["entropy"] == 0.5
    assert lines(run("episodes", "show", "last", "--json")[1])[0]["id"] == CUT_OFF


def test_search_says_why(run: Run) -> None:
    code, out, _ = run("episodes", "search", "errors", "app.log", "--json")
    assert code == 0
    assert lines(out)[0]["id"] == FIRST
    assert "app.log" in lines(out)[0]["reason"]
    assert "app.log" in run("episodes", "search", "app.log")[1]
    assert run("episodes", "search", "zebra")[:2] == (0, "Nothing found.\n")
    assert run("episodes", "search", "zebra", "--json")[:2] == (0, "")


def test_feedback_is_kept_in_the_users_words(run: Run) -> None:
    code, out, _ = run("feedback", SECOND, "bad", "Rye,", "not", "wheat.", "--json")
    assert (code, lines(out)) == (0, [{"id": SECOND, "rating": "bad", "text": "Rye, not wheat."}])
    assert "Rye, not wheat." in run("episodes", "show", SECOND)[1]
    assert lines(run("episodes", "search", "rye", "--json")[1])[0]["id"] == SECOND


def test_rebuild_mends_a_damaged_table(run: Run, home: Home) -> None:
    run("feedback", FIRST, "good")
    for file in (home.lancedb / "episodes.lance" / "_versions").iterdir():
        file.write_bytes(b"damaged")
    code, _, err = run("episodes", "list")
    assert code == 2
    assert "nightschool episodes rebuild" in err
    assert lines(run("episodes", "rebuild", "--json")[1]) == [{"episodes": 3}]
    found = lines(run("episodes", "list", "--json")[1])
    assert [len(one["feedback"]) for one in found] == [0, 0, 1]


def test_undo_shows_the_diff_and_asks(run: Run, home: Home, tmp_path: Path) -> None:
    file = tmp_path / "workspace" / "a.txt"
    file.write_text("before\n")
    preimages = Preimages(home.preimages / FIRST)
    preimages.snapshot(tmp_path / "workspace")
    file.write_text("after\n")
    preimages.settle(tmp_path / "workspace")
    code, out, err = run("undo", FIRST)
    assert code == 1
    assert "-after" in out
    assert "+before" in out
    assert "--yes" in err
    assert file.read_text() == "after\n"
    code, out, _ = run("undo", FIRST, "--yes", "--json")
    assert code == 0
    assert lines(out)[0]["changes"][0]["path"] == "a.txt"
    assert file.read_text() == "before\n"
    assert run("undo", FIRST, "--yes")[0] == 2
    assert lines(run("episodes", "show", FIRST, "--json")[1])[0]["undone"]


def test_undo_says_what_it_cannot_take_back(run: Run, home: Home, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    (workspace / "a.txt").write_text("before\n")
    preimages = Preimages(home.preimages / FIRST)
    preimages.snapshot(workspace)
    (workspace / "a.txt").write_text("after\n")
    preimages.settle(workspace)
    for pack in (home.preimages / FIRST).glob("*.pack"):
        pack.write_bytes(b"")
    code, out, err = run("undo", FIRST, "--yes")
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot restore a.txt" in out
    assert "cannot be taken back" in err
    (workspace / "new.txt").write_text("new\n")
    preimages = Preimages(home.preimages / FIRST)
    preimages.keep(workspace / "other.txt")
    (workspace / "other.txt").write_text("new\n")
    code, out, err = run("undo", FIRST, "--yes")
    assert (code, err) == (0, "")
    assert "remove other.txt" in out
    assert "Took back 1 file." in out
    assert (workspace / "a.txt").read_text() == "after\n"
    assert not (workspace / "other.txt").exists()


def test_undo_in_a_workspace_that_is_gone(run: Run, home: Home, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    (workspace / "a.txt").write_text("before\n")
    preimages = Preimages(home.preimages / FIRST)
    preimages.snapshot(workspace)
    (workspace / "a.txt").write_text("after\n")
    preimages.settle(workspace)
    workspace.rename(tmp_path / "moved")
    code, _, err = run("undo", FIRST, "--yes")
    assert (code, err.count("\n")) == (2, 1)
    assert str(workspace) in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("episodes", "show", "nope"), "no episode `nope`"),
        (("episodes", "show", "ep_2026"), "fits 3 episodes"),
        (("episodes", "show", "' OR 1=1"), "no episode"),
        (("episodes", "list", "--limit", "0"), "--limit"),
        (("episodes", "search", " "), "nothing to search"),
        (("feedback", "last", "meh"), "good"),
        (("feedback", "nope", "good"), "no episode `nope`"),
        (("undo", "nope"), "no episode `nope`"),
        (("undo", SECOND, "--yes"), "changed nothing"),
    ],
)
def test_bad_input_is_one_sentence(run: Run, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.startswith("nightschool: ")
    assert len(err.splitlines()) == 1
