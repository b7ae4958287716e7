"""Logistic regression: fitting, explaining, and the file of weights."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.logistic import Logistic, fit, load, save


def _rows(count: int, seed: int = 0) -> tuple[list[dict[str, float | None]], list[bool]]:
    """Labels that follow `real` and not `noise`."""
    source = random.Random(seed)
    rows: list[dict[str, float | None]] = []
    labels = []
    for _ in range(count):
        real = source.gauss(5, 2)
        rows.append({"real": real, "noise": source.gauss(0, 1), "still": 1.0})
        labels.append(source.random() < 1 / (1 + math.exp(-2 * (real - 5))))
    return rows, labels


def test_it_finds_what_the_labels_follow() -> None:
    rows, labels = _rows(600)
    found = fit(rows, labels, ("real", "noise", "still"))
    assert found.weights["real"] > 2 > 0.4 > abs(found.weights["noise"])
    assert found.weights["still"] == pytest.approx(0, abs=1e-6)
    assert found.probability({"real": 9.0}) > 0.9 > 0.1 > found.probability({"real": 1.0})


def test_fitted_chances_are_calibrated() -> None:
    rows, labels = _rows(2000)
    found = fit(rows, labels, ("real", "noise"))
    chances = [found.probability(row) for row in rows]
    assert sum(chances) == pytest.approx(sum(labels), rel=0.02)


def test_a_missing_figure_adds_nothing() -> None:
    rows, labels = _rows(200)
    rows = [{**row, "real": None} if index % 3 == 0 else row for index, row in enumerate(rows)]
    found = fit(rows, labels, ("real", "noise"))
    assert found.shares({"real": None, "noise": None}) == {"real": 0.0, "noise": 0.0}
    assert found.probability({}) == pytest.approx(1 / (1 + math.exp(-found.bias)))


def test_one_kind_of_label_is_refused() -> None:
    rows, _ = _rows(10)
    with pytest.raises(ValueError, match="both kinds"):
        fit(rows, [True] * 10, ("real",))


def test_weights_come_back_from_their_file(tmp_path: Path) -> None:
    rows, labels = _rows(100)
    found = fit(rows, labels, ("real", "noise")).model_copy(update={"about": {"fitted_on": 100}})
    save(tmp_path / "weights.toml", found, "Made by a test.")
    again = load(tmp_path / "weights.toml")
    assert again.about == {"fitted_on": 100}
    assert (tmp_path / "weights.toml").read_text().startswith("# Made by a test.")
    for row in rows[:20]:
        assert again.probability(row) == pytest.approx(found.probability(row), abs=1e-3)


numbers = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.none() | numbers), st.floats(-100, 100))
def test_a_chance_is_always_a_chance(values: dict[str, float | None], bias: float) -> None:
    model = Logistic(
        bias=bias,
        weights={"a": 3.0, "b": -2.0},
        means={"a": 1.0, "b": 0.0},
        deviations={"a": 0.5, "b": 1.0},
    )
    assert 0 <= model.probability(values) <= 1
