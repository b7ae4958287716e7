"""Figures of continual learning, from which questions were right after which night.

R[i, j] is the share of right answers about set j after night i; row 0 is the untrained model, and a cell is
NaN where nothing was asked. With T nights:

    ACC = mean_j R[T, j]                    W   = mean_j R[j, j]
    BWT = mean_{j<T} (R[T, j] - R[j, j])    FWT = mean_{j>=2} (R[j-1, j] - R[0, j])
    F   = mean_{j<T} max_i (R[i, j] - R[T, j])

(Lopez-Paz and Ranzato 2017; Chaudhry et al. 2018.) Old sets may be asked only in part: then two cells are
compared on the questions that both asked. Facts whose right answer changes on the way count in R, ACC and
W, not in what compares nights (BWT, F): an update that was not taken up is not forgetting.

Intervals are 95% percentile bootstraps over facts within their sets, and over runs where several are pooled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
RESAMPLES = 1000


@dataclass(frozen=True)
class Marks:
    """Right and wrong, question by question."""

    right: Floats
    """(T + 1, Q): 1 right, 0 wrong, NaN not asked; row i is after night i."""
    sets: npt.NDArray[np.int64]
    """(Q,): the set of each question, 0 to T - 1."""
    facts: npt.NDArray[np.int64]
    """(Q,): the fact of each question."""
    changed: npt.NDArray[np.bool_]
    """(Q,): whether the right answer changes on the way."""

    @property
    def nights(self) -> int:
        """T."""
        return len(self.right) - 1

    @classmethod
    def of(
        cls,
        rows: Sequence[Mapping[str, bool]],
        questions: Sequence[tuple[str, int, int]],
        changed: frozenset[int] = frozenset(),
    ) -> Marks:
        """From what was right after each night, by question; `questions` are (name, set, fact)."""
        right = np.full((len(rows), len(questions)), np.nan)
        for number, (name, _, _) in enumerate(questions):
            for night, row in enumerate(rows):
                if name in row:
                    right[night, number] = row[name]
        return cls(
            right,
            np.array([one[1] for one in questions], dtype=np.int64),
            np.array([one[2] for one in questions], dtype=np.int64),
            np.array([one[2] in changed for one in questions], dtype=np.bool_),
        )

    def of_facts(self, weights: Floats | None, night: int) -> float:
        """Share of right answers after a night, over all that were asked; facts may be weighted."""
        return _mean(self.right[night], None if weights is None else weights[self.facts])


def matrix(marks: Marks, weights: Floats | None = None) -> Floats:
    """R, (T + 1, T)."""
    return _by_set(marks, lambda right: right, weights)


def _by_set(marks: Marks, value: Callable[[Floats], Floats], weights: Floats | None) -> Floats:
    """Means over the questions of each set of `value(right)`, NaN where there is nothing."""
    values = value(marks.right)
    each = np.ones(len(marks.facts)) if weights is None else weights[marks.facts]
    asked = ~np.isnan(values)
    member = marks.sets[:, None] == np.arange(marks.nights)[None, :]
    total = (np.where(asked, values, 0.0) * each) @ member
    count = (asked * each) @ member
    found: Floats = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return found


def _mean(values: Floats, weights: Floats | None = None) -> float:
    kept = ~np.isnan(values)
    if weights is None:
        return float(values[kept].mean()) if kept.any() else float("nan")
    total = float((weights * kept).sum())
    return float((np.where(kept, values, 0.0) * weights).sum()) / total if total else float("nan")


def figures(marks: Marks, weights: Floats | None = None) -> dict[str, float]:
    """ACC, W, BWT, FWT and forgetting; NaN where too few nights make one meaningless."""
    last = marks.nights
    reached = matrix(marks, weights)
    stable = Marks(np.where(marks.changed, np.nan, marks.right), marks.sets, marks.facts, marks.changed)
    from_end = _by_set(stable, lambda right: right - right[last], weights)
    from_start = _by_set(stable, lambda right: right - right[0], weights)
    old = range(last - 1)
    return {
        "ACC": _mean(reached[last]),
        "W": _mean(np.array([reached[j + 1, j] for j in range(last)])),
        "BWT": _mean(np.array([-from_end[j + 1, j] for j in old])),
        "FWT": _mean(np.array([from_start[j, j] for j in range(1, last)])),
        "forgetting": _mean(np.array([_highest(from_end[:, j]) for j in old])),
        "forgetting_since_learned": _mean(np.array([max(0.0, from_end[j + 1, j]) for j in old])),
    }


def _highest(values: Floats) -> float:
    return float(np.nanmax(values)) if (~np.isnan(values)).any() else float("nan")


def fact_weights(marks: Marks, source: np.random.Generator) -> Floats:
    """How often each fact occurs in one resample of every set: (highest fact + 1,)."""
    weights = np.zeros(int(marks.facts.max(initial=-1)) + 1)
    for one in range(marks.nights):
        facts = np.unique(marks.facts[marks.sets == one])
        if len(facts):
            np.add.at(weights, source.choice(facts, len(facts)), 1.0)
    return weights


def intervals(
    marks: Marks,
    measure: Callable[[Marks, Floats | None], Mapping[str, float]],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """95% intervals of every figure that `measure` returns, facts resampled."""
    source = np.random.default_rng(seed)
    return spans([measure(marks, fact_weights(marks, source)) for _ in range(resamples)])


def spans(draws: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """The middle 95% of each figure's draws; figures that were never a number are left out."""
    found: dict[str, tuple[float, float]] = {}
    for name in draws[0] if draws else ():
        values = np.array([draw[name] for draw in draws])
        values = values[np.isfinite(values)]
        if len(values):
            low, high = np.quantile(values, (0.025, 0.975))
            found[name] = (float(low), float(high))
    return found


def pooled_draws(
    runs: Sequence[Marks],
    measure: Callable[[Marks, Floats | None], Mapping[str, float]],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Draws of the mean over runs of each figure: runs are resampled, and facts within each."""
    source = np.random.default_rng(seed)
    draws: list[dict[str, float]] = []
    for _ in range(resamples):
        chosen = source.integers(0, len(runs), len(runs))
        each = [measure(runs[i], fact_weights(runs[i], source)) for i in chosen]
        draws.append({name: _mean(np.array([one[name] for one in each])) for name in each[0]})
    return draws


def known_facts(marks: Marks, night: int) -> frozenset[int]:
    """Facts of which more than half of the questions are right after a night."""
    found = set()
    for fact in np.unique(marks.facts):
        share = _mean(marks.right[night, marks.facts == fact])
        if share > 0.5:
            found.add(int(fact))
    return frozenset(found)


def slope(values: Sequence[float]) -> tuple[float, float]:
    """Least-squares change of a figure from one night to the next, and that over its mean; 0 for fewer than
    two."""
    if len(values) < 2:
        return 0.0, 0.0
    change = float(np.polyfit(np.arange(len(values)), np.array(values, dtype=float), 1)[0])
    mean = float(np.mean(values))
    return change, change / mean if mean else 0.0
