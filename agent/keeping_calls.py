"""What a face may ask about what is kept: what snapshots hold, which may go, and backups of it all.

A part of `agent.calls.RuntimeCalls`, which says how calls travel and fail.
"""

from __future__ import annotations

from typing import Any, Protocol

from memory.learning import LessonState, Snapshot
from memory.record import Record


class KeptEpisode(Record):
    """An episode, named for a person."""

    id: str
    """Its id."""
    task: str
    """The first words of its first task."""


class KeptLesson(Record):
    """A lesson as one state has it."""

    id: str
    """Its id."""
    statement: str
    """What it teaches."""
    state: LessonState
    """What had become of it."""


class LessonChange(Record):
    """A lesson that two states have in different versions."""

    before: KeptLesson
    """In the first."""
    after: KeptLesson
    """In the second."""


class KeptDocument(Record):
    """A document that one state knows."""

    id: str
    """Its id."""
    path: str
    """Absolute path of the file."""
    domain: str
    """The area of knowledge it belongs to."""


class SnapshotContents(Record):
    """What a snapshot holds."""

    snapshot: Snapshot
    """The snapshot."""
    episodes: int
    """How many."""
    lessons: dict[LessonState, int]
    """How many in each state; states without any are left out."""
    documents: int
    """How many are known."""
    adapter_lessons: int
    """Lessons in the weights of its adapter."""
    adapter_problem: str
    """Why its adapter cannot serve; empty when it can, or when the base model serves alone."""
    settings: dict[str, Any]
    """Settings that differ from the defaults, as `section.key`."""
    settings_problem: str
    """Why its settings cannot be read; empty when they can."""
    way_back_of: tuple[str, ...]
    """Adapters that are still there and were promoted over this state."""


class SnapshotDiff(Record):
    """What differs between two states. What only the first has is lost on the way to the second, what only
    the second has comes back."""

    first: str
    """Id, or `now`."""
    second: str
    """Id, or `now`."""
    episodes_lost: tuple[KeptEpisode, ...]
    """Only in the first."""
    episodes_back: tuple[KeptEpisode, ...]
    """Only in the second."""
    episodes_changed: tuple[KeptEpisode, ...]
    """In both, with different turns, feedback or verdict."""
    lessons_lost: tuple[KeptLesson, ...]
    """Only in the first."""
    lessons_back: tuple[KeptLesson, ...]
    """Only in the second."""
    lessons_changed: tuple[LessonChange, ...]
    """In both, with another statement or state."""
    documents_lost: tuple[KeptDocument, ...]
    """Only known in the first."""
    documents_back: tuple[KeptDocument, ...]
    """Only known in the second."""
    documents_changed: tuple[KeptDocument, ...]
    """Known in both, in different versions."""
    adapter_first: str | None
    """What serves in the first; None is the base model alone."""
    adapter_second: str | None
    """What serves in the second."""
    settings: str
    """Unified diff of config.toml, or of the defaults where there is none; empty when nothing differs."""


class StayingSnapshot(Record):
    """A snapshot that the rule would let go and that stays all the same."""

    id: str
    """Its id."""
    name: str
    """Its name."""
    reason: str
    """Why it stays, for a person."""


class Pruned(Record):
    """What pruning takes away, or took away."""

    snapshots: tuple[Snapshot, ...]
    """Those that go, newest first."""
    staying: tuple[StayingSnapshot, ...]
    """Those that the rule would let go and that stay."""
    adapters: tuple[str, ...]
    """Adapters that nothing but those snapshots could go back to; their files go."""
    adapter_bytes: int
    """Bytes of their files."""
    table_bytes: int
    """Bytes of older versions of the tables that went; 0 before it is done."""
    remaining: int
    """Snapshots that are left."""


class BackupMade(Record):
    """A backup that was written."""

    path: str
    """The file."""
    bytes: int
    """Its size."""
    files: int
    """How many files are in it."""
    adapter: str | None
    """The adapter that serves in it; None is the base model alone."""
    left_out: dict[str, int]
    """How many files of workspaces and nights are not in it, by what they are."""


class KeepingCalls(Protocol):
    """What is kept, as every face sees it."""

    async def snapshot_contents(self, snapshot: str) -> SnapshotContents:
        """What a snapshot holds, by id, a beginning of one, a name, `last`, or `now`. Raises UsageError."""

    async def snapshot_diff(self, first: str, second: str) -> SnapshotDiff:
        """What differs between two, named in the same ways. Raises UsageError."""

    async def prune_snapshots(
        self, keep: int | None = None, older_than_days: float | None = None, dry_run: bool = False
    ) -> Pruned:
        """Let snapshots go that are not among the newest `keep` and older than so many days; one of the two
        may be left out. The newest stays, and so does one that a promotion names as its way back while its
        adapter is there. Raises UsageError."""

    async def backup(self, path: str, replace: bool = False) -> BackupMade:
        """Write everything that is kept into one file at this absolute path, as it is at one moment. An
        existing file is only written over with `replace`. Raises UsageError and HomeError."""
