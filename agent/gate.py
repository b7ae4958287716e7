"""The gate: what becomes of an episode or a lesson, and why.

`cheap_verdict` judges an episode the moment it ends, from what working on it left behind; `write` there
means: a candidate for the night. `scored_verdict` judges one lesson after the night measured what the model
knows by itself (`agent.sleep.scoring`). A user's correction and an outright request to remember bypass the
score; nothing bypasses a veto. Reasons are sentences for a person, weightiest first.

What it does not do: find facts in a text (that is the night's), or look at the words of a lesson for a topic.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from agent.logistic import Logistic, load
from agent.told import asks_to_keep, corrects, recants, says_something, sentences, topic
from agent.vetoes import vetoes as find_vetoes
from memory.types import Episode, SignalSummary
from memory.verdict import GateSignals, Verdict, VerdictKind

WEIGHTS = Path(__file__).with_name("gate_weights.toml")
"""Fitted by `nightschool bench gate --fit`."""
SIGNALS = (
    "context_gain",
    "total_gain",
    "disagreement",
    "semantic_entropy",
    "mean_entropy",
    "max_entropy",
    "min_margin",
    "min_logprob",
    "surprise",
)
"""What is measured."""
_DECODING = SIGNALS[4:8]
FLAGS = ("corrected", "recovered", "passing", "recurrences")
"""What is known about how it was said."""
# share of the content words two tasks have in common to count as one thing said twice
_SAME = 0.6
_RECENT = 200
# An answer as sure as this tells that the model knew, or thought it knew, what to say (nats).
_UNSURE = 1.0
_SCORES = {"asked": 0.95, "corrected": 0.95, "recovered": 0.8, "told": 0.6, "unsure": 0.3, "nothing": 0.05}


def cheap_verdict(episode: Episode, recent: Sequence[Episode] = ()) -> Verdict:
    """Judge an episode that just ended. `recent`: earlier episodes, to see what recurs.

    May take a second when a text holds a number that could be a secret (see `agent.secrets`).
    """
    signals = flags_of(episode, recent)
    told = [sentence for text in _said(episode) for sentence in sentences(text)]
    statements = [sentence for sentence in told if says_something(sentence)]
    if episode.kind == "note":
        statements = statements or told
    kind, score, reasons = _cheap(episode, signals, bool(statements))
    kept_out = [find_vetoes(sentence) for sentence in statements or told] if kind == "write" else []
    found = tuple(dict.fromkeys(veto for each in kept_out for veto in each))
    if found and not signals.recovered and all(kept_out):
        return Verdict(
            kind="remember",
            score=0.0,
            reasons=(f"It must not be learned: {'; '.join(found)}.", *reasons),
            vetoes=found,
            signals=signals,
        )
    if found:
        reasons.append(f"A part of it will not be learned: {'; '.join(found)}.")
    return Verdict(kind=kind, score=score, reasons=tuple(reasons), signals=signals)


def flags_of(episode: Episode, recent: Sequence[Episode] = ()) -> GateSignals:
    """What an episode shows by itself: uncertainty while decoding and the flags."""
    return uncertainty(episode.uncertainty).model_copy(
        update={
            "corrected": _corrected(episode),
            "recovered": _recovered(episode),
            "asked_to_keep": episode.kind == "note" or any(asks_to_keep(text) for text in _said(episode)),
            "recurrences": _recurrences(episode, recent),
        }
    )


def uncertainty(summary: SignalSummary) -> GateSignals:
    """The figures of decoding; none when nothing was decoded."""
    if not summary.tokens:
        return GateSignals()
    return GateSignals(
        mean_entropy=summary.mean_entropy,
        max_entropy=summary.max_entropy,
        min_margin=summary.min_margin,
        min_logprob=summary.min_logprob,
    )


def scored_verdict(
    signals: GateSignals,
    flags: GateSignals | None = None,
    vetoes: tuple[str, ...] = (),
    threshold: float = 0.5,
    weights: Logistic | None = None,
) -> Verdict:
    """Judge a lesson from what the night measured.

    `flags`: the signals of its episode's cheap verdict, whose flags count in addition to those of `signals`.
    `threshold`: least score of a lesson that changes weights. `weights` None uses the fitted ones.
    """
    signals = with_flags(signals, flags)
    weights = weights or fitted()
    values = figures(signals)
    score = weights.probability(values)
    reasons = _explain(signals, weights.shares(values))
    if signals.recovered and all(values[name] is None for name in SIGNALS):
        # nobody can ask for a call as for a fact, but the day has shown that it was wrong first
        score = max(score, _SCORES["recovered"])
    if vetoes:
        reasons = [f"It must not be learned: {'; '.join(vetoes)}.", *reasons]
        kind: VerdictKind = "remember"
    elif signals.asked_to_keep or signals.corrected:
        why = "You asked to remember this." if signals.asked_to_keep else "You corrected something."
        kind, score, reasons = "write", max(score, _SCORES["asked"]), [why, *reasons]
    elif score >= threshold:
        kind = "write"
    else:
        kind = "remember"
        reasons.append(f"Its score {score:.2f} is below the threshold {threshold:.2f}.")
    return Verdict(
        kind=kind,
        score=0.0 if vetoes else score,
        reasons=tuple(reasons),
        vetoes=vetoes,
        signals=signals,
        stage="scored",
    )


def with_flags(signals: GateSignals, flags: GateSignals | None) -> GateSignals:
    """What was measured of a lesson, with the flags of its episode."""
    if flags is None:
        return signals
    return signals.model_copy(
        update={
            "corrected": signals.corrected or flags.corrected,
            "recovered": signals.recovered or flags.recovered,
            "asked_to_keep": signals.asked_to_keep or flags.asked_to_keep,
            "recurrences": max(signals.recurrences, flags.recurrences),
        }
    )


def figures(signals: GateSignals) -> dict[str, float | None]:
    """The numbers the regression sees."""
    values: dict[str, float | None] = {name: getattr(signals, name) for name in SIGNALS}
    values["corrected"] = float(signals.corrected)
    values["recovered"] = float(signals.recovered)
    values["passing"] = float(signals.passing)
    values["recurrences"] = float(min(signals.recurrences, 3))
    return values


@cache
def fitted() -> Logistic:
    """The weights in use."""
    return load(WEIGHTS)


def _cheap(episode: Episode, signals: GateSignals, told: bool) -> tuple[VerdictKind, float, list[str]]:
    reasons: list[str] = []
    if signals.recurrences:
        times = "once" if signals.recurrences == 1 else f"{signals.recurrences} times"
        reasons.append(f"Much the same came up {times} before.")
    rated_bad = bool(episode.feedback) and episode.feedback[-1].rating == "bad"
    if signals.corrected:
        return "write", _SCORES["corrected"], ["You corrected something.", *reasons]
    if signals.asked_to_keep:
        return "write", _SCORES["asked"], ["You asked to remember this.", *reasons]
    if episode.undone:
        return "remember", _SCORES["nothing"], ["You took its changes back.", *reasons]
    if rated_bad:
        # without a word of what would have been right there is nothing to learn from
        return "remember", _SCORES["nothing"], ["You rated it bad without saying what was wrong.", *reasons]
    if signals.recovered and episode.outcome == "success":
        why = "A tool call failed first and succeeded later."
        return "write", _SCORES["recovered"], [why, *reasons]
    if told:
        score = min(0.9, _SCORES["told"] + 0.1 * min(signals.recurrences, 2))
        return "write", score, ["You told the agent something; the night checks whether it knew.", *reasons]
    if signals.max_entropy is not None and signals.max_entropy > _UNSURE:
        why = f"The agent was unsure of its answer (entropy up to {signals.max_entropy:.1f} nats)."
        return "remember", _SCORES["unsure"], [why, *reasons]
    if episode.kind == "task" and episode.steps and any(step.results for step in episode.steps):
        return (
            "remember",
            _SCORES["nothing"],
            ["A task done, with nothing new to learn from it.", *reasons],
        )
    if not any(topic(text) for text in _said(episode)):
        return "skip", 0.0, ["Small talk.", *reasons]
    return "skip", _SCORES["nothing"], ["A question that the agent answered without doubt.", *reasons]


def _explain(signals: GateSignals, shares: dict[str, float]) -> list[str]:
    """A sentence for each figure that moved the score, the strongest first."""
    moved: dict[str, float] = {}
    for name, share in shares.items():
        topic = (
            "uncertainty" if name in ("mean_entropy", "max_entropy", "min_margin", "min_logprob") else name
        )
        moved[topic] = moved.get(topic, 0.0) + share
    found = []
    for name in sorted(moved, key=lambda topic: -abs(moved[topic])):
        sentence = _sentence(name, signals)
        if sentence and abs(moved[name]) >= 0.1:
            found.append(f"{sentence} ({'for' if moved[name] > 0 else 'against'} learning it)")
    return found or ["Nothing that was measured speaks clearly for or against learning it."]


def _sentence(topic: str, signals: GateSignals) -> str:
    match topic:
        case "context_gain" if signals.context_gain is not None:
            return f"Having read it makes the answer likelier, by {signals.context_gain:.1f} nats a token"
        case "disagreement" if signals.disagreement is not None:
            return f"Of the answers without it, {signals.disagreement:.0%} differ from the one with it"
        case "semantic_entropy" if signals.semantic_entropy is not None:
            return f"The answers without it disagree among themselves by {signals.semantic_entropy:.1f} nats"
        case "uncertainty" if signals.max_entropy is not None:
            return f"Without it the answer was decoded with up to {signals.max_entropy:.1f} nats of entropy"
        case "surprise" if signals.surprise is not None:
            return f"Its words surprise the model by {signals.surprise:+.1f} standard deviations"
        case "corrected" if signals.corrected:
            return "You corrected something"
        case "recovered" if signals.recovered:
            return "A tool call failed first and succeeded later"
        case "passing" if signals.passing:
            return "It speaks of the moment, which is over tomorrow"
        case "recurrences" if signals.recurrences:
            return f"It came up {signals.recurrences} times before"
    return ""


def _said(episode: Episode) -> list[str]:
    """The user's own words, corrections included."""
    texts = [turn.user.content for turn in episode.turns if turn.user.provenance == "user"]
    return [*texts, *(given.text for given in episode.feedback if given.text)]


def _corrected(episode: Episode) -> bool:
    if any(given.rating == "bad" and given.text.strip() for given in episode.feedback):
        return True
    # later messages answer what the agent said; the first one can only correct what the user said once
    if any(corrects(turn.user.content) for turn in episode.turns[1:]):
        return True
    return any(recants(turn.user.content) for turn in episode.turns)


def _recovered(episode: Episode) -> bool:
    """A call failed and a later call of the same tool succeeded. Refusals by policy are no failures."""
    failed: set[str] = set()
    for step in episode.steps:
        for result in step.results:
            if result.ok and result.name in failed:
                return True
            if not result.ok and not result.refused:
                failed.add(result.name)
    return False


def _recurrences(episode: Episode, recent: Sequence[Episode]) -> int:
    mine = topic(episode.task)
    if not mine:
        return 0
    count = 0
    for other in recent[:_RECENT]:
        theirs = topic(other.task) if other.id != episode.id else frozenset()
        if theirs and len(mine & theirs) >= _SAME * len(mine | theirs):
            count += 1
    return count
