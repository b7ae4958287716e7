"""Shares with their intervals, and whether a drop between two sittings of one paper is more than noise.

Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927),
for the interval; Q. McNemar, "Note on the sampling error of the difference between correlated proportions",
Psychometrika 12 (1947), in its exact form (the sign test on the questions that changed), for the drop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from memory.learning import Rate
from memory.types import Record

_Z = 1.959964
"""Normal quantile of a two-sided 95% interval."""
ALPHA = 0.05
"""One-sided error: an adapter that changed nothing fails one such check in twenty at most. In truth far
less often, since greedy answers mostly do not change at all."""


def rate(right: int, total: int) -> Rate:
    """A share with its 95% Wilson score interval; 0 of nothing is [0, 1]."""
    if not total:
        return Rate(right=0, total=0, low=0.0, high=1.0)
    share = right / total
    scale = 1 + _Z**2 / total
    middle = (share + _Z**2 / (2 * total)) / scale
    half = _Z / scale * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    # rounding must not leave the share outside its own interval
    return Rate(
        right=right,
        total=total,
        low=max(0.0, min(share, middle - half)),
        high=min(1.0, max(share, middle + half)),
    )


class Paired(Record):
    """The same questions before and after."""

    lost: int
    """Right before and wrong after."""
    won: int
    """Wrong before and right after."""
    total: int
    """Questions."""

    @classmethod
    def of(cls, before: Sequence[bool], after: Sequence[bool]) -> Paired:
        """From the marks of both sittings, question by question."""
        pairs = list(zip(before, after, strict=True))
        return cls(
            lost=sum(old and not new for old, new in pairs),
            won=sum(new and not old for old, new in pairs),
            total=len(pairs),
        )

    def chance(self, lost: int | None = None) -> float:
        """One-sided p: how likely so many of the changed answers (or more) got worse if each was as likely
        to get better (exact McNemar)."""
        lost = self.lost if lost is None else lost
        changed = lost + self.won
        return sum(math.comb(changed, k) for k in range(lost, changed + 1)) / float(2**changed)

    def dropped(self, tolerance: float) -> bool:
        """Whether it is worse by more than `tolerance` (a share of the questions) and more than noise."""
        return self._is_drop(self.lost, tolerance)

    def most_lost(self, tolerance: float) -> int:
        """The most answers that could have been lost, those won being what they are, without a drop."""
        lost = 0
        while lost < self.total and not self._is_drop(lost + 1, tolerance):
            lost += 1
        return lost

    def _is_drop(self, lost: int, tolerance: float) -> bool:
        return lost - self.won > tolerance * self.total + 1e-9 and self.chance(lost) < ALPHA


def upper_mean(differences: Sequence[float], weights: Sequence[float]) -> tuple[float, float]:
    """Weighted mean of paired differences, and the half-width of its one-sided 95% bound (normal
    approximation of the ratio estimator; Cochran, Sampling Techniques, 1977, chapter 6)."""
    total = sum(weights)
    count = len(weights)
    if not total or count < 2:
        return 0.0, math.inf
    mean = sum(differences) / total
    spread = sum((one - mean * weight) ** 2 for one, weight in zip(differences, weights, strict=True))
    return mean, 1.644854 * math.sqrt(count / (count - 1) * spread) / total
