"""`nightschool bench contradictions`: precision and recall of seeing contradictions, on pairs written for it.

`contradictions.jsonl` holds pairs of statements, half of which cannot both be true: another value, number or
wording of the same thing, or its denial. The others are hard to tell from those: the same said of another
subject, something more about the same subject (often in the same words), paraphrases, the past. Pairs are
divided by relation: weights are fitted on `dev`, and no relation of `test` is in it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from agent.errors import ModelError
from agent.logistic import fit, save
from agent.sleep.contradictions import (
    LIKELY,
    SURE,
    WEIGHTS,
    Pair,
    candidates,
    figures,
    fitted,
)
from benchmarks.facts import Fact, invent, other_object, state
from benchmarks.gate import average_precision
from benchmarks.relations import RELATIONS
from memory.embed import Embedder
from memory.record import Record

PAIRS = Path(__file__).with_name("contradictions.jsonl")
_RIDGE = 2.0
_SEED = 11
_STREAM_FITTED = 60


class Labelled(Record):
    """Two statements of a user."""

    split: Literal["dev", "test"]
    """Fitted on or tested on."""
    relation: str
    """What they are about."""
    earlier: str
    """Said first."""
    newer: str
    """Said later."""
    contradicts: bool
    """Whether they cannot both be true."""
    how: str
    """In which way they differ."""
    subjects: tuple[str, str] = ("", "")
    """What they are about, where it is known as in the product."""
    values: tuple[str, str] = ("", "")
    """What they say of it."""


def read_pairs() -> list[Labelled]:
    """The labelled pairs."""
    return [
        Labelled.model_validate(json.loads(line)) for line in PAIRS.read_text(encoding="utf-8").splitlines()
    ]


def stream_pairs(seed: int, count: int = 200) -> list[Labelled]:
    """Pairs as conversations about fictional facts bring them. Each fact is followed by another fact of its
    relation, by itself said again in passing, by its later change put the same way, and by a correction in
    other words. Relations are divided between dev and test."""
    facts = invent(count, seed)
    found = []
    for fact in facts:
        relation = RELATIONS[fact.known or 0]
        other = next((each for each in facts[fact.index + 1 :] if each.relation == fact.relation), None)
        if other is not None:
            found.append(
                _follows(fact, other.statement, (other.subject, other.object), "stream: other subject")
            )
        again = relation.passing[fact.index % len(relation.passing)].format(s=fact.subject, o=fact.object)
        found.append(_follows(fact, again, (fact.subject, fact.object), "stream: said again"))
        changed = other_object(fact, facts, seed)
        if changed is not None:
            newer = state(fact.subject, fact.relation, changed)
            found.append(_follows(fact, newer, (fact.subject, changed), "stream: changed", True))
            mended = relation.mended.format(s=fact.subject, o=changed, old=fact.object)
            found.append(_follows(fact, mended, (fact.subject, changed), "stream: corrected", True))
    return found


def run(embedder: Embedder | None, fit_weights: bool = False) -> dict[str, Any]:
    """Judge every pair as the product does. Raises ModelError without an embedder."""
    if embedder is None:
        raise ModelError("The sentence embedder is not here. Fetch it with `nightschool model pull`.")
    # fewer of them to fit on: they are all alike, and would outvote the pairs that were written
    stream = [p for p in stream_pairs(_SEED, _STREAM_FITTED) if p.split == "dev"]
    stream += [p for p in stream_pairs(_SEED + 1) if p.split == "test"]
    pairs = [*read_pairs(), *stream]
    near = [candidates(pair.newer, [pair.earlier], embedder) for pair in pairs]
    seen = figures(
        [
            Pair(
                earlier=p.earlier,
                newer=p.newer,
                closeness=found[0][1] if found else 0.0,
                subjects=p.subjects,
                values=p.values,
            )
            for p, found in zip(pairs, near, strict=True)
        ],
        embedder,
    )
    if fit_weights:
        _fit(pairs, seen)
    weights = fitted()
    chances = [weights.probability(v) if found else 0.0 for v, found in zip(seen, near, strict=True)]
    judged = list(zip(pairs, chances, strict=True))
    return {
        "benchmark": "contradictions",
        "likely": LIKELY,
        "sure": SURE,
        "splits": {
            split: _report([(p, c) for p, c in judged if p.split == split and not p.how.startswith("stream")])
            for split in ("dev", "test")
        },
        "stream": _report([(p, c) for p, c in judged if p.split == "test" and p.how.startswith("stream")]),
    }


def _fit(pairs: Sequence[Labelled], seen: Sequence[dict[str, float | None]]) -> None:
    dev = [index for index, pair in enumerate(pairs) if pair.split == "dev"]
    made = fit([seen[i] for i in dev], [pairs[i].contradicts for i in dev], tuple(seen[0]), _RIDGE)
    save(
        WEIGHTS,
        made.model_copy(update={"about": {"fitted_on": len(dev)}}),
        "Written by `nightschool bench contradictions --fit`.",
    )
    fitted.cache_clear()


def _follows(fact: Fact, newer: str, told: tuple[str, str], how: str, contradicts: bool = False) -> Labelled:
    return Labelled(
        split="dev" if (fact.known or 0) % 2 == 0 else "test",
        relation=fact.relation,
        earlier=fact.statement,
        newer=newer,
        contradicts=contradicts,
        how=how,
        subjects=(fact.subject, told[0]),
        values=(fact.object, told[1]),
    )


def _report(judged: Sequence[tuple[Labelled, float]]) -> dict[str, Any]:
    labels = [pair.contradicts for pair, _ in judged]
    chances = [chance for _, chance in judged]
    precision, recall = _at(chances, labels, LIKELY)
    sure_precision, sure_recall = _at(chances, labels, SURE)
    ways = sorted({pair.how for pair, _ in judged})
    return {
        "n": len(judged),
        "contradictions": sum(labels),
        "precision": precision,
        "recall": recall,
        "sure_precision": sure_precision,
        "sure_recall": sure_recall,
        "auprc": average_precision(chances, labels),
        "brier": sum((c - y) ** 2 for c, y in zip(chances, labels, strict=True)) / len(labels),
        "seen_by_kind": {way: _seen([c for p, c in judged if p.how == way]) for way in ways},
    }


def _seen(chances: Sequence[float]) -> str:
    return f"{sum(chance >= LIKELY for chance in chances)} of {len(chances)}"


def _at(chances: Sequence[float], labels: Sequence[bool], threshold: float) -> tuple[float, float]:
    taken = [label for chance, label in zip(chances, labels, strict=True) if chance >= threshold]
    return (sum(taken) / len(taken) if taken else 1.0), sum(taken) / max(1, sum(labels))
