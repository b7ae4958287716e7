"""Whether the tools on offer have anything to do with what the user asks.

Small models call whatever they are offered. Asked outright whether a tool fits, the 0.5B model hardly knows
(area under the ROC curve 0.81 at best on the 132 requests of `benchmarks/bfcl_dev.jsonl`). Three things tell
more: made to begin a call, it shows which name it would write, and where no offered tool fits it would
rather name one that is not there (0.95); likeness of meaning between the request and the nearest tool's
description, by the sentence embedder (0.98); and how far it leans to open with a call at all (0.84).
Together, weighted by logistic regression, 0.99 in cross-validation.

Judges only the first turn after a user's message, and only tool sets without a tool that merely talks or
finishes (risk `none`): with such a tool, and after results, the model can always decline by itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from agent.model.base import GenerateRequest
from skills.tool import ToolSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

# Fitted on benchmarks/bfcl_dev.jsonl alone: log-odds that a tool is relevant.
_ODDS, _LIKENESS, _LEANING, _BIAS = 0.285, 12.6, 0.40, -4.25
_NAME_LIKENESS = 80.0
_LEAST_LIKENESS = 0.15
# a file's name, a path, a folder, or something in code quotes
_NAMES_FILE = re.compile(
    r"\w\.\w{1,5}\b|/|`|\\|\b(?:files?|folders?|director(?:y|ies)|project|here)\b", re.IGNORECASE
)
# how a request names the means: `use Python to`, `with a shell command`; not `run it with python`, which is
# one of many things a shell command may do
_MEANS = (
    r"\b(?:(?:use|using)\b(?:\W+\w+){0,3}?|(?:with|via|through|run|running)\s+(?:an?|the|this|these|some))\s+"
)
# The same without an embedder, on the first alone.
_LEAST_ODDS = 1.0
_MOST_ODDS = 14.0
_LEAST_LEANING = 1e-6


class Embed(Protocol):
    """The part of a sentence embedder that is needed here."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row of length 1 (L2) a text."""


def is_judged(request: GenerateRequest) -> bool:
    """Whether relevance is a question at all in this turn."""
    return request.messages[-1].role == "user" and all(tool.risk != "none" for tool in request.tools)


def is_relevant(
    request: GenerateRequest, name_logits: Tensor, names: Sequence[int], opens: float, embedder: Embed | None
) -> bool:
    """`name_logits`: raw logits where a call's name would begin; `names`: tokens that begin offered names;
    `opens`: probability that the turn opens with a call."""
    odds = name_odds(name_logits, names)
    if embedder is None:
        return odds >= _LEAST_ODDS
    like = likeness(request.messages[-1].content, request.tools, embedder)
    leaning = math.log(max(opens, _LEAST_LEANING))
    return _ODDS * odds + _LIKENESS * like + _LEANING * leaning + _BIAS >= 0


def is_talk(text: str, first: bool, tools: Sequence[ToolSpec], embedder: Embed | None) -> bool:
    """Whether a message to an agent with tools of its own plainly needs none of them.

    The 0.5B model looks for a file when it is asked for the capital of France. Talk is what is unlike every
    tool and names neither a file nor a tool: below the limit lie 4 in 5 of 79 everyday requests and 1 in 20
    of 116 tasks, of which most name a file. Only a conversation's `first` message or a question counts:
    `yes, do it` is unlike every tool too.
    """
    if embedder is None or not (first or text.rstrip().endswith("?")):
        return False
    if _NAMES_FILE.search(text) or named_tool(text, tools) is not None or _spells_out(text, tools):
        return False
    acting = [tool for tool in tools if tool.risk != "none"]
    return bool(acting) and likeness(text, acting, embedder) < _LEAST_LIKENESS


def named_tool(text: str, tools: Sequence[ToolSpec]) -> ToolSpec | None:
    """The one tool that a request asks to be used, by its name or by what its name alone speaks of: `use
    Python`, `with a shell command`."""
    words = [word for tool in tools for word in set(_objects(tool))]

    def is_named(tool: ToolSpec) -> bool:
        own = [re.escape(word) for word in _objects(tool) if words.count(word) == 1]
        means = own and re.search(rf"{_MEANS}(?:{'|'.join(own)})\b", text, re.IGNORECASE)
        return bool(means) or re.search(rf"\b{re.escape(tool.name)}\b", text) is not None

    named = [tool for tool in tools if tool.risk != "none" and is_named(tool)]
    return named[0] if len(named) == 1 else None


def _spells_out(text: str, tools: Sequence[ToolSpec]) -> bool:
    """Whether the name of any tool stands in a text, also of one that only talks and of several at once. A
    name of one word, such as `finish`, is an everyday word too and says nothing."""
    names = [re.escape(tool.name) for tool in tools if "_" in tool.name]
    return bool(names) and re.search(rf"\b(?:{'|'.join(names)})\b", text) is not None


def _objects(tool: ToolSpec) -> list[str]:
    """The words of a tool's name behind its verb."""
    return re.split(r"[_.\W]+", tool.name.casefold())[1:]


def best_tool(
    request: GenerateRequest, spelled: Callable[[str], float], embedder: Embed | None
) -> ToolSpec | None:
    """The tool whose call is to be written, None to leave it to decoding.

    A name decoded token by token is chosen by its beginning, which tools share (`get_rate`,
    `get_latest_rate`). `spelled`: log-probability of a whole name. Likeness of meaning is added to it; its
    weight is from the 29 requests of `benchmarks/bfcl_dev.jsonl` with several tools (28 right instead of
    26), where anything between 80 and 400 gives the same.
    """
    if embedder is None or len(request.tools) < 2:
        return None
    alike = likenesses(request.messages[-1].content, request.tools, embedder)
    scores = [
        spelled(tool.name) + _NAME_LIKENESS * like for tool, like in zip(request.tools, alike, strict=True)
    ]
    return request.tools[max(range(len(scores)), key=scores.__getitem__)]


def name_odds(logits: Tensor, names: Sequence[int]) -> float:
    """Log-odds that the model would name an offered tool, within ±14."""
    mass = float(logits.softmax(-1)[list(names)].sum())
    if mass <= 0 or mass >= 1:
        return math.copysign(_MOST_ODDS, mass - 0.5)
    return max(-_MOST_ODDS, min(_MOST_ODDS, math.log(mass) - math.log1p(-mass)))


def likeness(request: str, tools: Sequence[ToolSpec], embedder: Embed) -> float:
    """Cosine between the request and the nearest tool."""
    return max(likenesses(request, tools, embedder))


def likenesses(request: str, tools: Sequence[ToolSpec], embedder: Embed) -> list[float]:
    """Cosine between the request and each tool."""
    rows = embedder.embed([request, *(_described(tool) for tool in tools)])
    return [float(cosine) for cosine in rows[1:] @ rows[0]]


def _described(tool: ToolSpec) -> str:
    properties = tool.parameters.get("properties")
    parts = properties.values() if isinstance(properties, dict) else ()
    words = " ".join(str(part.get("description", "")) for part in parts if isinstance(part, dict))
    return f"{tool.name.replace('_', ' ').replace('.', ' ')}. {tool.description} {words}"
