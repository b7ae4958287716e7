"""Pure helpers of the app."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.types import TokenSignal
from tui import files
from tui.markup import chunks, parts, visible_text
from tui.slash import COMMANDS, NoSuchCommand, matching, parse
from tui.themes import DAY, NIGHT, for_terminal
from tui.tint import level, tinted
from tui.wording import call_diff, clean, diff_counts, duration, one_line, short_count, short_path, summary


def kinds(raw: str, finished: bool = False) -> list[tuple[str, str, bool]]:
    return [(part.kind, part.text, part.open) for part in parts(raw, finished)]


def test_text_thought_and_call() -> None:
    raw = '<think>a</think>\n\nb <tool_call>{"name": "x"}</tool_call>'
    assert kinds(raw, True) == [
        ("thought", "a", False),
        ("text", "b ", False),
        ("call", '{"name": "x"}', False),
    ]
    assert visible_text(raw) == "b"


def test_a_thought_that_the_template_opened() -> None:
    assert kinds("hm</think>yes", True) == [("thought", "hm", False), ("text", "yes", False)]


@pytest.mark.parametrize("raw", ["text <", "text <tool", "text <tool_cal", "text <thin", "text <function"])
def test_half_a_tag_is_held_back(raw: str) -> None:
    assert kinds(raw) == [("text", "text ", True)]


def test_a_smaller_sign_is_only_that_in_the_end() -> None:
    assert kinds("a <", True) == [("text", "a <", False)]
    assert kinds("a < b") == [("text", "a < b", True)]


@pytest.mark.parametrize(
    "raw", ['{"name": "run"', '```json\n{"name": "x", "arguments"', '[{"name":"x"', '<function=x>{"a"']
)
def test_calls_in_other_shapes_are_no_text(raw: str) -> None:
    for cut in range(1, len(raw) + 1):
        assert [part for part in parts(raw[:cut], False) if part.kind == "text"] == []
    assert [part.kind for part in parts(raw, False)] == ["call"]


def test_other_json_is_text() -> None:
    assert [part.kind for part in parts('{"nice": 1}', False)] == ["text"]


def test_edits_make_diffs() -> None:
    diff = call_diff({"path": "a.py", "old": "x = 1\ny", "new": "x = 2\ny"})
    assert diff_counts(diff) == (1, 1)
    assert "-x = 1" in diff
    assert diff_counts(call_diff({"path": "a.py", "content": "a\nb"})) == (2, 0)
    assert call_diff({"command": "ls"}) == ""
    assert call_diff({"path": "a"}, preview="--- a\n+++ a\n@@ -1 +1 @@\n-b\n+c").startswith("--- a")


def test_short_forms() -> None:
    assert [short_count(n) for n in (0, 999, 1234, 9960, 32768)] == ["0", "999", "1.2k", "10k", "33k"]
    assert [duration(s) for s in (0.44, 12.4, 59.7, 185, 7800)] == [
        "0.4s",
        "12s",
        "1m 00s",
        "3m 05s",
        "2h 10m",
    ]
    assert short_path(Path.home() / "x") == "~/x"
    assert len(short_path("/a" * 60, 30)) <= 30
    assert summary({"b": 1, "command": "ls\n-l"}) == "ls -l"
    assert summary({"x": 1}) == "x=1"


@given(st.text())
def test_clean_text_holds_nothing_that_moves_the_cursor(text: str) -> None:
    cleaned = clean(text)
    assert not any(ord(letter) < 32 and letter != "\n" for letter in cleaned)
    assert not any(0x7F <= ord(letter) <= 0x9F for letter in cleaned)
    assert "\n" not in one_line(text)


def test_levels_of_uncertainty() -> None:
    def signal(entropy: float, logprob: float) -> TokenSignal:
        return TokenSignal(token_id=0, text="a", logprob=logprob, entropy=entropy, margin=0)

    assert [level(signal(h, -0.01)) for h in (0, 0.5, 1.5, 3)] == [0, 1, 2, 3]
    assert [level(signal(0.0, p)) for p in (-0.1, -0.7, -2.0, -4.0)] == [0, 1, 2, 3]
    content = tinted([signal(0, 0), signal(3, -3), signal(3, -3)], 1, 3)
    assert (content.plain, len(content.spans)) == ("aa", 1)


def test_slash_commands() -> None:
    assert parse("/good thanks")[1] == "thanks"
    for wrong in ("/nope", "/remember", "/new now"):
        with pytest.raises(NoSuchCommand):
            parse(wrong)
    assert [command.name for command in matching("re")] == ["remember", "reconnect"]
    assert matching("") == list(COMMANDS)


def test_files_for_mentions(tmp_path: Path) -> None:
    for name in ("src/main.py", "README.md", ".git/config", "node_modules/x.js", "docs/domain.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    listed = files.list_files(tmp_path)
    assert sorted(listed) == ["README.md", "docs/domain.md", "src/main.py"]
    assert files.match(listed, "main") == ["src/main.py", "docs/domain.md"]
    assert files.match(listed, "rdm") == ["README.md"]
    assert files.attached("see @src/main.py, @README.md. not@this @gone.txt", tmp_path) == (
        "src/main.py",
        "README.md",
    )


def test_sixteen_colours_get_a_native_theme() -> None:
    assert for_terminal(NIGHT, "standard") == "ansi-dark"
    assert for_terminal(DAY, "standard") == "ansi-light"
    assert for_terminal(NIGHT, "truecolor") == for_terminal(NIGHT, "256") == "night-school"


@given(
    st.lists(
        st.sampled_from(["word " * 30, "\n", "\n\n", "```\n", "- a\n", "# h\n", " b", "| a |\n"]), max_size=40
    )
)
def test_stretches_are_stable_while_text_grows(pieces: list[str]) -> None:
    text = ""
    before: tuple[str, ...] = ()
    for piece in pieces:
        text += piece
        now = chunks(text)
        assert "".join(now) == text
        assert now[: len(before) - 1] == before[:-1]
        before = now


def test_lists_and_code_stay_in_one_piece() -> None:
    code = "```\n" + "a = 1\n\n" * 200 + "```\n"
    items = "- one\n\n" * 200
    assert len(chunks(code)) == len(chunks(items)) == 1
    assert len(chunks(code + "\nafter\n")) == 2
