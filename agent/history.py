"""Which journal positions count: ranges of sequence numbers, changed by rollbacks alone.

A rollback takes nothing out of the journal; it says which earlier positions count from there on. What a
snapshot names is thus a set of positions, and going back to the one taken just before a rollback undoes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Range = tuple[int, int]
"""First and last position, both included."""


class History:
    """The positions that count now: some finished ranges, and everything from `since` on."""

    def __init__(self) -> None:
        self._ranges: tuple[Range, ...] = ()
        self._since = 1

    def roll_back(self, seq: int, ranges: Iterable[Range]) -> None:
        """At position `seq`, only these ranges count, and what follows."""
        self._ranges = merged(range_ for range_ in ranges if range_[0] < seq)
        self._since = seq

    @property
    def since(self) -> int:
        """The newest rollback, or the beginning: everything from there on counts."""
        return self._since

    def ranges(self, last: int) -> tuple[Range, ...]:
        """The positions that count, up to and with `last`."""
        newest = [(self._since, last)] if last >= self._since else []
        return merged([*self._ranges, *newest])

    def __contains__(self, seq: int) -> bool:
        return seq >= self._since or any(first <= seq <= last for first, last in self._ranges)


def merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same positions in as few ranges as possible, in order."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if last < first:
            continue
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def covers(ranges: Sequence[Range], seq: int) -> bool:
    """Whether a position is in the ranges."""
    return any(first <= seq <= last for first, last in ranges)
