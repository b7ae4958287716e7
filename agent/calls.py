"""What a face may ask of the runtime: one protocol, met in process (`agent.runtime.Runtime`) and over
the home's socket (`agent.client.RemoteRuntime`).

Arguments and results are plain JSON types or frozen models, so that every call can travel.
Failures are `NightSchoolError`s (UsageError, ModelError, HomeError, …) on both sides.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

from agent.events import Event
from agent.keeping_calls import KeepingCalls
from agent.knowledge_calls import KnowledgeCalls
from agent.learning_calls import LearningCalls
from memory.types import Episode, EpisodeKind, Record, SignalSummary, TokenUsage

ApprovalMode = Literal["allow", "ask", "deny"]


class TaskRequest(Record):
    """A task, or the next message of a conversation."""

    text: str
    """What the user asks; not empty."""
    kind: EpisodeKind = "task"
    """`task` or `conversation`."""
    workspace: str | None = None
    """Absolute folder to work in; None makes a fresh one in the home."""
    continue_episode: str | None = None
    """Go on with this episode instead of starting one; `last` means the newest."""
    max_steps: int | None = None
    """Overrides `agent.max_steps`."""
    approve: ApprovalMode | None = None
    """What happens to calls that policy asks about: `allow` or `deny` them all, or `ask` a person who
    is listening. None means nobody is there: deny. With `deny` the model's own questions are put to nobody
    either."""
    attachments: tuple[str, ...] = ()
    """Paths of files, inside the workspace or absolute, whose text goes along as context."""


class Answer(Record):
    """The answer to a plain question."""

    answer: str
    """The text."""
    signals: SignalSummary
    """Uncertainty over the answer's tokens."""
    tokens: TokenUsage
    """What it cost."""
    recalled: tuple[str, ...] = ()
    """Ids of the episodes that were shown to the model."""


class EpisodeHit(Record):
    """An episode found by a search."""

    episode: Episode
    """The episode."""
    score: float
    """Higher is closer; comparable within one search only."""
    reason: str
    """Why it was found, for a person."""


class FileChange(Record):
    """One file that an undo would change."""

    path: str
    """Relative to the workspace."""
    action: Literal["restore", "remove", "lost"]
    """`restore` the old content, `remove` a file the task created, or `lost`: it changed and its old
    content was not kept, so it stays as it is."""
    diff: str
    """Unified diff from now to then."""


class Status(Record):
    """How things stand."""

    model: str
    """Catalogue name of the chosen model."""
    model_state: Literal["not_loaded", "loading", "ready", "failed"]
    """Of the weights."""
    model_error: str = ""
    """Why it failed."""
    adapter: str | None
    """Serving adapter."""
    sandbox: str
    """Backend's name."""
    sandbox_error: str = ""
    """Why it is unavailable; empty when it works."""
    home: str
    """The home folder."""
    running: str | None
    """Episode being worked on."""
    queued: int
    """Tasks waiting."""
    context_tokens: int
    """Longest prompt plus answer."""


class RuntimeCalls(LearningCalls, KnowledgeCalls, KeepingCalls, Protocol):
    """The runtime as every face sees it."""

    async def submit(self, request: TaskRequest) -> str:
        """Queue a task; returns its episode id at once. Raises UsageError when it makes no sense."""

    def events(self, episode_id: str | None = None, after: int = 0) -> AsyncGenerator[Event, None]:
        """Events from now on, preceded by the journalled ones with seq > `after` of that episode
        (or none replayed when `episode_id` is None). Never ends by itself."""

    async def interrupt(self, episode_id: str) -> bool:
        """Stop a running or queued task between two tokens; True when there was something to stop."""

    async def decide(self, request_id: str, allow: bool, reason: str = "") -> None:
        """Answer an `approval_requested`."""

    async def answer(self, request_id: str, text: str | None) -> None:
        """Answer a `question_asked`; None declines."""

    async def ask(self, question: str, memory: bool = True) -> Answer:
        """One answer, without tools and without leaving an episode."""

    async def ask_many(self, questions: tuple[str, ...], memory: bool = True) -> list[Answer]:
        """An answer to each question, as `ask` gives it; faster than one after the other."""

    async def remember(self, text: str) -> str:
        """Keep a note; returns its episode id."""

    async def episodes(self, limit: int = 50) -> list[Episode]:
        """Newest first."""

    async def episode(self, episode_id: str) -> Episode:
        """One episode by id, by a prefix of it that fits only one, or `last`. Raises UsageError."""

    async def search(self, text: str, limit: int = 10) -> list[EpisodeHit]:
        """Best first."""

    async def rebuild_episodes(self) -> int:
        """Make the table of episodes anew from the journal; returns how many there are."""

    async def feedback(self, episode_id: str, rating: Literal["good", "bad"], text: str = "") -> None:
        """Keep the user's judgement with the episode."""

    async def undo_preview(self, episode_id: str) -> list[FileChange]:
        """What `undo` would change."""

    async def undo(self, episode_id: str) -> list[FileChange]:
        """Take back what an episode changed in its workspace. Raises UsageError when there is nothing."""

    async def status(self) -> Status:
        """How things stand."""

    async def load_model(self) -> None:
        """Start loading the weights, if that has not happened; progress comes as events."""

    async def close(self) -> None:
        """Let go. In process: waits for running tasks, then closes the home."""
