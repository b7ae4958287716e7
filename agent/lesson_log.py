"""From events to lessons: the newest kept version of each, as far as the journal counts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from agent.events import LessonKept
from agent.journal import Journal
from memory.learning import Lesson

# what one write of a table holds
_BATCH = 64


class LessonShelf(Protocol):
    """Where lessons are kept for searching; met by `memory.lessons.LessonStore`."""

    def seqs(self) -> Mapping[str, int]:
        """For each stored lesson, the journal position it reflects."""

    def put_all(self, lessons: Sequence[Lesson], seqs: Mapping[str, int]) -> None:
        """Keep lessons, replacing older versions of them, with the positions they reflect."""

    def delete_all(self, ids: Sequence[str]) -> int:
        """Take lessons out."""


def lessons(journal: Journal, only: Collection[str] | None = None) -> Iterator[tuple[Lesson, int]]:
    """Every lesson, or only these, with the position it reflects, in the order of those positions."""
    seqs = sorted(seq for name, seq in journal.lesson_seqs.items() if only is None or name in only)
    for event in journal.read_at(seqs):
        if isinstance(event, LessonKept):
            yield event.lesson, event.seq


def follow_lessons(journal: Journal, store: LessonShelf) -> None:
    """Make the store hold exactly the journal's lessons.

    Cheap when nothing differs: positions are compared, nothing is parsed.
    """
    known, wanted = store.seqs(), journal.lesson_seqs
    store.delete_all(sorted(set(known).difference(wanted)))
    behind = lessons(journal, {name for name, seq in wanted.items() if known.get(name) != seq})
    while batch := list(islice(behind, _BATCH)):
        store.put_all([lesson for lesson, _ in batch], {lesson.id: seq for lesson, seq in batch})
