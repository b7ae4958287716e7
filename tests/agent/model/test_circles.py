"""When decoding has lost its way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.model.circles import goes_in_circles


@given(
    before=st.lists(st.integers(0, 500), max_size=50),
    loop=st.lists(st.integers(0, 500), min_size=1, max_size=60),
)
def test_a_short_sequence_again_and_again_goes_in_circles(before: list[int], loop: list[int]) -> None:
    assert goes_in_circles(before + loop * (500 // len(loop)))


@given(st.permutations(range(130)))
def test_what_never_repeats_does_not(tokens: list[int]) -> None:
    assert not goes_in_circles(tokens)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=30))
def test_a_few_repeats_are_no_circle(loop: list[int]) -> None:
    assert not goes_in_circles([-1, *(loop * 3)])


def test_a_row_of_counted_lines_is_no_circle() -> None:
    lines = [token for number in range(100) for token in (1, 2, 3, 1000 + number)]
    assert not goes_in_circles(lines)
