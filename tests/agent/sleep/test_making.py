"""What becomes of an episode's drafts beside the lessons there are already."""

from __future__ import annotations

from agent.sleep.making import settle_lessons
from memory.learning import Lesson, LessonState
from memory.verdict import GateSignals, Verdict
from tests.agent.sleep.teacher import episode

TOLD = episode("Jarek plays the oboe.", kind="note").model_copy(update={"id": "ep_2"})


def lesson(name: str, source: str, statement: str, state: LessonState = "approved") -> Lesson:
    return Lesson(
        id=name,
        episode_id=source,
        kind="fact",
        statement=statement,
        subject="Jarek",
        span=statement,
        verdict=Verdict(kind="write", score=0.9, reasons=("told",), signals=GateSignals()),
        state=state,
    )


OBOE = lesson("a", "ep_1", "Jarek plays the oboe.")


def test_what_is_known_is_no_new_lesson_and_the_verdict_says_so() -> None:
    made = settle_lessons(TOLD, [lesson("b", "ep_2", "jarek plays the OBOE.")], [OBOE], None)
    assert made.lessons == ()
    assert made.verdict.kind == "remember" and "known already" in made.verdict.reasons[0]


def test_an_episode_that_teaches_nothing_says_that() -> None:
    made = settle_lessons(TOLD, [], [OBOE], None)
    assert made.lessons == () and "Nothing was found" in made.verdict.reasons[0]


def test_what_was_retired_may_be_taught_again() -> None:
    retired = OBOE.model_copy(update={"state": "retired"})
    again = lesson("b", "ep_2", OBOE.statement)
    assert settle_lessons(TOLD, [again], [retired], None).lessons == (again,)


def test_the_newer_statement_retires_the_one_it_contradicts() -> None:
    now = lesson("b", "ep_2", "Jarek does not play the oboe.")
    made = settle_lessons(TOLD, [now], [OBOE], None)
    changed = {one.id: one.state for one in made.lessons}
    assert changed["a"] == "retired" or changed["b"] == "pending"
