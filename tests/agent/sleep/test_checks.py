"""Declarative checks: what they accept, and that nothing an answer says is ever run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.sleep import material
from agent.sleep.checks import Check, defines, last_number


def test_an_empty_check_is_refused() -> None:
    with pytest.raises(ValidationError):
        Check()


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("Paris", True),
        ("The capital of France is **Paris**.", True),
        ("PARIS!", True),
        ("Comparison", False),
        ("Parisian food", False),
        ("", False),
    ],
)
def test_contains_looks_for_whole_words(answer: str, right: bool) -> None:
    assert Check(contains=("Paris",)).holds(answer) is right


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("7 * 8 = 56", 56),
        ("The answer is 1,250.", 1250),
        ("-3", -3),
        ("0.35 is smaller than 0.8", 0.8),
        ("none", None),
        ("version a12", None),
    ],
)
def test_the_last_number_counts(answer: str, number: float | None) -> None:
    assert last_number(answer) == number


@given(st.integers(-(10**9), 10**9))
def test_any_number_is_found_behind_words(value: int) -> None:
    assert last_number(f"After 3 steps the result is {value}.") == value
    assert last_number(f"{value:,}") == value


def test_python_is_parsed_and_never_run(tmp_path: object) -> None:
    harmless = "```python\ndef add(a, b):\n    return a + b\n```\nThis adds."
    assert defines(harmless, "add")
    assert not defines(harmless, "sub")
    assert not defines("def add(a, b) return a", "add")
    assert defines("raise SystemExit\ndef add(): ...", "add")


def test_json_may_stand_in_a_fence_and_among_words() -> None:
    check = Check(json_with={"name": "Tom", "age": 30, "note": None})
    assert check.holds('```json\n{"name": "tom", "age": 30, "note": []}\n```')
    assert check.holds('Here it is: {"name": "Tom", "age": 30, "note": 1}')
    assert not check.holds('{"name": "Tom", "age": "30", "note": 1}')
    assert not check.holds('{"name": "Tom", "age": 30}')
    assert not check.holds("name: Tom")
    assert not Check(json_with={"ok": 1}).holds('{"ok": true}')


def test_form_is_checked() -> None:
    assert Check(words=(2, 3)).holds("two words")
    assert not Check(words=(2, 3)).holds("one")
    assert Check(lines=(2, 2)).holds("a\n\nb\n")
    assert Check(case="upper").holds("HELLO, 3!")
    assert not Check(case="upper").holds("123")
    assert Check(starts="certainly", ends="bye").holds("Certainly. Good BYE")
    assert not Check(lacks=("sorry",)).holds("I am Sorry")
    assert Check(equals=("yes",)).holds(" **Yes.** ")
    assert Check(contains_all=("red", "blue")).holds("blue and red")
    assert not Check(contains_all=("red", "blue")).holds("red")


@given(st.text(max_size=200))
def test_no_answer_breaks_a_check(answer: str) -> None:
    for probe in material.instructions():
        assert probe.check.holds(answer) in (True, False)


def test_no_empty_answer_is_right() -> None:
    assert [probe.prompt for probe in material.instructions() if probe.check.holds("")] == []
