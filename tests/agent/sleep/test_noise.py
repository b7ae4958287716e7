"""Intervals and paired comparisons against known figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sleep.noise import Paired, rate, upper_mean


def test_the_wilson_interval_has_its_published_values() -> None:
    half = rate(5, 10)
    assert (half.low, half.high) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
    none = rate(0, 50)
    assert none.low == 0.0
    assert none.high == pytest.approx(0.0713, abs=1e-4)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_share_is_inside_its_interval(counts: tuple[int, int]) -> None:
    right, total = counts
    found = rate(right, total)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_nothing_asked_is_nothing_wrong() -> None:
    assert rate(0, 0).value == 1.0


def test_chance_is_the_exact_sign_test() -> None:
    assert Paired(lost=5, won=0, total=60).chance() == pytest.approx(1 / 32)
    assert Paired(lost=1, won=1, total=60).chance() == pytest.approx(0.75)
    assert Paired(lost=0, won=0, total=60).chance() == 1.0


@pytest.mark.parametrize(
    ("lost", "won", "dropped"),
    [(0, 0, False), (1, 0, False), (2, 0, False), (4, 0, False), (5, 0, True), (7, 4, False), (20, 3, True)],
)
def test_flips_of_one_or_two_in_sixty_are_no_drop(lost: int, won: int, dropped: bool) -> None:
    assert Paired(lost=lost, won=won, total=60).dropped(0.03) is dropped


def test_a_sure_but_tiny_drop_is_within_the_tolerance() -> None:
    assert not Paired(lost=20, won=0, total=1000).dropped(0.03)
    assert Paired(lost=40, won=0, total=1000).dropped(0.03)


@given(st.integers(0, 30), st.integers(0, 30), st.floats(0, 0.2))
def test_the_limit_and_the_verdict_agree(lost: int, won: int, tolerance: float) -> None:
    pair = Paired(lost=lost, won=won, total=60)
    assert pair.dropped(tolerance) is (lost > pair.most_lost(tolerance))


def test_pairs_are_counted_question_by_question() -> None:
    pair = Paired.of([True, True, False, False], [True, False, True, False])
    assert (pair.lost, pair.won, pair.total) == (1, 1, 4)
    with pytest.raises(ValueError, match="zip"):
        Paired.of([True], [])


def test_a_paired_mean_knows_how_sure_it_is() -> None:
    rise, noise = upper_mean([1.0] * 10, [10.0] * 10)
    assert rise == pytest.approx(0.1)
    assert noise == pytest.approx(0.0, abs=1e-9)
    _, unsure = upper_mean([3.0, -1.0] * 5, [10.0] * 10)
    assert unsure > 0.05
    assert math.isinf(upper_mean([1.0], [1.0])[1])
