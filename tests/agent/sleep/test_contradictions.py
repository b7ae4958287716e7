"""Which earlier lessons a new one contradicts, and which only look like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sleep.contradictions import LIKELY, Contradiction, candidates, contradictions
from agent.sleep.pair_words import PairWords, overlap
from memory.learning import Lesson, LessonKind, Phrasing
from memory.types import Message
from memory.verdict import GateSignals, Verdict


def _lesson(
    name: str,
    statement: str,
    subject: str = "",
    value: str = "",
    kind: LessonKind = "fact",
    corrected: bool = False,
) -> Lesson:
    ask = Message(role="user", content="What?", provenance="user")
    ways = (Phrasing(messages=(ask,), answer=value, expected=value, form="question"),) if value else ()
    return Lesson(
        id=name,
        episode_id="ep_1",
        kind=kind,
        statement=statement,
        subject=subject,
        span=statement,
        phrasings=ways,
        verdict=Verdict(kind="write", score=0.9, reasons=("told",), signals=GateSignals(corrected=corrected)),
        state="approved",
    )


KNOWN = [
    _lesson("home", "Orlin Vask lives in Tarsova.", "Orlin Vask", "Tarsova"),
    _lesson("port", "The billing service listens on port 8044.", "The billing service", "8044"),
    _lesson("oboe", "Jarek plays the oboe.", "Jarek", "oboe"),
    _lesson("day", "The design team meets on Tuesdays.", "The design team", "Tuesdays"),
]


def _found(new: Lesson, known: list[Lesson] | None = None) -> list[Contradiction]:
    return contradictions(new, known if known is not None else KNOWN, None)


@pytest.mark.parametrize(
    ("statement", "subject", "value", "earlier"),
    [
        ("Orlin Vask lives in Merrigate.", "Orlin Vask", "Merrigate", "home"),
        ("The billing service listens on port 9120.", "The billing service", "9120", "port"),
        ("Jarek does not play the oboe.", "Jarek", "oboe", "oboe"),
        ("The design team meets on Thursdays now.", "The design team", "Thursdays", "day"),
    ],
)
def test_another_value_of_the_same_thing_is_seen(
    statement: str, subject: str, value: str, earlier: str
) -> None:
    (found,) = _found(_lesson("new", statement, subject, value))
    assert found.lesson.id == earlier and found.probability >= LIKELY


@pytest.mark.parametrize(
    ("statement", "subject", "value"),
    [
        ("Selma Brandt lives in Merrigate.", "Selma Brandt", "Merrigate"),
        ("The search service listens on port 9120.", "The search service", "9120"),
        ("Orlin Vask collects old coins.", "Orlin Vask", "old coins"),
        ("The town where Orlin Vask has his home is Tarsova.", "Orlin Vask", "Tarsova"),
        ("Jarek plays the oboe.", "Jarek", "oboe"),
        ("My neighbour's cat is black.", "My neighbour's cat", "black"),
    ],
)
def test_others_additions_and_paraphrases_are_none(statement: str, subject: str, value: str) -> None:
    assert _found(_lesson("new", statement, subject, value)) == []


def test_a_correction_needs_only_to_find_what_it_corrects() -> None:
    statement = "Orlin Vask lives in Merrigate."
    (told,) = _found(_lesson("new", statement, "Orlin Vask", "Merrigate", corrected=True))
    (kind,) = _found(_lesson("new", statement, "Orlin Vask", "Merrigate", kind="correction"))
    assert told.sure and kind.sure


def test_denying_the_earlier_value_settles_it() -> None:
    lesson = _lesson("new", "Orlin Vask lives in Merrigate.", "Orlin Vask", "Merrigate")
    said = lesson.model_copy(update={"span": "Orlin Vask lives in Merrigate, not in Tarsova"})
    (found,) = _found(said)
    assert found.sure


def test_procedures_contradict_nothing() -> None:
    assert _found(_lesson("new", "Orlin Vask lives in Merrigate.", kind="procedure")) == []
    known = [_lesson("old", "Orlin Vask lives in Tarsova.", kind="procedure")]
    assert _found(_lesson("new", "Orlin Vask lives in Merrigate."), known) == []


def test_a_lesson_does_not_contradict_itself_and_nothing_contradicts_nothing() -> None:
    assert _found(KNOWN[0], [KNOWN[0]]) == []
    assert _found(KNOWN[0], []) == []


def test_only_near_statements_are_candidates_nearest_first() -> None:
    known = ["Jarek sold the oboe.", "Jarek plays the oboe well.", "Nothing of the kind."]
    assert [index for index, _ in candidates("Jarek plays the oboe.", known, None)] == [1, 0]


texts = st.text(max_size=120)


@given(texts, texts, st.tuples(texts, texts), st.tuples(texts, texts))
def test_any_pair_can_be_compared(
    earlier: str, newer: str, subjects: tuple[str, str], values: tuple[str, str]
) -> None:
    lie = PairWords.of(earlier, newer, subjects, values)
    assert 0 <= lie.start <= 1 and 0 <= lie.end <= 1 and -1 <= lie.past <= 1
    assert 0 <= overlap(earlier, newer) <= 1


@given(texts)
def test_a_statement_and_itself_lie_on_each_other(text: str) -> None:
    lie = PairWords.of(text, text)
    assert not (lie.negated or lie.other or lie.mine or lie.past)
    assert lie.start in (0, 1) and lie.had
