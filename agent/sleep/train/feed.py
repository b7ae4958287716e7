"""Which items make up each step: new ones in turn, rehearsal and anchors by their share of the tokens.

Every order follows from the seed, the pass and what is known, so a resumed run goes on as the other would
have. Old lessons are drawn in an order that prefers what is near to being forgotten and reaches all.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from agent.sleep.train.encode import Encoded

# An old lesson known for certain is still drawn this often, against one that is forgotten.
_FLOOR = 0.15


def stable_random(*parts: object) -> random.Random:
    """A generator that follows from its arguments alone."""
    return random.Random(repr(parts))


def shuffled(items: Sequence[Encoded], *seed: object) -> list[int]:
    """Indexes in an order in which the phrasings of one lesson stand far apart."""
    chance = stable_random("new", *seed)
    by_lesson: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        by_lesson.setdefault(item.lesson, []).append(index)
    placed: list[tuple[float, int]] = []
    for rows in by_lesson.values():
        chance.shuffle(rows)
        placed.extend(((turn + chance.random()) / len(rows), row) for turn, row in enumerate(rows))
    return [row for _, row in sorted(placed)]


def by_need(need: Mapping[int, float], *seed: object) -> list[int]:
    """Indexes in a random order in which one comes early the more it needs rehearsal (0..1)."""
    chance = stable_random("need", *seed)
    # Weighted sampling without replacement: exponential times divided by the weights.
    times = {index: chance.expovariate(1.0) / (_FLOOR + value) for index, value in sorted(need.items())}
    return sorted(times, key=lambda index: (times[index], index))


class Budget:
    """Draws items of one kind so that they take a given share of all tokens over time."""

    def __init__(self, order: Sequence[int], sizes: Mapping[int, int], ratio: float) -> None:
        self._order = list(order)
        self._sizes = sizes
        self._ratio = ratio if self._order else 0.0
        self.cursor = 0
        """How many were drawn; the order begins anew at its end."""
        self.debt = 0.0
        """Tokens still to be drawn."""

    def draw(self, new_tokens: int) -> list[int]:
        """Items to go with so many tokens of new ones."""
        self.debt += new_tokens * self._ratio
        drawn: list[int] = []
        while self.debt > 0 and len(drawn) < len(self._order):
            index = self._order[self.cursor % len(self._order)]
            self.cursor += 1
            self.debt -= self._sizes[index]
            drawn.append(index)
        return drawn


def take(order: Sequence[int], sizes: Mapping[int, int], tokens: float) -> list[int]:
    """The first items that together reach so many tokens."""
    taken: list[int] = []
    for index in order:
        if tokens <= 0:
            break
        taken.append(index)
        tokens -= sizes[index]
    return taken
