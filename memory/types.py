"""The values that every room shares: messages, tool calls, steps, episodes.

All are frozen pydantic models that refuse unknown fields, so a record read back from disk is either
exactly what was written or an error. They hold no behaviour beyond what derives from their fields.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from memory.record import Record as Record
from memory.record import now as now
from memory.verdict import Verdict

Role = Literal["system", "user", "assistant", "tool"]
Provenance = Literal["system", "user", "model", "tool", "file", "web"]
Outcome = Literal["success", "failure", "interrupted", "out_of_budget", "refused"]
EpisodeKind = Literal["task", "conversation", "note"]


class ToolCall(Record):
    """One call the model asked for, already parsed."""

    id: str
    """Unique within its episode, for example `call_3_0` (step 3, first call)."""
    name: str
    """The tool's name as the model wrote it; it may not exist."""
    arguments: dict[str, Any]
    """The arguments as parsed JSON; not yet checked against the tool's schema."""


class ToolResult(Record):
    """What came back from one tool call."""

    call_id: str
    """The `id` of the call this answers."""
    name: str
    """The tool's name."""
    ok: bool
    """False when the call was refused, malformed, or the tool reported an error."""
    content: str
    """What the model sees; shortened when the output was long."""
    full_output: str | None = None
    """Path of the file that holds the whole output when `content` is shortened."""
    refused: bool = False
    """True when policy or a person refused the call, so nothing was run."""
    seconds: float = 0.0
    """Wall-clock time of the call, approval not included."""
    provenance: Provenance = "tool"
    """Where the text came from: `tool` for command output, `file`, `web` or `user`."""


class Message(Record):
    """One message of a conversation, as the model sees it."""

    role: Role
    """Who speaks, in the chat template's terms."""
    content: str
    """The text. For `assistant` it is the raw generated text, tool-call markup included."""
    context: str = ""
    """Helping text placed before `content` when prompting (recalled episodes, attached files).
    Kept apart so that a lesson can be made without it."""
    provenance: Provenance
    """Where the text came from."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls parsed out of `content`; only for `assistant`."""
    tool_call_id: str | None = None
    """The call this message answers; only for `tool`."""
    name: str | None = None
    """The tool's name; only for `tool`."""


class TokenSignal(Record):
    """What the model's distribution looked like where one token was chosen (natural log, nats).

    All figures are of the raw next-token distribution, before temperature and before any grammar mask.
    """

    token_id: int
    """The chosen token."""
    text: str
    """Text this token added; may be empty while a multi-byte character is incomplete."""
    logprob: float
    """log p(token)."""
    entropy: float
    """H = logsumexp(z) - sum(softmax(z) * z) over the whole vocabulary."""
    margin: float
    """p(top 1) - p(top 2), in [0, 1]."""
    forced: bool = False
    """True when a grammar or a forced prefix left no choice, so the token says nothing about the model."""


class SignalSummary(Record):
    """Uncertainty over the unforced tokens of a stretch of text; zeros when there were none."""

    tokens: int = 0
    """Number of unforced tokens."""
    mean_logprob: float = 0.0
    """Mean log-probability."""
    min_logprob: float = 0.0
    """Lowest log-probability."""
    mean_entropy: float = 0.0
    """Mean entropy, nats."""
    max_entropy: float = 0.0
    """Highest entropy, nats."""
    mean_margin: float = 0.0
    """Mean top-2 margin."""
    min_margin: float = 0.0
    """Lowest top-2 margin."""

    @classmethod
    def of(cls, signals: tuple[TokenSignal, ...] | list[TokenSignal]) -> SignalSummary:
        """Summarise token signals, leaving out forced tokens."""
        free = [signal for signal in signals if not signal.forced]
        if not free:
            return cls()
        count = len(free)
        return cls(
            tokens=count,
            mean_logprob=sum(s.logprob for s in free) / count,
            min_logprob=min(s.logprob for s in free),
            mean_entropy=sum(s.entropy for s in free) / count,
            max_entropy=max(s.entropy for s in free),
            mean_margin=sum(s.margin for s in free) / count,
            min_margin=min(s.margin for s in free),
        )


class TokenUsage(Record):
    """Tokens a model turn cost."""

    prompt: int = 0
    """Tokens of the whole prompt."""
    prefilled: int = 0
    """Prompt tokens that were computed; the rest came from the KV cache."""
    generated: int = 0
    """Tokens decoded."""

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(
            prompt=self.prompt + other.prompt,
            prefilled=self.prefilled + other.prefilled,
            generated=self.generated + other.generated,
        )


class Step(Record):
    """One model turn and the tool results it led to."""

    index: int
    """Counts from 0 within the episode."""
    message: Message
    """The assistant message."""
    results: tuple[ToolResult, ...] = ()
    """One result for each of the message's calls, in order."""
    usage: TokenUsage = TokenUsage()
    """What the turn cost."""
    signals: tuple[TokenSignal, ...] = ()
    """One for each generated token."""
    seconds: float = 0.0
    """Wall-clock time of the model turn and its tools."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The assistant message and its results, as the model sees them."""
        results = (
            Message(
                role="tool",
                content=result.content,
                provenance=result.provenance,
                tool_call_id=result.call_id,
                name=result.name,
            )
            for result in self.results
        )
        return (self.message, *results)


class Feedback(Record):
    """What the user said about an episode afterwards."""

    rating: Literal["good", "bad"]
    """Thumbs up or down."""
    text: str = ""
    """A correction or remark in the user's own words."""
    at: datetime = Field(default_factory=now)
    """When it was given, UTC."""


class Turn(Record):
    """One user message and everything it led to, in order."""

    user: Message
    """The task, or the next message of a conversation."""
    steps: tuple[Step, ...] = ()
    """What the agent did."""
    outcome: Outcome
    """How this turn ended."""
    answer: str
    """The final text for the user; empty when there was none."""


class Episode(Record):
    """The record of one task or one conversation."""

    id: str
    """Unique and sortable by time, for example `ep_20260101T120000_3f9a`."""
    kind: EpisodeKind
    """A task, a conversation of several turns, or a note the user asked to remember."""
    turns: tuple[Turn, ...]
    """At least one."""
    workspace: str | None
    """Absolute path the tools worked in; None when there were no tools."""
    model: str
    """Catalogue name of the model that acted."""
    adapter: str | None = None
    """Id of the adapter that served, None for the base model."""
    system: str = ""
    """The system prompt the episode ran under."""
    tools: tuple[str, ...] = ()
    """Names of the tools that were offered."""
    started_at: datetime
    """UTC."""
    ended_at: datetime
    """UTC."""
    feedback: tuple[Feedback, ...] = ()
    """Oldest first."""
    undone: bool = False
    """True once its changes to the workspace were taken back."""
    verdict: Verdict | None = None
    """What the gate, or the user, decided about learning it; None while nobody has."""

    @property
    def task(self) -> str:
        """What was asked first."""
        return self.turns[0].user.content

    @property
    def outcome(self) -> Outcome:
        """How the last turn ended."""
        return self.turns[-1].outcome

    @property
    def answer(self) -> str:
        """The last answer."""
        return self.turns[-1].answer

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of all turns, in order."""
        return tuple(step for turn in self.turns for step in turn.steps)

    @property
    def usage(self) -> TokenUsage:
        """Tokens of the whole episode."""
        return sum((step.usage for step in self.steps), TokenUsage())

    @property
    def uncertainty(self) -> SignalSummary:
        """Signals over every generated token of the episode."""
        return SignalSummary.of([signal for step in self.steps for signal in step.signals])

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation as the model saw it, system prompt left out."""
        found: list[Message] = []
        for turn in self.turns:
            found.append(turn.user)
            for step in turn.steps:
                found.extend(step.messages)
        return tuple(found)
