"""Several runs of `bench c2w` put together: the mean of each method over its seeds and orders, with
intervals over runs and facts, and forgetting as a share of naive forgetting.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import UsageError
from benchmarks.c2w_result import unpack
from benchmarks.metrics import figures, pooled_draws, spans

_SETTING = ("model", "style", "nights", "per_night")


def read_results(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Results written by `bench c2w --json`. Raises UsageError for any other file, and for results of
    different settings, which cannot be compared."""
    results = []
    for path in paths:
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            if result["benchmark"] != "c2w" or not result["marks"]["right"]:
                raise KeyError("benchmark")
        except OSError as error:
            raise UsageError(f"Cannot read {path}: {(error.strerror or str(error)).lower()}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is no result of `nightschool bench c2w --json`.") from error
        results.append(result)
    kinds = {tuple(_setting(result)) for result in results}
    if len(kinds) > 1:
        shown = "; ".join(", ".join(str(value) for value in kind) for kind in sorted(kinds, key=str))
        raise UsageError(
            f"These runs differ in more than method, seed and order ({shown}); compare like with like."
        )
    return results


def pool(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a method: runs, figures, intervals, mean tokens; and `of_naive`, forgetting over naive
    forgetting with the upper end of its 95% interval, where naive was run too."""
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        runs[result["method"]].append(result)
    draws = {
        method: pooled_draws([unpack(r["marks"]) for r in mine], figures) for method, mine in runs.items()
    }
    rows = []
    for method, mine in runs.items():
        each = [figures(unpack(result["marks"])) for result in mine]
        row: dict[str, Any] = {
            "method": method,
            "runs": len(mine),
            **{name: float(np.mean([one[name] for one in each])) for name in each[0]},
            "intervals": spans(draws[method]),
            "general_nll_change": _mean([result["general_nll_change"] for result in mine]),
            "total_tokens": _mean([result["cost"]["total_tokens"] for result in mine]),
        }
        if "naive" in draws and method != "naive":
            row["of_naive"] = _share_of(
                [draw["forgetting"] for draw in draws[method]],
                [draw["forgetting"] for draw in draws["naive"]],
            )
        rows.append(row)
    return rows


def _share_of(mine: Sequence[float], naive: Sequence[float]) -> dict[str, float] | None:
    ratios = [a / b for a, b in zip(mine, naive, strict=True) if b > 0]
    if not ratios:
        return None
    return {"ratio": float(np.median(ratios)), "upper": float(np.quantile(ratios, 0.975))}


def _setting(result: dict[str, Any]) -> list[Any]:
    options = result["options"]
    of_options = [result["model"] if key == "model" else options[key] for key in _SETTING]
    # results from before there were paraphrases are about far words
    return [*of_options, options["facts"], result.get("scored", "far")]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
