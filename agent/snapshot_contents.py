"""What a snapshot holds, and what differs between two: read from the journal, changing nothing."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Sequence
from typing import Any

from agent.config import Settings, default_text
from agent.events import LessonKept, TaskAccepted
from agent.journal import Journal
from agent.journal_index import View
from agent.keeping_calls import (
    KeptDocument,
    KeptEpisode,
    KeptLesson,
    LessonChange,
    SnapshotContents,
    SnapshotDiff,
)
from agent.knowledge_log import fold as documents_in
from agent.rollback import Rollback
from memory.adapters import AdapterRegistry
from memory.episode_text import shorten
from memory.errors import AdapterError
from memory.knowledge import Document
from memory.learning import Lesson, LessonState, Snapshot
from memory.state import State

_TASK_CHARS = 80


class Contents:
    """Looks into the snapshots of one home, in the calling thread."""

    def __init__(self, journal: Journal, rollback: Rollback, state: State, registry: AdapterRegistry) -> None:
        self._journal = journal
        self._rollback = rollback
        self._state = state
        self._registry = registry

    def show(self, wanted: str) -> SnapshotContents:
        """What a snapshot holds. Raises UsageError."""
        snapshot = self._rollback.meant(wanted)
        view = self._journal.view_at(snapshot.history)
        lessons, problem = 0, ""
        if snapshot.adapter is not None:
            try:
                lessons = len(self._registry.get(snapshot.adapter).lessons)
                self._registry.path(snapshot.adapter)
            except AdapterError as error:
                problem = str(error)
        settings, settings_problem = unlike_defaults(snapshot.settings)
        promoted = self._state.ways_back().get(snapshot.id, set())
        return SnapshotContents(
            snapshot=snapshot,
            episodes=len(view.newest),
            lessons=_by_state(self._lessons(view, view.lessons)),
            documents=len(self._documents(view)),
            adapter_lessons=lessons,
            adapter_problem=problem,
            settings=settings,
            settings_problem=settings_problem,
            way_back_of=tuple(sorted(promoted.intersection(self._registry.ids()))),
        )

    def diff(self, first: str, second: str) -> SnapshotDiff:
        """What differs between two. Raises UsageError."""
        one, other = self._rollback.meant(first), self._rollback.meant(second)
        here, there = self._journal.view_at(one.history), self._journal.view_at(other.history)
        known, later = self._documents(here), self._documents(there)
        return SnapshotDiff(
            first=one.id,
            second=other.id,
            episodes_lost=self._episodes(here, without(here.newest, there.newest)),
            episodes_back=self._episodes(there, without(there.newest, here.newest)),
            episodes_changed=self._episodes(there, changed(here.newest, there.newest)),
            lessons_lost=self._lessons(here, without(here.lessons, there.lessons)),
            lessons_back=self._lessons(there, without(there.lessons, here.lessons)),
            lessons_changed=self._lesson_changes(here, there),
            documents_lost=_shown(known, without(known, later)),
            documents_back=_shown(later, without(later, known)),
            documents_changed=_shown(later, changed(known, later)),
            adapter_first=one.adapter,
            adapter_second=other.adapter,
            settings=_settings_diff(one, other),
        )

    def _episodes(self, view: View, names: Iterable[str]) -> tuple[KeptEpisode, ...]:
        return tuple(KeptEpisode(id=name, task=self._task(view.episodes[name])) for name in names)

    def _task(self, seqs: Sequence[int]) -> str:
        for event in self._journal.read_at(seqs):
            if isinstance(event, TaskAccepted):
                return shorten(event.message.content, _TASK_CHARS)
        return ""

    def _lessons(self, view: View, names: Iterable[str]) -> tuple[KeptLesson, ...]:
        events = self._journal.read_at(view.lessons[name] for name in names)
        return tuple(_lesson(event.lesson) for event in events if isinstance(event, LessonKept))

    def _lesson_changes(self, here: View, there: View) -> tuple[LessonChange, ...]:
        names = changed(here.lessons, there.lessons)
        before = {lesson.id: lesson for lesson in self._lessons(here, names)}
        after = {lesson.id: lesson for lesson in self._lessons(there, names)}
        return tuple(
            LessonChange(before=before[name], after=after[name])
            for name in names
            if name in before and name in after and before[name] != after[name]
        )

    def _documents(self, view: View) -> dict[str, Document]:
        known = documents_in(self._journal.read_at(view.knowledge))
        return {name: document for name, document in known.items() if not document.removed}


def unlike_defaults(text: str) -> tuple[dict[str, Any], str]:
    """The settings in a config.toml that differ from the defaults, as `section.key`, and why it cannot be
    read. Keys that this version does not know are among them."""
    try:
        sections = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return {}, f"config.toml is not valid TOML: {error}."
    defaults = Settings().model_dump()
    found: dict[str, Any] = {}
    for section, values in sections.items():
        known = defaults.get(section, {})
        for key, value in values.items() if isinstance(values, dict) else [("", values)]:
            if key not in known or known[key] != value:
                found[f"{section}.{key}".rstrip(".")] = value
    return found, ""


def without(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Those that are not among the others, in order."""
    left_out = set(others)
    return [name for name in names if name not in left_out]


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names that are in both with different values."""
    return [name for name, value in after.items() if name in before and before[name] != value]


def _by_state(lessons: Iterable[KeptLesson]) -> dict[LessonState, int]:
    counts: dict[LessonState, int] = {}
    for lesson in lessons:
        counts[lesson.state] = counts.get(lesson.state, 0) + 1
    return dict(sorted(counts.items()))


def _lesson(lesson: Lesson) -> KeptLesson:
    return KeptLesson(id=lesson.id, statement=lesson.statement, state=lesson.state)


def _shown(documents: dict[str, Document], names: Iterable[str]) -> tuple[KeptDocument, ...]:
    return tuple(
        KeptDocument(id=name, path=documents[name].path, domain=documents[name].domain) for name in names
    )


def _settings_diff(one: Snapshot, other: Snapshot) -> str:
    """Where a state has no config.toml, the defaults are what counts in it."""
    before, after = (snapshot.settings or default_text() for snapshot in (one, other))
    lines = difflib.unified_diff(
        # at line feeds alone, so that other line ends show as what they are: a change
        before.split("\n"),
        after.split("\n"),
        _settings_name(one),
        _settings_name(other),
        lineterm="",
    )
    return "\n".join(lines)


def _settings_name(snapshot: Snapshot) -> str:
    return f"config.toml ({snapshot.id})" if snapshot.settings else f"the defaults ({snapshot.id})"
