"""From events to lessons: the newest kept version of each, as far as the journal counts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from agent.events import LessonKept
from agent.journal import Journal
from memory.learning import Lesson


class LessonShelf(Protocol):
    """Where lessons are kept for searching; met by `memory.lessons.LessonStore`."""

    def seqs(self) -> Mapping[str, int]:
        """For each stored lesson, the journal position it reflects."""

    def put(self, lesson: Lesson, seq: int = 0) -> None:
        """Keep a lesson, replacing an older version of it."""

    def delete(self, lesson_id: str) -> bool:
        """Take a lesson out."""


def lessons(journal: Journal, only: Collection[str] | None = None) -> Iterator[tuple[Lesson, int]]:
    """Every lesson, or only these, with the position it reflects, in the order of those positions."""
    seqs = sorted(seq for name, seq in journal.lesson_seqs.items() if only is None or name in only)
    for event in journal.read_at(seqs):
        if isinstance(event, LessonKept):
            yield event.lesson, event.seq


def follow_lessons(journal: Journal, store: LessonShelf) -> list[str]:
    """Make the store hold exactly the journal's lessons; returns the ids it put or took out.

    Cheap when nothing differs: positions are compared, nothing is parsed.
    """
    known, wanted = store.seqs(), journal.lesson_seqs
    changed = [name for name in known if name not in wanted]
    for name in changed:
        store.delete(name)
    behind = {name for name, seq in wanted.items() if known.get(name) != seq}
    for lesson, seq in lessons(journal, behind):
        store.put(lesson, seq)
        changed.append(lesson.id)
    return changed
