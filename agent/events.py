"""Everything that happens, as values: one discriminated union on `kind`.

Durable events are appended to the journal before anyone sees them and are enough to rebuild every
episode. Passing events (token deltas, progress) are for watching only and may be dropped.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from memory.knowledge import Version
from memory.learning import Lesson
from memory.types import (
    EpisodeKind,
    Feedback,
    Message,
    Outcome,
    Record,
    SignalSummary,
    Step,
    TokenSignal,
    TokenUsage,
    ToolCall,
    now,
)
from memory.verdict import Verdict

NightStage = Literal["select", "lessons", "train", "exam", "promote", "report"]
NightOutcome = Literal["promoted", "nothing", "failed", "stopped", "error"]
"""`nothing`: there was nothing to learn; `failed`: the exam was not passed; `stopped`: by the user or the
time budget; `error`: something broke, and nothing changed."""


class _Event(Record):
    at: datetime = Field(default_factory=now)
    """When it happened, UTC."""
    episode_id: str | None = None
    """The episode it belongs to."""
    seq: int = 0
    """Position in the journal, from 1; 0 on a passing event."""


class EpisodeStarted(_Event):
    """A new episode: what it runs under."""

    kind: Literal["episode_started"] = "episode_started"
    episode_kind: EpisodeKind
    """Task, conversation or note."""
    workspace: str | None
    """Absolute path."""
    model: str
    """Catalogue name."""
    adapter: str | None = None
    """Adapter id."""
    system: str = ""
    """The system prompt."""
    tools: tuple[str, ...] = ()
    """Names of the offered tools."""


class TaskAccepted(_Event):
    """A user message was taken on; a turn begins."""

    kind: Literal["task_accepted"] = "task_accepted"
    message: Message
    """The user's message, with whatever was recalled for it in `context`."""


class StepStarted(_Event):
    """The model spoke and wants these calls; written before any of them runs."""

    kind: Literal["step_started"] = "step_started"
    index: int
    """The step's number."""
    calls: tuple[ToolCall, ...]
    """What is about to be done."""


class StepFinished(_Event):
    """A step is complete."""

    kind: Literal["step_finished"] = "step_finished"
    step: Step
    """The whole step."""


class ContextCompacted(_Event):
    """Older tool results were shortened to fit the context; nothing a user said was touched."""

    kind: Literal["context_compacted"] = "context_compacted"
    shortened: tuple[str, ...]
    """Ids of the calls whose results are now shown shortened."""
    tokens_before: int
    """Prompt tokens before."""
    tokens_after: int
    """Prompt tokens after."""


class ApprovalRequested(_Event):
    """A call waits for a person. Answered through `runtime.decide(request_id, …)`."""

    kind: Literal["approval_requested"] = "approval_requested"
    request_id: str
    """Names the request."""
    call: ToolCall
    """What would be done."""
    risk: str
    """The tool's risk."""
    reason: str
    """Which rule asks."""
    preview: str = ""
    """A diff or the command, for a person to read."""


class QuestionAsked(_Event):
    """The agent asks the person something. Answered through `runtime.answer(request_id, …)`."""

    kind: Literal["question_asked"] = "question_asked"
    request_id: str
    """Names the request."""
    question: str
    """The question."""


class CallDecided(_Event):
    """Policy or a person decided about a call."""

    kind: Literal["call_decided"] = "call_decided"
    call_id: str
    """The call."""
    tool: str
    """Its tool."""
    allowed: bool
    """Whether it ran."""
    by: str
    """Who decided: `policy`, `user` or `nobody`."""
    reason: str
    """The rule or the person's words."""


class RunFinished(_Event):
    """A turn is over."""

    kind: Literal["run_finished"] = "run_finished"
    outcome: Outcome
    """How it ended."""
    answer: str
    """The final text."""
    reason: str = ""
    """Why, when the outcome is not success."""
    steps: int = 0
    """Steps of this turn."""
    tokens: TokenUsage = TokenUsage()
    """Tokens of this turn."""
    seconds: float = 0.0
    """Wall-clock time of this turn."""
    signals: SignalSummary = SignalSummary()
    """Uncertainty of this turn."""


class FeedbackGiven(_Event):
    """The user judged an episode."""

    kind: Literal["feedback_given"] = "feedback_given"
    feedback: Feedback
    """What they said."""


class EpisodeUndone(_Event):
    """The episode's changes to its workspace were taken back."""

    kind: Literal["episode_undone"] = "episode_undone"
    paths: tuple[str, ...]
    """Files restored or removed, relative to the workspace."""


class TokenGenerated(_Event):
    """One token of the answer being written (passing)."""

    kind: Literal["token"] = "token"
    text: str
    """Text that became complete."""
    signal: TokenSignal
    """Its signals."""


class EpisodeJudged(_Event):
    """The gate, or the user, decided what becomes of an episode."""

    kind: Literal["episode_judged"] = "episode_judged"
    verdict: Verdict
    """With reasons."""


class LessonKept(_Event):
    """A lesson as it now stands; the newest one with an id counts."""

    kind: Literal["lesson_kept"] = "lesson_kept"
    lesson: Lesson
    """The whole lesson."""


class NightStarted(_Event):
    """A night began, or went on after an interruption."""

    kind: Literal["night_started"] = "night_started"
    night: str
    """Its id."""
    resumed: bool = False
    """Whether it goes on from a finished stage."""


class NightFinished(_Event):
    """A night is over."""

    kind: Literal["night_finished"] = "night_finished"
    night: str
    """Its id."""
    outcome: NightOutcome
    """How it ended."""
    reason: str = ""
    """Why, where that needs saying."""
    adapter: str | None = None
    """The candidate, promoted or not."""
    learned: tuple[str, ...] = ()
    """Lessons that are in the weights now."""
    seconds: float = 0.0
    """Wall-clock time."""


class AdapterActivated(_Event):
    """Another adapter, or none, is in service."""

    kind: Literal["adapter_activated"] = "adapter_activated"
    adapter: str | None
    """Its id; None is the base model alone."""
    digest: str = ""
    """Digest of the served weights, as proven in memory."""
    why: str
    """`promotion`, `rollback`, `forget` or `user`."""


class SnapshotTaken(_Event):
    """The state was given a name."""

    kind: Literal["snapshot_taken"] = "snapshot_taken"
    snapshot: str
    """Its id."""
    name: str
    """Its name."""


class RolledBack(_Event):
    """Memory, adapters, skills and settings went back to a snapshot."""

    kind: Literal["rolled_back"] = "rolled_back"
    snapshot: str
    """Its id."""
    history: tuple[tuple[int, int], ...]
    """Journal positions that count from here on, besides those after this event."""
    undo: str
    """The snapshot that was taken just before."""


class Forgotten(_Event):
    """Episodes or lessons were forgotten for good; nothing of their text is in this event."""

    kind: Literal["forgotten"] = "forgotten"
    episodes: tuple[str, ...] = ()
    """Ids."""
    lessons: tuple[str, ...] = ()
    """Ids."""
    adapters: tuple[str, ...] = ()
    """Adapters taken out of service because they descend from them."""


class KnowledgeChanged(_Event):
    """Documents were read, or taken out of what is known now. What they say is in the text store, named by
    each version."""

    kind: Literal["knowledge_changed"] = "knowledge_changed"
    kept: tuple[Version, ...] = ()
    """New versions, each the current one of its document from here on."""
    removed: tuple[str, ...] = ()
    """Ids of documents that are known no more; their versions are kept."""


class Progress(_Event):
    """Something long is under way (passing)."""

    kind: Literal["progress"] = "progress"
    stage: str
    """`loading`, `prefill`, `tool`, …"""
    text: str = ""
    """For a person."""
    done: float = 0.0
    """How much, in the unit of `total`."""
    total: float = 0.0
    """Out of how much; 0 when unknown."""


class NightProgress(_Event):
    """A night goes on (passing)."""

    kind: Literal["night_progress"] = "night_progress"
    night: str
    """Its id."""
    stage: NightStage
    """Where it is."""
    text: str = ""
    """For a person."""
    done: float = 0.0
    """How much of the stage, in the unit of `total`."""
    total: float = 0.0
    """Out of how much; 0 when unknown."""
    loss: float | None = None
    """Training loss of the latest step."""
    known: int | None = None
    """New lessons the candidate knows so far."""
    tokens_per_second: float | None = None
    """Trained."""


DurableEvent = (
    EpisodeStarted
    | TaskAccepted
    | StepStarted
    | StepFinished
    | ContextCompacted
    | ApprovalRequested
    | QuestionAsked
    | CallDecided
    | RunFinished
    | FeedbackGiven
    | EpisodeUndone
    | EpisodeJudged
    | LessonKept
    | NightStarted
    | NightFinished
    | AdapterActivated
    | SnapshotTaken
    | RolledBack
    | Forgotten
    | KnowledgeChanged
)
PassingEvent = TokenGenerated | Progress | NightProgress
Event = Annotated[DurableEvent | PassingEvent, Field(discriminator="kind")]

_adapter: TypeAdapter[Any] = TypeAdapter(Event)


def parse_event(data: str | bytes) -> Event:
    """One event from its JSON line. Raises pydantic.ValidationError when it is none."""
    event: Event = _adapter.validate_json(data)
    return event


def is_durable(event: Event) -> bool:
    """Whether the journal keeps it."""
    return not isinstance(event, PassingEvent)
