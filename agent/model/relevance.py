"""Whether the tools on offer have anything to do with what the user asks.

Small models call whatever they are offered. Asked outright whether a tool fits, the 0.5B model hardly knows
(area under the ROC curve 0.73 to 0.80 on `benchmarks/bfcl_dev.jsonl`); but made to begin a call, it
shows which name it would write, and where no offered tool fits it would rather name one that is not there
(0.95). Likeness of meaning between the request and a tool's description, by the sentence embedder, is
independent evidence (0.995); the two are added.

Judges only the first turn after a user's message, and only tool sets without a tool that merely talks or
finishes (risk `none`): with such a tool, and after results, the model can always decline by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from agent.model.base import GenerateRequest
from skills.tool import ToolSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

# Tuned on benchmarks/bfcl_dev.jsonl alone: halfway between its lowest relevant and highest irrelevant
# scores, outliers left out.
_LIKENESS_WEIGHT = 20.0
_LEAST_SCORE = 7.5
_LEAST_ODDS = 0.0
_MOST_ODDS = 14.0


class Embed(Protocol):
    """The part of a sentence embedder that is needed here."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row of length 1 (L2) a text."""


def is_judged(request: GenerateRequest) -> bool:
    """Whether relevance is a question at all in this turn."""
    return request.messages[-1].role == "user" and all(tool.risk != "none" for tool in request.tools)


def is_relevant(
    request: GenerateRequest, name_logits: Tensor, names: Sequence[int], embedder: Embed | None
) -> bool:
    """`name_logits`: raw logits where a call's name would begin; `names`: tokens that begin offered names."""
    odds = name_odds(name_logits, names)
    if embedder is None:
        return odds >= _LEAST_ODDS
    return (
        odds + _LIKENESS_WEIGHT * likeness(request.messages[-1].content, request.tools, embedder)
        >= _LEAST_SCORE
    )


def name_odds(logits: Tensor, names: Sequence[int]) -> float:
    """Log-odds that the model would name an offered tool, within ±14."""
    mass = float(logits.softmax(-1)[list(names)].sum())
    if mass <= 0 or mass >= 1:
        return math.copysign(_MOST_ODDS, mass - 0.5)
    return max(-_MOST_ODDS, min(_MOST_ODDS, math.log(mass) - math.log1p(-mass)))


def likeness(request: str, tools: Sequence[ToolSpec], embedder: Embed) -> float:
    """Cosine between the request and the nearest tool."""
    rows = embedder.embed([request, *(_described(tool) for tool in tools)])
    return float((rows[1:] @ rows[0]).max())


def _described(tool: ToolSpec) -> str:
    properties = tool.parameters.get("properties")
    parts = properties.values() if isinstance(properties, dict) else ()
    words = " ".join(str(part.get("description", "")) for part in parts if isinstance(part, dict))
    return f"{tool.name.replace('_', ' ').replace('.', ' ')}. {tool.description} {words}"
