"""Which lessons a night trains, rehearses and takes out."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from agent.sleep.folder import Chosen
from memory.learning import Lesson


@dataclass(frozen=True)
class Lessons:
    """What was chosen, whole."""

    new: list[Lesson]
    """To be learned."""
    old: list[Lesson]
    """In the weights, to be rehearsed."""
    untaught: list[Lesson]
    """In the weights, to be taken out."""

    @classmethod
    def of(cls, chosen: Chosen, known: Iterable[Lesson]) -> Lessons:
        """Those of them that are still there."""
        by_id = {lesson.id: lesson for lesson in known}

        def found(ids: Iterable[str]) -> list[Lesson]:
            return [by_id[i] for i in ids if i in by_id]

        return cls(found(chosen.new), found(chosen.old), found(chosen.untaught))

    @property
    def digest(self) -> str:
        """Of everything about them that training and the exam look at."""
        content = hashlib.sha256()
        for role, lessons in (("new", self.new), ("old", self.old), ("untaught", self.untaught)):
            for lesson in lessons:
                said = [phrasing.model_dump_json() for phrasing in lesson.phrasings]
                content.update(repr((role, lesson.id, lesson.state, lesson.statement, said)).encode())
        return content.hexdigest()

    @property
    def all(self) -> list[Lesson]:
        """Each of them."""
        return [*self.new, *self.old, *self.untaught]


def choose(lessons: Iterable[Lesson], in_weights: Collection[str], most_new: int, tries: int) -> Chosen:
    """Settle a night's lessons from all there are.

    `in_weights`: ids of the lessons in the serving adapter. New ones go by the user's word first, then by
    score, then by age; a lesson that failed `tries` times is left to retrieval.
    """
    inside = set(in_weights)
    everything = list(lessons)
    waiting = [
        lesson
        for lesson in everything
        if lesson.state == "approved" and lesson.id not in inside and lesson.tries < tries and lesson.trained
    ]
    waiting.sort(key=lambda lesson: (lesson.verdict.by != "user", -lesson.verdict.score, lesson.created_at))
    known = {lesson.id: lesson for lesson in everything}
    return Chosen(
        new=tuple(lesson.id for lesson in waiting[:most_new]),
        old=tuple(sorted(i for i in inside if i in known and known[i].state == "approved")),
        untaught=tuple(sorted(i for i in inside if i in known and known[i].state in ("retired", "rejected"))),
    )
