"""A picture of one result of `bench c2w`: the R matrix, what is kept from night to night, strangers, cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.errors import ConfigError, HomeError

MISSING = (
    "Plots need matplotlib, which is not installed. `pip install 'nightschool[bench]'` adds it; leave out "
    "--plot to go without."
)


def check_plot(path: Path) -> None:
    """Raises ConfigError when a plot could not be written there: before a long run, not after it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError(MISSING) from error
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"There is no folder {path.absolute().parent} to put the plot into.")


def draw(result: dict[str, Any], path: Path) -> None:
    """Write the picture. The format follows the file's ending. Raises ConfigError and HomeError."""
    check_plot(path)
    import numpy as np
    from matplotlib.figure import Figure

    reached = np.array([[np.nan if v is None else v for v in row] for row in result["R"]], dtype=float)
    nights = len(reached) - 1
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    heat, kept, cost = figure.subplots(1, 3)
    image = heat.imshow(reached, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    heat.set(xlabel="set", ylabel="after night", title="R: right answers, far phrasings")
    heat.set_xticks(range(nights), [str(number) for number in range(1, nights + 1)])
    heat.set_yticks(range(nights + 1))
    if nights <= 10:
        for (row, column), value in np.ndenumerate(reached):
            if np.isfinite(value):
                color = "black" if value > 0.6 else "white"
                heat.text(column, row, f"{value:.2f}", ha="center", va="center", color=color, fontsize=7)
    figure.colorbar(image, ax=heat, shrink=0.8)

    x = list(range(1, nights + 1))
    told = [float(np.nanmean(reached[night, :night])) for night in x]
    kept.plot(x, told, marker="o", label="all sets so far")
    kept.plot(x, [reached[night, night - 1] for night in x], marker="s", label="newest set")
    strangers = [row["confident"] for row in result["neighbours"]]
    kept.plot(range(nights + 1), strangers, linestyle="--", label="confident about strangers")
    kept.set(xlabel="after night", ylim=(-0.03, 1.03), title=_title(result))
    kept.legend(loc="lower left", fontsize=8)

    seconds = [night["seconds"] for night in result["nights"]]
    training = [night["stages"].get("train", 0.0) for night in result["nights"]]
    cost.plot(range(1, len(seconds) + 1), seconds, marker="o", label="night")
    cost.plot(range(1, len(training) + 1), training, marker="s", label="training")
    cost.set(xlabel="night", ylabel="seconds", ylim=(0, None), title="Cost")
    cost.legend(fontsize=8)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise HomeError(f"Cannot write the plot {path}: {error}.") from error


def _title(result: dict[str, Any]) -> str:
    forgetting = result["forgetting"]
    lost = "" if forgetting is None else f", forgetting {forgetting:.3f}"
    return f"{result['method']}: ACC {result['ACC']:.3f}{lost}"
