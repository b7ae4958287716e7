"""What a face may ask of the learning half: nights, lessons, adapters, snapshots, forgetting.

A part of `agent.calls.RuntimeCalls`, which says how calls travel and fail.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

from agent.events import NightOutcome
from agent.sleep.items import TrainMethod
from memory.learning import AdapterCard, ExamResult, Lesson, LessonState, Snapshot
from memory.record import Record
from memory.verdict import Verdict


class NightRequest(Record):
    """How one night is to be run; the defaults are what the schedule does."""

    max_minutes: float | None = None
    """Wall-clock budget; None takes the setting."""
    method: TrainMethod = "night"
    """What trains; anything but `night` is for comparison in benchmarks."""
    max_trained_tokens: int = 0
    """Budget of trained tokens; 0 means none."""
    exam: bool = True
    """False promotes without an exam: only for comparison in benchmarks, refused by a home that holds
    anything but a benchmark."""
    distill: bool | None = None
    """Distil everything learned into a fresh `core` adapter; None lets the number of nights decide."""
    seed: int | None = None
    """Overrides `training.seed`."""


class PlannedLesson(Record):
    """One lesson that a night would train."""

    episode_id: str
    """Where it comes from."""
    lesson_id: str | None
    """None while the night has not made it yet."""
    text: str
    """The statement, or what was said in the episode."""
    verdict: Verdict
    """The gate's, with reasons."""


class NightPlan(Record):
    """What a night would learn now, and why."""

    new: tuple[PlannedLesson, ...]
    """Would be learned."""
    waiting: tuple[PlannedLesson, ...]
    """Wait for approval, or for a later night."""
    left_out: tuple[PlannedLesson, ...]
    """Are not learned, with the reasons."""
    old_lessons: int
    """In the weights already, and rehearsed."""


class NightReport(Record):
    """The report card of one night."""

    night: str
    """Its id."""
    outcome: NightOutcome
    """How it ended."""
    reason: str
    """Why, where that needs saying."""
    started_at: datetime
    """UTC."""
    seconds: float
    """Wall-clock time."""
    stages: dict[str, float]
    """Seconds of each stage."""
    learned: tuple[str, ...]
    """Lessons that are in the weights now and were not before."""
    exam: ExamResult | None
    """None when it did not come to one."""
    adapter: AdapterCard | None
    """The candidate."""
    loss: tuple[tuple[int, float], ...]
    """Loss curve: (step, loss)."""
    tokens: dict[str, int]
    """`generated`, `teacher` and `trained`."""
    markdown: str
    """The whole card for a person."""


class Forgetting(Record):
    """What forgetting takes away, or took away."""

    episodes: tuple[str, ...]
    """Ids."""
    lessons: tuple[Lesson, ...]
    """Whole, so that a person sees what goes."""
    adapters: tuple[str, ...]
    """Adapters that descend from them and go out of service until rebuilt."""
    serving_after: str | None
    """The adapter that serves afterwards; None is the base model."""
    text: str
    """What was said, shortened."""
    workspaces: tuple[str, ...] = ()
    """Folders in the home that were made for the episodes and go with all files in them."""


class RollbackPlan(Record):
    """What a rollback changes."""

    snapshot: Snapshot
    """Where it goes."""
    episodes_lost: tuple[str, ...]
    """Episodes that are not part of it."""
    episodes_back: tuple[str, ...]
    """Episodes that are part of it and not of now."""
    lessons_lost: tuple[str, ...]
    """Lessons."""
    lessons_back: tuple[str, ...]
    """Lessons."""
    documents_change: int
    """Documents of which another version, or none, will be known."""
    adapter_now: str | None
    """In service now."""
    adapter_then: str | None
    """In service afterwards."""
    settings_change: bool
    """Whether config.toml differs."""
    undo: str | None = None
    """The snapshot taken just before, once it was done."""


class LearningCalls(Protocol):
    """Learning as every face sees it."""

    async def sleep(self, request: NightRequest) -> str:
        """Begin a night now, or go on with an interrupted one; returns its id at once. Progress comes as
        events without an episode, the end as `night_finished`. Raises UsageError while one is running."""

    async def stop_sleep(self) -> bool:
        """End a running night cleanly and wait for it; True when there was one."""

    async def plan_night(self) -> NightPlan:
        """What a night would learn, and why; changes nothing."""

    async def report(self, night: str | None = None) -> NightReport:
        """The card of a night, the latest by default. Raises UsageError when there is none."""

    async def reports(self, limit: int = 30) -> list[NightReport]:
        """Cards, newest first."""

    async def lessons(self, state: LessonState | None = None) -> list[Lesson]:
        """Lessons, newest first."""

    async def lesson(self, lesson_id: str) -> Lesson:
        """By id or a beginning that fits only one. Raises UsageError."""

    async def review(self, ids: tuple[str, ...], approve: bool) -> list[Lesson]:
        """Approve or reject lessons, or whole episodes; vetoed lessons are never approved. Returns what
        changed. Raises UsageError for an unknown id."""

    async def edit_lesson(self, lesson_id: str, statement: str) -> Lesson:
        """Put a lesson into other words; it is made anew in the next night."""

    async def learned(self) -> list[str]:
        """Ids of the lessons that are in the serving adapter."""

    async def adapters(self) -> list[AdapterCard]:
        """Newest first."""

    async def activate_adapter(self, adapter: str | None) -> AdapterCard | None:
        """Serve with this one, or with the base alone. Raises UsageError or LearningError."""

    async def export_adapter(self, adapter: str, form: Literal["peft", "merged"], path: str) -> str:
        """Write an adapter for other programs; returns the folder."""

    async def snapshot(self, name: str = "") -> Snapshot:
        """Take one now."""

    async def snapshots(self) -> list[Snapshot]:
        """Newest first."""

    async def rollback(self, snapshot: str = "last", dry_run: bool = False) -> RollbackPlan:
        """Go back to a snapshot (`last`: the newest that was not taken by a rollback). Takes one first, so
        that it can be undone."""

    async def forget(self, name: str, dry_run: bool = False) -> Forgetting:
        """Forget an episode or a lesson for good, with everything made from it."""
