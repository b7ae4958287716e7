"""`nightschool bench gate`: whether the gate chooses what is worth learning.

The oracle of a statement: most of five closed-book answers are wrong and the open-book answer is right,
judged against what is true. The gate sees none of that: its own samples are others, and it is judged on
relations its weights were not fitted on. Whether the user corrected the agent, whether a call failed first,
and what recurs is simulated: a user who had asked before corrects an answer that is not what they believe
(true or not), and half of the tools' conventions show when the model's own guess fails.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent.gate import FLAGS, SIGNALS, WEIGHTS, figures, fitted, scored_verdict
from agent.logistic import Logistic, fit, save
from agent.model.base import Model
from agent.sleep.agree import contains_answer
from agent.sleep.scoring import SAMPLES, Asked, closed_book, measure_all
from benchmarks.gate_pool import Item, make_pool
from memory.record import Record
from memory.verdict import GateSignals

BUDGETS = (0.1, 0.25, 0.5)
"""Shares of the pool that a night might have room for."""
_TOGETHER = 12
# Of 0.5, 1, 2, 4, 8 and 16 the best by cross-validation over the relations of the fitting part.
_RIDGE = 8.0
_FOR = ("context_gain", "total_gain", "disagreement", "semantic_entropy", "corrected", "recovered")
_DRAWS = 1000

HAND = Logistic(
    bias=0.0,
    weights={"context_gain": 1.0, "disagreement": 1.0, "semantic_entropy": 0.3, "mean_entropy": 0.3},
    means={"context_gain": 2.0, "disagreement": 0.5, "semantic_entropy": 0.8, "mean_entropy": 0.8},
    deviations={"context_gain": 2.0, "disagreement": 0.3, "semantic_entropy": 0.5, "mean_entropy": 0.5},
)
"""Weights set by hand before anything was measured: a baseline."""


class Row(Record):
    """One statement, measured."""

    item: Item
    """The statement."""
    signals: GateSignals
    """What the gate sees."""
    closed_right: int
    """How many of the oracle's five closed-book answers are right."""
    open_right: bool
    """Whether the open-book answer is right."""
    answers: tuple[str, str]
    """The greedy answers, closed and open book."""

    @property
    def worth(self) -> bool:
        """The oracle's word."""
        return self.open_right and 2 * self.closed_right < SAMPLES


def measure_pool(
    model: Model,
    count: int,
    seed: int,
    kept: Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
    """Measure a pool. `kept`: a file of rows to go on from, and to add to."""
    items = make_pool(count, seed)
    wanted = {item.id: item for item in items}
    rows = {row.item.id: row for row in _read(kept) if wanted.get(row.item.id) == row.item}
    left = [item for item in items if item.id not in rows]
    for start in range(0, len(left), _TOGETHER):
        on_progress(len(items) - len(left) + start, len(items))
        fresh = _measure(model, left[start : start + _TOGETHER], seed)
        rows.update((row.item.id, row) for row in fresh)
        if kept is not None:
            with kept.open("a", encoding="utf-8") as file:
                file.writelines(row.model_dump_json() + "\n" for row in fresh)
    on_progress(len(items), len(items))
    return [rows[item.id] for item in items]


def fit_gate(rows: Sequence[Row], path: Path = WEIGHTS) -> Logistic:
    """Fit on the fitting part of the rows and write the weights."""
    part = [row for row in rows if row.item.part == "fit"]
    seen = [figures(row.signals) for row in part]
    names = (*SIGNALS, *FLAGS)
    # what can only speak for learning, and seems to speak against it, is the noise of few examples
    noise: list[str] = []
    while True:
        found = fit(seen, _labels(part), [name for name in names if name not in noise], _RIDGE)
        against = [name for name in _FOR if found.weights.get(name, 0.0) < 0]
        if not against:
            break
        noise += against
    found = found.model_copy(
        update={
            "weights": found.weights | dict.fromkeys(noise, 0.0),
            "means": found.means | dict.fromkeys(noise, 0.0),
            "deviations": found.deviations | dict.fromkeys(noise, 1.0),
        }
    )
    test = [row for row in rows if row.item.part == "test"]
    precision = average_precision([found.probability(figures(row.signals)) for row in test], _labels(test))
    about: dict[str, str | int | float] = {
        "fitted_on": len(part),
        "tested_on": len(test),
        "auprc": round(precision, 3),
    }
    found = found.model_copy(update={"about": about})
    save(path, found, "Written by `nightschool bench gate --fit`; means and weights of agent/gate.py.")
    fitted.cache_clear()
    return found


def report(rows: Sequence[Row], weights: Logistic, threshold: float = 0.5) -> dict[str, Any]:
    """The gate beside its baselines on the test part of the rows."""
    test = [row for row in rows if row.item.part == "test"]
    labels = _labels(test)
    seen = [figures(row.signals) for row in test]
    scores: dict[str, list[float]] = {
        "gate": [weights.probability(values) for values in seen],
        "hand-set": [HAND.probability(values) for values in seen],
        "entropy only": [values["mean_entropy"] or 0.0 for values in seen],
        "semantic entropy only": [values["semantic_entropy"] or 0.0 for values in seen],
        "context gain only": [values["context_gain"] or 0.0 for values in seen],
        "disagreement only": [values["disagreement"] or 0.0 for values in seen],
        "surprise only": [values["surprise"] or 0.0 for values in seen],
    }
    methods = {
        name: {
            "auprc": average_precision(ranked, labels),
            "auprc_interval": _interval(ranked, labels),
            "precision_at": {str(share): precision_at(ranked, labels, share) for share in BUDGETS},
        }
        for name, ranked in scores.items()
    }
    base_rate = sum(labels) / len(labels)
    flat = {str(share): base_rate for share in BUDGETS}
    shuffled = _random_order(labels)
    methods["random"] = {"auprc": shuffled, "precision_at": flat}
    methods["everything"] = {"auprc": base_rate, "precision_at": flat}
    return {
        "benchmark": "gate",
        "n": len(rows),
        "tested": len(test),
        "worth": sum(labels),
        "oracle_rate": base_rate,
        "methods": methods,
        "at_threshold": _decisions(test, weights, threshold),
    }


def average_precision(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Area under the precision-recall curve (the step-wise sum); ties count as drawn together."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    total = sum(labels)
    if not total:
        return 0.0
    area, seen, hits, start = 0.0, 0, 0, 0
    while start < len(order):
        end = start
        while end < len(order) and scores[order[end]] == scores[order[start]]:
            end += 1
        fresh = sum(labels[i] for i in order[start:end])
        seen, hits = end, hits + fresh
        area += fresh / total * hits / seen
        start = end
    return area


def precision_at(scores: Sequence[float], labels: Sequence[bool], share: float) -> float:
    """Share of worthy statements among the best scored `share` of all."""
    room = max(1, round(share * len(scores)))
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    return sum(labels[i] for i in order[:room]) / room


def _measure(model: Model, items: Sequence[Item], seed: int) -> list[Row]:
    asked = [Asked(statement=i.statement, question=i.question, expected=i.expected) for i in items]
    measured = measure_all(model, asked, seed)
    # seeds far from those of the gate's own samples
    other = [10**6 * (seed + 1) + SAMPLES * int("".join(filter(str.isdigit, item.id))) for item in items]
    samples = model.generate_batch(
        [
            closed_book(item.question, first + n)
            for item, first in zip(items, other, strict=True)
            for n in range(SAMPLES)
        ]
    )
    rows = []
    for index, (item, found) in enumerate(zip(items, measured, strict=True)):
        mine = samples[index * SAMPLES : (index + 1) * SAMPLES]
        believed = contains_answer(item.expected, found.closed, item.question)
        fails = item.procedure and random.Random(f"fails-{item.id}-{seed}").random() < 0.5
        rows.append(
            Row(
                item=item,
                signals=found.signals.model_copy(
                    update={
                        "corrected": item.asked_before and not believed,
                        "recovered": fails and not believed,
                        "recurrences": item.recurrences,
                    }
                ),
                closed_right=sum(_right(item, end.text) for end in mine),
                open_right=_right(item, found.opened),
                answers=(found.closed, found.opened),
            )
        )
    return rows


def _right(item: Item, text: str) -> bool:
    return item.gold is not None and contains_answer(item.gold, text, item.question)


def _labels(rows: Sequence[Row]) -> list[bool]:
    return [row.worth for row in rows]


def _interval(scores: Sequence[float], labels: Sequence[bool]) -> tuple[float, float]:
    source = random.Random(0)
    draws = []
    for _ in range(_DRAWS):
        chosen = [source.randrange(len(scores)) for _ in scores]
        draws.append(average_precision([scores[i] for i in chosen], [labels[i] for i in chosen]))
    draws.sort()
    return draws[round(0.025 * _DRAWS)], draws[round(0.975 * _DRAWS) - 1]


def _random_order(labels: Sequence[bool]) -> float:
    source = random.Random(0)
    areas = [average_precision([source.random() for _ in labels], labels) for _ in range(200)]
    return sum(areas) / len(areas)


def _decisions(rows: Sequence[Row], weights: Logistic, threshold: float) -> dict[str, Any]:
    """What `scored_verdict` writes, corrections bypassing the score as in the product."""
    written = [
        scored_verdict(row.signals, threshold=threshold, weights=weights).kind == "write" for row in rows
    ]
    right = sum(row.worth for row, write in zip(rows, written, strict=True) if write)
    kinds = sorted({row.item.kind for row in rows})
    return {
        "threshold": threshold,
        "precision": right / max(1, sum(written)),
        "recall": right / max(1, sum(_labels(rows))),
        "by_kind": {
            kind: {
                "n": sum(row.item.kind == kind for row in rows),
                "worth": sum(row.worth for row in rows if row.item.kind == kind),
                "written": sum(w for row, w in zip(rows, written, strict=True) if row.item.kind == kind),
            }
            for kind in kinds
        },
    }


def _read(path: Path | None) -> list[Row]:
    if path is None or not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(Row.model_validate(json.loads(line)))
        except ValueError:
            continue  # a line cut off: measured again
    return rows
