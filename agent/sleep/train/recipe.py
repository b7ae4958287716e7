"""What each method of `TrainSettings.method` switches on; all run the same trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.sleep.items import TrainItem, TrainSettings


@dataclass(frozen=True)
class Recipe:
    """Switches of one run."""

    first_layer: int
    """Lowest layer with an adapter."""
    ce_share: float
    """1 leaves the teacher out."""
    rehearsal: float
    """Share of tokens; 0 uses no rehearsal items."""
    anchors: float
    """Share of tokens; 0 uses no anchors and unknowns."""
    l2: float
    """Weight of the distance to the start adapter."""
    ewc: bool
    """Fisher penalty on the effective update."""
    early_stop: bool
    """Leave out what is known."""
    unteach: bool
    """Use `unteach` items."""
    fresh: bool
    """Ignore the start adapter and train old items like new ones."""


def recipe(settings: TrainSettings) -> Recipe:
    """The switches of `settings.method`."""
    plain = Recipe(
        first_layer=0,
        ce_share=1.0,
        rehearsal=0.0,
        anchors=0.0,
        l2=0.0,
        ewc=False,
        early_stop=False,
        unteach=False,
        fresh=False,
    )
    match settings.method:
        case "night":
            return Recipe(
                first_layer=settings.first_layer,
                ce_share=settings.ce_share,
                rehearsal=settings.rehearsal_share,
                anchors=settings.anchor_share,
                l2=settings.l2_weight,
                ewc=False,
                early_stop=True,
                unteach=True,
                fresh=False,
            )
        case "naive" | "naive_same_data":
            return plain
        case "replay":
            return Recipe(**{**vars(plain), "rehearsal": settings.rehearsal_share})
        case "ewc":
            return Recipe(**{**vars(plain), "ewc": True})
        case "l2":
            return Recipe(**{**vars(plain), "l2": settings.l2_weight})
        case "joint":
            return Recipe(**{**vars(plain), "fresh": True})


def kept(items: Sequence[TrainItem], chosen: Recipe) -> dict[str, list[TrainItem]]:
    """The items that take part, by what they are used as: `new`, `rehearsal` or `anchor`."""
    used: dict[str, list[TrainItem]] = {"new": [], "rehearsal": [], "anchor": []}
    for item in items:
        if item.role == "new" or (item.role == "unteach" and chosen.unteach):
            used["new"].append(item)
        elif item.role == "rehearsal":
            if chosen.fresh:
                used["new"].append(item)
            elif chosen.rehearsal or chosen.ewc:
                used["rehearsal"].append(item)
        elif item.role in ("anchor", "unknown") and chosen.anchors:
            used["anchor"].append(item)
    return used
