"""What a step is made of: shares hold, orders are reproducible, and cost does not grow with old lessons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from agent.sleep.items import Role
from agent.sleep.train.encode import Encoded
from agent.sleep.train.feed import Budget, by_need, compose, shuffled, take
from agent.sleep.train.rehearsal import rehearsal_order
from tests.agent.sleep.conftest import item

LIGHT, HEAVY = tuple(range(20)), tuple(range(1000))


def _items(
    count: int, role: Role, *, length: int = 30, lessons: int = 0, prefix: tuple[int, ...] = LIGHT
) -> list[Encoded]:
    return [
        Encoded(
            item(
                f"{role}{len(prefix)}-{n}",
                "?",
                "!",
                role=role,
                lesson=f"{role}{n % lessons}" if lessons else None,
            ),
            prefix,
            tuple(range(length)),
            3,
            None,
        )
        for n in range(count)
    ]


def _tokens(step: Sequence[Encoded], role: Role) -> int:
    return sum(len(one.own) for one in step if one.item.role == role)


def test_tokens_are_shared_out_as_wanted() -> None:
    old, anchors = _items(300, "rehearsal", length=25), _items(40, "anchor", length=70)
    feeds = [Budget(old, range(300), 0.3 / 0.5), Budget(anchors, range(40), 0.2 / 0.5)]
    steps = compose(_items(80, "new"), 8, feeds, [])
    assert len(steps) == 10
    total = sum(len(one.own) for step in steps for one in step)
    for role, share in (("new", 0.5), ("rehearsal", 0.3), ("anchor", 0.2)):
        assert abs(sum(_tokens(step, role) for step in steps) / total - share) < 0.03
    # every step has some of each
    assert all(_tokens(step, role) for step in steps for role in ("new", "rehearsal", "anchor"))


def test_a_night_costs_the_same_however_many_old_lessons_there_are() -> None:
    def tokens(count: int) -> int:
        feed = Budget(_items(count, "rehearsal"), range(count), 0.6)
        return sum(_tokens(step, "rehearsal") for step in compose(_items(80, "new"), 8, [feed], []))

    assert tokens(100) == tokens(5000)
    scored: list[int] = []

    def score(indexes: list[int]) -> dict[int, float]:
        scored.extend(indexes)
        return dict.fromkeys(indexes, 0.5)

    old = _items(5000, "rehearsal", lessons=1000)
    order = rehearsal_order(old, 30 * 80, 0, score)
    assert len(scored) == 80 and len({old[index].lesson for index in scored}) == 80
    assert sorted(order) == list(range(5000))
    # every lesson once before any comes twice
    assert len({old[index].lesson for index in order[:1000]}) == 1000


def test_long_prefixes_come_together() -> None:
    new = [*_items(60, "new"), *_items(12, "new", prefix=HEAVY)]
    anchors = [*_items(30, "anchor"), *_items(30, "anchor", prefix=HEAVY, length=60)]
    order = [index for pair in zip(range(30), range(30, 60), strict=True) for index in pair]
    waiting: list[Encoded] = []
    steps = compose(new, 6, [Budget(anchors, order, 0.8)], waiting)
    with_new = [step for step in steps if any(one.item.role == "new" and one.prefix == HEAVY for one in step)]
    heavy = [step for step in steps if any(one.prefix == HEAVY for one in step)]
    assert len(with_new) == 2
    # a step with the long prefix but nothing new under it has enough others to be worth it
    for step in heavy:
        if step not in with_new:
            assert sum(len(one.own) for one in step if one.prefix == HEAVY) * 2 >= len(HEAVY)
    drawn = [one for step in steps for one in step if one.item.role == "anchor"] + waiting
    assert max(Counter(one.item.id for one in drawn).values()) == 1
    # who waits is drawn in a later pass
    left = len(waiting)
    assert left
    again = compose(_items(6, "new", prefix=HEAVY), 6, [], waiting)
    assert not waiting and sum(one.item.role == "anchor" for one in again[0]) == left


def test_what_is_near_to_being_forgotten_comes_first_and_all_come() -> None:
    need = {index: 0.9 if index < 10 else 0.0 for index in range(100)}
    firsts = Counter(index for seed in range(50) for index in by_need(need, seed)[:10])
    forgotten = sum(firsts[index] for index in range(10))
    assert 150 < forgotten < 400
    assert sum(1 for index in range(10, 100) if firsts[index]) > 60
    assert by_need(need, 1) == by_need(need, 1) != by_need(need, 2)
    assert sorted(by_need(need, 1)) == sorted(need)


def test_phrasings_of_a_lesson_stand_apart() -> None:
    items = _items(80, "new", lessons=10)
    order = shuffled(items, 0, 0)
    assert sorted(order) == list(range(80)) and order != shuffled(items, 0, 1)
    for begin in range(0, 80, 10):
        assert len({items[index].lesson for index in order[begin : begin + 10]}) == 10


def test_take_stops_at_the_budget() -> None:
    items = _items(10, "new", length=30)
    assert take(items, range(10), 61) == [0, 1, 2]
    assert take(items, range(10), 0) == []
