"""What each method of `TrainSettings.method` switches on; all run the same trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.sleep.items import TrainItem, TrainSettings

# New items are trained on whatever the other shares are set to.
_LEAST_NEW = 0.05


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
    """Share of tokens; 0 uses no anchors."""
    unknown: float
    """Share of tokens; 0 uses no unknowns."""
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
        unknown=0.0,
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
                unknown=settings.unknown_share,
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
    """The items that take part, by what they are used as: `new`, `rehearsal`, `anchor` or `unknown`."""
    used: dict[str, list[TrainItem]] = {"new": [], "rehearsal": [], "anchor": [], "unknown": []}
    for item in items:
        match item.role:
            case "rehearsal" if chosen.fresh:
                used["new"].append(item)
            case "new" | "rehearsal" if item.role == "new" or chosen.rehearsal or chosen.ewc:
                used[item.role].append(item)
            case "unteach" if chosen.unteach:
                used["new"].append(item)
            case "anchor" if chosen.anchors:
                used["anchor"].append(item)
            case "unknown" if chosen.unknown:
                used["unknown"].append(item)
    return used


def shares(chosen: Recipe, there: Mapping[str, object]) -> dict[str, float]:
    """Tokens of rehearsal, anchors and unknowns for each token of new items, as far as there are such.

    What rehearsal cannot use goes to the anchors: on the first nights the base's own abilities are all there
    is to be kept.
    """
    rehearsal = chosen.rehearsal if there["rehearsal"] else 0.0
    anchors = chosen.anchors + chosen.rehearsal - rehearsal if there["anchor"] else 0.0
    unknown = chosen.unknown if there["unknown"] else 0.0
    new = max(_LEAST_NEW, 1 - rehearsal - anchors - unknown)
    return {"rehearsal": rehearsal / new, "anchor": anchors / new, "unknown": unknown / new}
