"""In which order old lessons are rehearsed: those near to being forgotten first, all of them in the end.

Scoring costs no more than one look at the new items: one phrasing of each lesson, and of some lessons only
when there are very many. A lesson's phrasings take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agent.sleep.train.encode import Encoded
from agent.sleep.train.feed import by_need, stable_random, take

Score = Callable[[list[int]], dict[int, float]]
"""From indexes of old items to the lowest probability of their answer tokens."""

# What is assumed of a lesson that was not scored.
_UNKNOWN = 0.5


def rehearsal_order(items: Sequence[Encoded], budget: int, seed: int, score: Score | None) -> list[int]:
    """Indexes of `items`, each once. `budget` is how many tokens may be scored; `score` None scores none."""
    by_lesson: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        by_lesson.setdefault(item.lesson, []).append(index)
    chance = stable_random("old", seed)
    lessons = sorted(by_lesson)
    chance.shuffle(lessons)
    for lesson in lessons:
        chance.shuffle(by_lesson[lesson])
    need = dict.fromkeys(range(len(lessons)), _UNKNOWN)
    if score is not None:
        probes = take(items, [by_lesson[lesson][0] for lesson in lessons], budget)
        place = {by_lesson[lesson][0]: number for number, lesson in enumerate(lessons)}
        need.update({place[index]: 1 - value for index, value in score(probes).items()})
    order: list[int] = []
    for turn in range(max(map(len, by_lesson.values()), default=0)):
        for number in by_need(need, seed, turn):
            rows = by_lesson[lessons[number]]
            if turn < len(rows):
                order.append(rows[turn])
    return order
