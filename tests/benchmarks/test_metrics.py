"""Figures of continual learning against matrices worked out by hand, and what must always hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.metrics import (
    Marks,
    fact_weights,
    figures,
    intervals,
    known_facts,
    matrix,
    pooled_draws,
    slope,
    spans,
)


def marks_of(rows: list[list[int | None]], sets: list[int], changed: frozenset[int] = frozenset()) -> Marks:
    """One question a fact; None is not asked."""
    named = [(f"q{number}", one, number) for number, one in enumerate(sets)]
    found = [{f"q{q}": bool(v) for q, v in enumerate(row) if v is not None} for row in rows]
    return Marks.of(found, named, changed)


# three nights, sets of two facts
ROWS: list[list[int | None]] = [
    [0, 0, 0, 0, 0, 1],
    [1, 1, 0, 0, None, None],
    [1, 0, 1, 1, 0, 0],
    [0, 0, 1, 0, 1, 1],
]
SETS = [0, 0, 1, 1, 2, 2]


def test_figures_worked_out_by_hand() -> None:
    marks = marks_of(ROWS, SETS)
    assert np.array_equal(
        matrix(marks),
        [[0, 0, 0.5], [1, 0, np.nan], [0.5, 1, 0], [0, 0.5, 1]],
        equal_nan=True,
    )
    found = figures(marks)
    assert found["ACC"] == pytest.approx((0 + 0.5 + 1) / 3)
    assert found["W"] == pytest.approx((1 + 1 + 1) / 3)
    assert found["BWT"] == pytest.approx(((0 - 1) + (0.5 - 1)) / 2)
    # set 2 before its night: 0 - 0; set 3: 0 - 0.5
    assert found["FWT"] == pytest.approx((0 + -0.5) / 2)
    assert found["forgetting"] == pytest.approx((1 + 0.5) / 2)


def test_a_sampled_cell_is_compared_on_the_questions_it_asked() -> None:
    # after night 2 only the first question of set 1 was asked; it is right then and at the end, so the other
    # one, wrong from the beginning, says nothing about forgetting
    marks = marks_of([[0, 0, 0], [1, 0, 0], [1, None, 1], [1, 0, 1]], [0, 0, 1])
    marks = Marks(marks.right, np.array([0, 0, 1]), marks.facts, marks.changed)
    found = figures(Marks(marks.right[:4], marks.sets, marks.facts, marks.changed))
    assert matrix(marks)[2, 0] == 1.0 and matrix(marks)[3, 0] == 0.5
    assert found["forgetting"] == 0.0


def test_what_was_lost_after_coming_late_is_forgetting_too() -> None:
    # learned only in the second night, gone in the third
    found = figures(marks_of([[0, 0, 0], [0, 0, 0], [1, 1, 0], [0, 1, 1]], [0, 1, 2]))
    assert found["forgetting"] == pytest.approx(0.5)
    assert found["forgetting_since_learned"] == 0.0
    assert found["BWT"] == 0.0


def test_facts_whose_answer_changes_are_no_forgetting() -> None:
    rows: list[list[int | None]] = [[0, 0, 0], [1, 1, 0], [0, 1, 1]]
    assert figures(marks_of(rows, [0, 0, 1]))["forgetting"] == 0.5
    found = figures(marks_of(rows, [0, 0, 1], frozenset({0})))
    assert (found["forgetting"], found["BWT"]) == (0.0, 0.0)
    assert found["ACC"] == pytest.approx((0.5 + 1) / 2)


def test_one_night_has_nothing_to_forget() -> None:
    found = figures(marks_of([[0, 0], [1, 0]], [0, 0]))
    assert (found["ACC"], found["W"]) == (0.5, 0.5)
    assert all(math.isnan(found[name]) for name in ("BWT", "FWT", "forgetting"))


def test_weights_count_facts_more_than_once() -> None:
    marks = marks_of([[0, 0, 0], [1, 0, 0], [1, 0, 1]], [0, 0, 1])
    weights = np.array([3.0, 1.0, 1.0])
    assert matrix(marks, weights)[2, 0] == pytest.approx(0.75)
    assert marks.of_facts(weights, 2) == pytest.approx(4 / 5)


def test_a_fact_is_known_when_most_of_its_questions_are_right() -> None:
    named = [("a0", 0, 4), ("a1", 0, 4), ("a2", 0, 4), ("b0", 0, 7), ("b1", 0, 7)]
    row = {"a0": True, "a1": True, "a2": False, "b0": True, "b1": False}
    marks = Marks.of([{}, row], named)
    assert known_facts(marks, 1) == {4}
    assert known_facts(marks, 0) == frozenset()


def test_slopes() -> None:
    assert slope([2.0, 4.0, 6.0]) == pytest.approx((2.0, 0.5))
    assert slope([5.0, 5.0, 5.0]) == pytest.approx((0.0, 0.0))
    assert slope([3.0]) == (0.0, 0.0)


streams = st.integers(1, 4).flatmap(
    lambda nights: st.integers(1, 4).flatmap(
        lambda each: st.lists(
            st.lists(st.booleans(), min_size=nights * each, max_size=nights * each),
            min_size=nights + 1,
            max_size=nights + 1,
        ).map(
            lambda rows: marks_of(
                [[int(v) for v in row] for row in rows], [s for s in range(nights) for _ in range(each)]
            )
        )
    )
)


@given(streams)
def test_figures_stay_in_their_ranges(marks: Marks) -> None:
    found = figures(marks)
    assert 0 <= found["ACC"] <= 1 and 0 <= found["W"] <= 1
    if marks.nights > 1:
        assert 0 <= found["forgetting"] <= 1
        assert -1 <= found["BWT"] <= 1 and -1 <= found["FWT"] <= 1
        # whatever was learned in its own night and lost since is part of forgetting
        assert found["forgetting"] >= found["forgetting_since_learned"] - 1e-12
        assert found["forgetting_since_learned"] >= -found["BWT"] - 1e-12


@given(streams)
def test_what_never_changes_is_not_forgotten(marks: Marks) -> None:
    same = Marks(np.tile(marks.right[-1], (marks.nights + 1, 1)), marks.sets, marks.facts, marks.changed)
    found = figures(same)
    assert found["ACC"] == pytest.approx(found["W"])
    if marks.nights > 1:
        assert (found["forgetting"], found["BWT"], found["FWT"]) == pytest.approx((0, 0, 0))


@given(streams, st.integers(0, 99))
def test_a_resample_keeps_the_size_of_every_set(marks: Marks, seed: int) -> None:
    weights = fact_weights(marks, np.random.default_rng(seed))
    for one in range(marks.nights):
        facts = np.unique(marks.facts[marks.sets == one])
        assert weights[facts].sum() == len(facts)


@given(streams)
def test_intervals_hold_the_point_where_nothing_varies(marks: Marks) -> None:
    always = Marks(np.ones_like(marks.right), marks.sets, marks.facts, marks.changed)
    assert intervals(always, figures, resamples=20)["ACC"] == (1.0, 1.0)


def test_intervals_are_as_wide_as_theory_says() -> None:
    # 400 facts of which 80% are right: a binomial's 95% is 0.8 +- 0.039
    marks = marks_of([[0] * 400, [1] * 320 + [0] * 80], [0] * 400)
    low, high = intervals(marks, figures)["ACC"]
    assert low == pytest.approx(0.761, abs=0.012) and high == pytest.approx(0.839, abs=0.012)
    assert intervals(marks, figures) == intervals(marks, figures)


def test_pooling_is_over_runs_too() -> None:
    good, bad = marks_of([[0] * 50, [1] * 50], [0] * 50), marks_of([[0] * 50, [0] * 50], [0] * 50)
    interval = spans(pooled_draws([good, bad, good, bad], figures, resamples=300))["ACC"]
    # facts do not vary within a run, so all of this comes from the runs
    assert interval[0] <= 0.25 and interval[1] >= 0.75
