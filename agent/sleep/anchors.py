"""Anchors: general prompts with the base model's own answers, at which training holds the model in place.

An answer is generated once for each base model and machine and kept. About a quarter of the anchors stand
under the tools prompt, answered with the call that the base would really make there.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from agent.model.base import GenerateRequest, Model
from agent.sleep.answers import Answers, OnProgress
from agent.sleep.items import TrainItem, item_id
from agent.sleep.material import Anchor, anchors, asking, tasking
from skills.tool import ToolSpec

_TOKENS = 48
_CALL_TOKENS = 96


def anchor_items(
    model: Model,
    cache_folder: Path | None,
    base_digest: str,
    count: int,
    seed: int,
    *,
    specs: Sequence[ToolSpec] | None = None,
    on_progress: OnProgress = lambda text, done, total: None,
) -> list[TrainItem]:
    """Up to `count` anchors, another choice for another seed. Leaves the base model active where it had to
    ask. Raises ModelError."""
    if specs is None:
        from skills.registry import builtin_registry

        specs = builtin_registry().specs()
    chosen = list(anchors())
    random.Random(f"anchors:{seed}").shuffle(chosen)
    # a longer choice begins with the shorter one: what a small night asked for serves a larger one
    chosen = chosen[:count]
    requests = [_request(anchor, tuple(specs)) for anchor in chosen]
    answers = Answers(model, cache_folder, base_digest).ask_whole(
        None, requests, keep=True, label="anchors", on_progress=on_progress
    )
    items: list[TrainItem] = []
    for anchor, request, (text, whole) in zip(chosen, requests, answers, strict=True):
        # half a call must not be learned as a whole one
        answer = text if whole else "" if anchor.tools else _to_sentence_end(text)
        if answer.strip():
            items.append(
                TrainItem(
                    id=item_id("anchor", request.model_dump_json(), answer),
                    role="anchor",
                    messages=request.messages,
                    tools=request.tools,
                    answer=answer,
                )
            )
    return items


def _request(anchor: Anchor, specs: tuple[ToolSpec, ...]) -> GenerateRequest:
    if anchor.tools:
        return GenerateRequest(
            messages=tasking(anchor.prompt, anchor.files), tools=specs, max_tokens=_CALL_TOKENS, max_calls=1
        )
    return GenerateRequest(messages=asking(anchor.prompt), max_tokens=_TOKENS)


def _to_sentence_end(text: str) -> str:
    """A cut-off answer up to where it could have ended, or as it is when it is one long sentence."""
    ends = [found.end() for found in re.finditer(r"[.!?](?=\s)|\n(?=\n)", text)]
    return text[: ends[-1]].rstrip() if ends else text
