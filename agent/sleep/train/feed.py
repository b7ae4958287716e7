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
# A prefix of more tokens than this is worth sharing among many items.
_LONG = 256
# Items that wait for a long prefix go once their tokens times this outnumber the prefix's.
_WORTH = 2


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

    def __init__(self, items: Sequence[Encoded], order: Sequence[int], ratio: float) -> None:
        self._items = items
        self._order = order
        self._ratio = ratio if order else 0.0
        self.cursor = 0
        """How many were drawn; the order begins anew at its end."""
        self.debt = 0.0
        """Tokens still to be drawn."""

    def draw(self, new_tokens: int) -> list[Encoded]:
        """Items to go with so many tokens of new ones."""
        self.debt += new_tokens * self._ratio
        drawn: list[Encoded] = []
        while self.debt > 0 and len(drawn) < len(self._order):
            item = self._items[self._order[self.cursor % len(self._order)]]
            self.cursor += 1
            self.debt -= len(item.own)
            drawn.append(item)
        return drawn


def compose(
    order: Sequence[Encoded], size: int, feeds: Sequence[Budget], waiting: list[Encoded]
) -> list[list[Encoded]]:
    """Steps of `size` new items each, with what the feeds add.

    A long prefix, such as the schemas of all tools, costs as much as dozens of items, so items that share
    one come together: new ones in steps of their own, others wait (in `waiting`, which goes from pass to
    pass) until such a step comes or enough of them have gathered.
    """
    steps = [list(chunk) for chunk in _by_prefix(order, size)]
    for step in steps:
        tokens = sum(len(item.own) for item in step)
        waiting.extend(item for feed in feeds for item in feed.draw(tokens))
        there = {item.prefix for item in step}
        ready = {item.prefix for item in waiting if len(item.prefix) <= _LONG} | there
        gathered: dict[tuple[int, ...], int] = {}
        for item in waiting:
            gathered[item.prefix] = gathered.get(item.prefix, 0) + len(item.own)
        ready.update(prefix for prefix, own in gathered.items() if own * _WORTH >= len(prefix))
        step.extend(item for item in waiting if item.prefix in ready)
        waiting[:] = [item for item in waiting if item.prefix not in ready]
    return steps


def _by_prefix(order: Sequence[Encoded], size: int) -> list[list[Encoded]]:
    """Chunks of the order in which no long prefix occurs with another one, evenly mixed."""
    kinds: dict[tuple[int, ...], list[Encoded]] = {}
    for item in order:
        kinds.setdefault(item.prefix if len(item.prefix) > _LONG else (), []).append(item)
    placed: list[tuple[float, int, list[Encoded]]] = []
    for kind, items in enumerate(kinds.values()):
        chunks = [items[begin : begin + size] for begin in range(0, len(items), size)]
        placed.extend(((place + 0.5) / len(chunks), kind, chunk) for place, chunk in enumerate(chunks))
    return [chunk for _, _, chunk in sorted(placed, key=lambda one: one[:2])]


def take(items: Sequence[Encoded], order: Sequence[int], tokens: float) -> list[int]:
    """The first indexes of the order whose items together reach so many tokens."""
    taken: list[int] = []
    for index in order:
        if tokens <= 0:
            break
        taken.append(index)
        tokens -= len(items[index].own)
    return taken
