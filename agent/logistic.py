"""Logistic regression over named figures, with its weights in a TOML file.

Small enough to be read whole: the product only multiplies and adds; `fit` is for the benchmarks' commands.
A figure that was not taken counts as its mean, so it neither speaks for nor against.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from memory.types import Record


class Logistic(Record):
    """A fitted model. Its weights are those of standardised figures: (value - mean) / deviation."""

    bias: float
    """Log-odds where every figure is at its mean."""
    weights: dict[str, float]
    """Log-odds for one standard deviation of each figure."""
    means: dict[str, float]
    """Of the figures it was fitted on."""
    deviations: dict[str, float]
    """Standard deviations, above 0."""
    about: dict[str, str | int | float] = Field(default_factory=dict)
    """What it was fitted on, by which command, and how well it did on other data."""

    def probability(self, values: Mapping[str, float | None]) -> float:
        """In (0, 1)."""
        odds = self.bias + sum(self.shares(values).values())
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, odds))))

    def shares(self, values: Mapping[str, float | None]) -> dict[str, float]:
        """What each figure adds to the log-odds; a figure that is missing or None adds nothing."""
        shares = {}
        for name, weight in self.weights.items():
            value = values.get(name)
            if value is None or not math.isfinite(value):
                shares[name] = 0.0
                continue
            # beyond what it was fitted on it does not extrapolate
            standard = (value - self.means[name]) / self.deviations[name]
            shares[name] = weight * max(-4.0, min(4.0, standard))
        return shares


def load(path: Path) -> Logistic:
    """Read a weights file. Raises ValueError when it is damaged: it is part of the package."""
    return Logistic.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


def save(path: Path, fitted: Logistic, comment: str) -> None:
    """Write a weights file, `comment` (one or more lines) at its top."""
    import tomlkit

    document = tomlkit.document()
    for line in comment.splitlines():
        document.add(tomlkit.comment(line))
    for key, value in fitted.model_dump().items():
        document.add(key, _rounded(value))
    path.write_text(tomlkit.dumps(document), encoding="utf-8")


def fit(
    rows: Sequence[Mapping[str, float | None]],
    labels: Sequence[bool],
    names: Sequence[str],
    ridge: float = 1.0,
) -> Logistic:
    """Fit by Newton's method with a ridge on the weights (not on the bias).

    Raises ValueError without at least one example of each label.
    """
    import numpy as np

    if len(set(labels)) < 2:
        raise ValueError("fitting needs examples of both kinds")
    means, deviations = {}, {}
    columns = []
    for name in names:
        known = [value for row in rows if (value := row.get(name)) is not None]
        means[name] = float(np.mean(known)) if known else 0.0
        spread = float(np.std(known)) if known else 0.0
        deviations[name] = spread if spread > 1e-9 else 1.0
        columns.append(
            [
                0.0 if (value := row.get(name)) is None else (value - means[name]) / deviations[name]
                for row in rows
            ]
        )
    x = np.column_stack([np.ones(len(rows)), np.clip(np.array(columns).T, -4.0, 4.0)])
    y = np.array(labels, dtype=float)
    penalty = np.diag([0.0, *[ridge] * len(names)])
    w = np.zeros(x.shape[1])
    for _ in range(100):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ w, -60, 60)))
        gradient = x.T @ (p - y) + penalty @ w
        hessian = x.T @ (x * (p * (1 - p))[:, None]) + penalty + 1e-9 * np.eye(len(w))
        step = np.linalg.solve(hessian, gradient)
        w = w - step
        if float(np.abs(step).max()) < 1e-8:
            break
    return Logistic(
        bias=float(w[0]),
        weights={name: float(value) for name, value in zip(names, w[1:], strict=True)},
        means=means,
        deviations=deviations,
    )


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value
