"""Signals agree with the formulas written out, in double precision."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.model.signals import Distribution

logits = st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=40)


@given(values=logits, data=st.data())
def test_against_the_formulas(values: list[float], data: st.DataObject) -> None:
    token = data.draw(st.integers(0, len(values) - 1))
    total = math.log(math.fsum(math.exp(value - max(values)) for value in values)) + max(values)
    chances = [math.exp(value - total) for value in values]
    first, second = sorted(chances, reverse=True)[:2]
    signal = Distribution(torch.tensor([values])).signal(token, "x")
    assert signal.logprob == pytest.approx(values[token] - total, abs=1e-4)
    assert signal.entropy == pytest.approx(
        -math.fsum(chance * math.log(chance) for chance in chances if chance), abs=1e-4
    )
    assert signal.margin == pytest.approx(first - second, abs=1e-5)
    assert signal.token_id == token
    assert signal.logprob <= 0 <= signal.entropy
    assert 0 <= signal.margin <= 1


def test_rows_are_independent() -> None:
    rows = torch.randn(3, 50)
    together = Distribution(rows)
    for row in range(3):
        alone = Distribution(rows[row : row + 1])
        assert together.best(row) == alone.best()
        one, other = together.signal(7, "", row=row), alone.signal(7, "")
        assert one.entropy == pytest.approx(other.entropy, abs=1e-5)
        assert one.logprob == pytest.approx(other.logprob, abs=1e-5)


def test_numbers_that_are_none_are_noticed() -> None:
    assert Distribution(torch.zeros(1, 5)).finite()
    assert not Distribution(torch.full((1, 5), math.nan)).finite()
