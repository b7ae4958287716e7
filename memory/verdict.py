"""What the gate decides, and from what."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from memory.record import Record, now

VerdictKind = Literal["write", "remember", "skip"]


class GateSignals(Record):
    """What the gate measured; None where a signal was not taken."""

    context_gain: float | None = None
    """Mean over answer tokens of log p(answer | episode in context) - log p(answer | nothing), nats."""
    total_gain: float | None = None
    """The same summed over the answer's tokens, nats: how much reading it tells about the answer."""
    disagreement: float | None = None
    """Share of closed-book samples that differ from the answer with the episode in context, in [0, 1]."""
    semantic_entropy: float | None = None
    """Entropy over clusters of the closed-book samples, nats (Kuhn et al. 2023, discrete form)."""
    mean_entropy: float | None = None
    """Mean token entropy over the closed-book answer, nats."""
    max_entropy: float | None = None
    """Highest token entropy over the closed-book answer, nats."""
    min_margin: float | None = None
    """Lowest top-2 margin over the closed-book answer."""
    min_logprob: float | None = None
    """Lowest log-probability over the closed-book answer, nats."""
    surprise: float | None = None
    """Mean surprise (nats a token) of what the user or a tool said, in standard deviations from that of plain
    everyday sentences."""
    corrected: bool = False
    """The user corrected the agent."""
    recovered: bool = False
    """A tool call failed first and succeeded later."""
    asked_to_keep: bool = False
    """The user asked outright to remember this."""
    passing: bool = False
    """It speaks of the moment: today, right now, this morning."""
    recurrences: int = 0
    """Earlier episodes that say much the same."""


class Verdict(Record):
    """What the gate decided about an episode or a lesson, and why."""

    kind: VerdictKind
    """`write` into weights, `remember` in memory only, `skip`."""
    score: float
    """Estimated probability that writing it pays, in [0, 1]."""
    reasons: tuple[str, ...]
    """For a person, weightiest first."""
    vetoes: tuple[str, ...] = ()
    """What forbids learning it, whatever the score; empty when nothing does."""
    signals: GateSignals = GateSignals()
    """What it was decided from."""
    stage: Literal["cheap", "scored"] = "cheap"
    """`cheap`: from what was free while working; `scored`: after the night's scoring pass."""
    by: Literal["gate", "user"] = "gate"
    """Who decided; a user's verdict stands."""
    at: datetime = Field(default_factory=now)
    """UTC."""
