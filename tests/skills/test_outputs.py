"""Output is harmless to look at, short for the model, and whole in its file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skills.outputs import OutputStore, plain, shorten, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;window title\x07after", "after"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[2J\x1b[Hcleared", "cleared"),
        ("\x1b(Bcharset", "charset"),
        ("\x9b31mred", "red"),
        ("bell\x07", "bell\\x07"),
        ("nul\x00", "nul\\x00"),
        ("back\x08space", "back\\x08space"),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        (" 10%\r 50%\r100%\ndone", "100%\ndone"),
        ("if \u202eadmin", "if \\u202eadmin"),
        ("caf\udce9", "caf\\xe9"),
        ("half \ud83d", "half \ufffd"),
        ("unfinished \x1b", "unfinished \\x1b"),
        ("unfinished \x1b[3", "unfinished \\x1b[3"),
        ("unfinished \x1b]0;title\nmore", "unfinished \\x1b]0;title\nmore"),
        ("日本語 é 👩‍🚀", "日本語 é 👩‍🚀"),
    ],
)
def test_control_characters_are_written_out_and_escapes_gone(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_nothing_is_hidden_from_a_person_who_approves() -> None:
    assert visible("echo \x1b]; rm -rf x #\x07") == "echo \\x1b]; rm -rf x #\\x07"
    assert visible("rm -rf x #\r ls") == "rm -rf x #\\x0d ls"


@given(st.text())
def test_plain_text_can_be_encoded_holds_no_controls_and_stays_as_it_is(text: str) -> None:
    shown = plain(text)
    shown.encode("utf-8")
    assert not [character for character in shown if ord(character) < 32 and character not in "\n\t"]
    assert plain(shown) == shown


@given(st.text(alphabet=st.sampled_from("ab\n"), max_size=3000), st.integers(200, 1000))
def test_shortened_output_fits_and_says_how_much_is_missing(text: str, limit: int) -> None:
    short = shorten(text, limit, "/outputs/call.txt")
    assert len(short) <= limit
    if len(text) <= limit:
        assert short == text
        return
    head, rest = short.split("\n[… ", 1)
    note, tail = rest.split(" …]\n", 1)
    assert text.startswith(head)
    assert text.endswith(tail)
    assert int(note.split()[0]) == len(text) - len(head) - len(tail)
    assert "/outputs/call.txt" in note


def test_short_output_leaves_no_file(tmp_path: Path) -> None:
    store = OutputStore(tmp_path / "outputs" / "ep")
    assert store.keep("call_0_0", "fine\n", 200) == ("fine\n", None)
    assert not (tmp_path / "outputs").exists()


def test_long_output_is_whole_in_a_private_file(tmp_path: Path) -> None:
    store = OutputStore(tmp_path / "outputs" / "ep")
    text = "\x1b[31m" + "line\r\n" * 1000
    shown, path = store.keep("call_0_0", text, 400)
    assert path is not None
    assert path.read_bytes().decode() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert str(path) in shown
    assert len(shown) <= 400


def test_a_call_id_cannot_lead_outside(tmp_path: Path) -> None:
    _, path = OutputStore(tmp_path / "outputs").keep("../../evil\0", "x" * 500, 200)
    assert path is not None
    assert path.parent == tmp_path / "outputs"


def test_output_that_cannot_be_kept_is_still_shown(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file in the way")
    shown, path = OutputStore(tmp_path / "outputs").keep("call_0_0", "line\n" * 1000, 300)
    assert path is None
    assert "could not be kept" in shown
    assert len(shown) <= 300
