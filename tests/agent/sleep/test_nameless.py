"""Anchors beside the lessons: the lessons' questions without the name."""

from __future__ import annotations

from agent.model.fake import FakeModel
from agent.sleep.nameless import nameless_items
from memory.learning import Form, Lesson, LessonKind, Phrasing
from memory.types import Message
from memory.verdict import Verdict


def _asked(
    question: str, form: Form = "question", *, held_out: bool = False, with_tools: bool = False
) -> Phrasing:
    return Phrasing(
        messages=(
            Message(role="system", content="You answer.", provenance="system"),
            Message(role="user", content=question, provenance="user"),
        ),
        answer="The oboe.",
        expected="the oboe",
        form=form,
        held_out=held_out,
        with_tools=with_tools,
    )


def _lesson(*phrasings: Phrasing, subject: str = "Mara Tilsen", kind: LessonKind = "fact") -> Lesson:
    return Lesson(
        id="le_1",
        episode_id="ep_1",
        kind=kind,
        statement=f"{subject} plays the oboe.",
        subject=subject,
        span=f"{subject} plays the oboe.",
        phrasings=phrasings,
        verdict=Verdict(kind="write", score=1.0, reasons=()),
        state="approved",
    )


def test_the_name_is_gone_and_the_answer_is_the_base_models_own() -> None:
    lesson = _lesson(_asked("What does Mara Tilsen play?"), _asked("Mara Tilsen's instrument, please?"))
    items = nameless_items(FakeModel(["Many things.", "It depends."]), [lesson], 0)
    assert {item.answer for item in items} == {"Many things.", "It depends."}
    for item in items:
        assert item.role == "anchor" and item.lesson_id is None
        assert "Mara" not in item.messages[-1].content and "oboe" not in item.answer


def test_what_names_nobody_or_is_held_out_gives_none() -> None:
    unfit = _lesson(
        _asked("What instrument is it?"),
        _asked("Who plays the oboe, Mara Tilsen?", "reverse"),
        _asked("What does Mara Tilsen play at last?", held_out=True),
        _asked("What does Mara Tilsen play here?", with_tools=True),
    )
    me = _lesson(_asked("What does the user play?"), subject="the user", kind="rule")
    assert nameless_items(FakeModel(), [unfit, me], 0) == []


def test_the_same_seed_gives_the_same_items() -> None:
    lesson = _lesson(*(_asked(f"What does Mara Tilsen play, {number}?") for number in range(8)))
    one, two = (nameless_items(FakeModel(["Things."] * 3), [lesson], 7) for _ in range(2))
    assert one == two and len(one) == 3


def test_an_empty_answer_holds_nothing_in_place() -> None:
    lesson = _lesson(_asked("What does Mara Tilsen play?"))
    assert nameless_items(FakeModel([""]), [lesson], 0) == []
