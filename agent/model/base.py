"""The model protocol: what the rest of Night School may ask of a language model.

Every method is synchronous and is called from the one thread that owns the model
(`agent.model.thread.ModelThread` bridges it to asyncio).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field

from memory.types import Message, Record, SignalSummary, TokenSignal, TokenUsage
from skills.tool import ToolSpec


class Capabilities(Record):
    """What a backend can do."""

    signals: bool = True
    """Entropy and margin with each token; without them only log-probabilities."""
    scoring: bool = True
    """`score` works."""
    adapters: bool = True
    """`activate` works."""
    constrained: bool = True
    """Tool calls can be constrained to their schemas while decoding."""
    context_tokens: int = 4096
    """Longest prompt plus answer."""


FinishReason = Literal["stop", "length", "circles"]


class GenerateRequest(Record):
    """One turn to generate."""

    messages: tuple[Message, ...]
    """The conversation, system message first, ending in a `user` or `tool` message."""
    tools: tuple[ToolSpec, ...] = ()
    """Tools offered in the prompt; empty means plain text."""
    max_tokens: int = 512
    """Most tokens to decode."""
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    """Nucleus; used only when temperature > 0."""
    seed: int | None = None
    """Seed of the sampling; None draws one."""
    avoid: tuple[str, ...] = Field(default=(), exclude_if=lambda words: not words)
    """Words that are not begun: no token is chosen with which one of them, or another word that is spelled
    like its beginning, would start."""
    max_calls: int = 16
    """Most tool calls in the turn, which ends after them; held only where `constrain` is."""
    constrain: bool = True
    """Constrain tool calls to the tools' schemas (only where `tools` is not empty)."""


class TokenDelta(Record):
    """One decoded token."""

    kind: Literal["token"] = "token"
    text: str
    """Text that became complete with this token; may be empty."""
    signal: TokenSignal
    """Its signals."""


class PrefillProgress(Record):
    """Part of the prompt has been computed."""

    kind: Literal["prefill"] = "prefill"
    done: int
    """Prompt tokens computed or found in the cache so far."""
    total: int
    """Prompt tokens."""


class TurnEnd(Record):
    """Last item of a stream that was not interrupted."""

    kind: Literal["end"] = "end"
    text: str
    """The whole generated text, without the end-of-turn token."""
    finish_reason: FinishReason
    """`stop`: the model ended its turn; `length`: max_tokens or the context was used up; `circles`: it was
    stopped because it wrote the same over and over."""
    usage: TokenUsage
    """What it cost."""
    signals: SignalSummary = SignalSummary()
    """Uncertainty over its unforced tokens."""


Delta = TokenDelta | PrefillProgress | TurnEnd


class ScoreRequest(Record):
    """A conversation whose last assistant answer is to be scored."""

    messages: tuple[Message, ...]
    """The prompt, ending before the answer."""
    completion: str
    """The answer; the end-of-turn token is scored after it."""
    tools: tuple[ToolSpec, ...] = ()
    """Tools offered in the prompt."""


class Score(Record):
    """Per-token log-probabilities of one completion."""

    token_ids: tuple[int, ...]
    """Tokens of the completion and the end-of-turn token."""
    logprobs: tuple[float, ...]
    """log p of each, natural log; same length."""

    @property
    def mean(self) -> float:
        """Mean log-probability per token."""
        return sum(self.logprobs) / len(self.logprobs)


class Model(Protocol):
    """A language model."""

    name: str
    """Catalogue name."""
    capabilities: Capabilities
    """What this backend can do."""

    def stream(self, request: GenerateRequest) -> Iterator[Delta]:
        """Generate one turn. Stop iterating (or `close()` it) to interrupt between any two tokens.

        Raises ModelError when the prompt does not fit the context.
        """

    def generate_batch(self, requests: Sequence[GenerateRequest]) -> list[TurnEnd]:
        """Generate one turn for each request, together."""

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Log-probabilities of given answers."""

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> int:
        """Length of the prompt these would make, in tokens."""

    def activate(self, adapter: Path | None) -> None:
        """Serve with the PEFT adapter in this folder, or with the base model alone."""

    def served_digest(self) -> str:
        """Digest of the adapter's tensors and scaling as they are in memory and serving, the same as
        `memory.adapter_files.adapter_digest` gives for its folder; empty for the base model alone."""
