"""From lessons to what the worker trains on: the course of one night."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.sleep.items import Role, TrainItem, item_id
from memory.learning import Lesson, Phrasing
from skills.tool import ToolSpec


def lesson_items(lessons: Iterable[Lesson], role: Role, specs: Sequence[ToolSpec]) -> list[TrainItem]:
    """One item for each phrasing that may be trained; the teacher sees the lesson's statement."""
    return [
        TrainItem(
            id=_item_id(lesson, phrasing, role),
            role=role,
            lesson_id=lesson.id,
            messages=phrasing.messages,
            tools=tuple(specs) if phrasing.with_tools else (),
            answer=phrasing.answer,
            context=lesson.statement,
        )
        for lesson in lessons
        for phrasing in lesson.trained
    ]


def _item_id(lesson: Lesson, phrasing: Phrasing, role: Role) -> str:
    # the same content gets the same id every night, so that what was computed for it can be kept
    kept = "unteach" if role == "unteach" else "lesson"
    return item_id(kept, phrasing.messages[0].content, phrasing.question, phrasing.answer, lesson.statement)
