"""A day on the real Qwen 0.5B, through the console script, in a fresh home and workspace.

One task is done once; each test looks at what it left or goes on from there. Undo comes last.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.command_line import CommandLine, Ended

pytestmark = pytest.mark.real_model

TASK = "Create a file named greeting.txt that contains exactly this line: Good morning, school"


@dataclass(frozen=True)
class Day:
    """The home after its first task."""

    nightschool: CommandLine
    """Runs commands on it."""
    workspace: Path
    """Where the task worked."""
    run: Ended
    """How `run --json` ended."""

    @property
    def finished(self) -> dict[str, Any]:
        """The closing event."""
        return self.run.lines[-1]

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The steps, as the stream told them."""
        return [line["step"] for line in self.run.lines if line["kind"] == "step_finished"]

    @property
    def episode_id(self) -> str:
        """The task's episode."""
        found: str = self.finished["episode_id"]
        return found


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    folder = tmp_path_factory.mktemp("day")
    workspace = folder / "workspace"
    workspace.mkdir()
    nightschool = CommandLine(folder / "home", folder)
    return Day(nightschool, workspace, nightschool("run", TASK, "--workspace", str(workspace), "--json"))


def test_a_task_is_done_with_tools(day: Day) -> None:
    assert (day.run.code, day.finished["outcome"], day.finished["reason"]) == (0, "success", ""), day.run
    assert (day.workspace / "greeting.txt").read_text(encoding="utf-8").strip() == "Good morning, school"
    assert [path.name for path in day.workspace.iterdir()] == ["greeting.txt"]
    results = [result for step in day.steps for result in step["results"]]
    assert any(result["ok"] for result in results)


def test_the_stream_is_json_lines_that_end_in_run_finished(day: Day) -> None:
    kinds = [line["kind"] for line in day.run.lines]
    assert kinds.count("run_finished") == 1
    assert kinds[-1] == "run_finished"
    durable = [kind for kind in kinds if kind not in ("token", "progress")]
    assert durable[:3] == ["episode_started", "task_accepted", "step_started"]
    # what is durable has its place in the journal, and comes in its order
    places = [line["seq"] for line in day.run.lines if line["seq"]]
    assert len(places) == len(durable) and places == sorted(set(places))
    assert {line["episode_id"] for line in day.run.lines if line["kind"] != "progress"} == {day.episode_id}
    assert day.run.err == ""


def test_the_cost_and_the_uncertainty_are_told(day: Day) -> None:
    finished, steps = day.finished, day.steps
    assert finished["steps"] == len(steps) >= 2
    for name in ("prompt", "prefilled", "generated"):
        assert finished["tokens"][name] == sum(step["usage"][name] for step in steps) > 0
    assert 0 < finished["seconds"] < 120
    signals = finished["signals"]
    assert signals["tokens"] > 0
    assert signals["min_logprob"] <= signals["mean_logprob"] <= 0
    assert 0 <= signals["mean_entropy"] <= signals["max_entropy"]
    assert 0 <= signals["min_margin"] <= signals["mean_margin"] <= 1
    for step in steps:
        assert len(step["signals"]) == step["usage"]["generated"]


def test_later_steps_compute_only_what_is_new(day: Day) -> None:
    # closing words are asked for in a prompt of their own, which shares nothing with the conversation
    usages = [step["usage"] for step in day.steps if step["message"]["tool_calls"]]
    first, *later = usages
    assert later
    for usage in later:
        assert usage["prefilled"] < usage["prompt"] / 2, (first, later)


def test_the_episode_is_listed_shown_and_found(day: Day) -> None:
    [brief] = day.nightschool.ok("episodes", "list", "--json").lines
    assert (brief["id"], brief["outcome"], brief["task"]) == (day.episode_id, "success", TASK)
    assert brief["workspace"] == str(day.workspace)
    assert brief["tokens"] == day.finished["tokens"]
    day.nightschool.ok("remember", "The library closes at six on Fridays.")
    hits = day.nightschool.ok("episodes", "search", "saying hello in a text file", "--json").lines
    assert hits[0]["id"] == day.episode_id
    hits = day.nightschool.ok("episodes", "search", "when are books lent out", "--json").lines
    assert "library" in hits[0]["task"]
    [whole] = day.nightschool.ok("episodes", "show", day.episode_id, "--json").lines
    provenances = {m["message"]["provenance"] for t in whole["turns"] for m in t["steps"]}
    assert provenances == {"model"}
    assert "Good morning" in day.nightschool.ok("episodes", "show", day.episode_id[:20]).out


def test_feedback_is_kept_with_the_episode(day: Day) -> None:
    given = day.nightschool.ok("feedback", day.episode_id, "bad", "It should say", "good evening.", "--json")
    assert given.lines == [{"id": day.episode_id, "rating": "bad", "text": "It should say good evening."}]
    [whole] = day.nightschool.ok("episodes", "show", day.episode_id, "--json").lines
    assert [(f["rating"], f["text"]) for f in whole["feedback"]] == [("bad", "It should say good evening.")]


def test_plain_questions_leave_no_episode(day: Day, tmp_path: Path) -> None:
    before = [line["id"] for line in day.nightschool.ok("episodes", "list", "--json").lines]
    [answer] = day.nightschool.ok("ask", "What is the capital of France?", "--no-memory", "--json").lines
    assert "Paris" in answer["answer"]
    assert answer["recalled"] == []
    assert answer["signals"]["tokens"] > 0
    batch = tmp_path / "questions.jsonl"
    questions = {"sum": "What is 2 + 3? Answer with the number.", "sea": "Is sea water salty? Yes or no."}
    rows = [json.dumps({"id": name, "question": question}) for name, question in questions.items()]
    batch.write_text("\n".join(rows) + "\n", encoding="utf-8")
    answers = {line["id"]: line for line in day.nightschool.ok("ask", "--batch", str(batch)).lines}
    assert list(answers) == list(questions)
    assert "5" in answers["sum"]["answer"]
    assert "yes" in answers["sea"]["answer"].lower()
    assert all(line["signals"]["tokens"] > 0 for line in answers.values())
    assert [line["id"] for line in day.nightschool.ok("episodes", "list", "--json").lines] == before


def test_a_scripted_conversation_is_one_episode(day: Day, tmp_path: Path) -> None:
    script = tmp_path / "script.txt"
    script.write_text("My cat is called Figaro.\n\nWhat is my cat called?\n", encoding="utf-8")
    lines = day.nightschool.ok("chat", "--script", str(script), "--json").lines
    ends = [line for line in lines if line["kind"] == "run_finished"]
    assert len({end["episode_id"] for end in ends}) == 1
    assert [end["outcome"] for end in ends] == ["success", "success"]
    assert "Figaro" in ends[-1]["answer"]
    [whole] = day.nightschool.ok("episodes", "show", "last", "--json").lines
    assert (whole["kind"], len(whole["turns"])) == ("conversation", 2)


def test_undo_takes_the_file_back(day: Day) -> None:
    [undone] = day.nightschool.ok("undo", day.episode_id, "--yes", "--json").lines
    assert undone["id"] == day.episode_id
    assert [(c["path"], c["action"]) for c in undone["changes"]] == [("greeting.txt", "remove")]
    assert list(day.workspace.iterdir()) == []
    again = day.nightschool("undo", day.episode_id, "--yes")
    assert again.code == 2
    assert "undone already" in again.err
    [whole] = day.nightschool.ok("episodes", "show", day.episode_id, "--json").lines
    assert whole["undone"] is True
