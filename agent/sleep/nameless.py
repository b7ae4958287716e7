"""Anchors beside the lessons: their own questions without the name, with the base model's own answers.

A lesson's words must come up by its name, not by its kind of question: trained on `Which color does Ada Voss
like?` alone, a small model gives Ada's color to everybody who asks about colors.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from agent.model.base import GenerateRequest, Model
from agent.sleep import english
from agent.sleep.items import TrainItem, item_id
from memory.learning import Lesson, Phrasing

_EACH = 3
_TOKENS = 32
_NAMELESS = ("somebody", "one", "a person", "something", "most of them", "you")


def nameless_items(model: Model, lessons: Sequence[Lesson], seed: int) -> list[TrainItem]:
    """A few for each lesson whose questions name its subject. The base model must be active. Raises
    ModelError."""
    requests: list[GenerateRequest] = []
    for lesson in lessons:
        source = random.Random(f"nameless:{seed}:{lesson.id}")
        asked = _naming(lesson)
        requests += [_request(lesson, one, source) for one in source.sample(asked, min(_EACH, len(asked)))]
    items = []
    for request, end in zip(requests, model.generate_batch(requests), strict=True):
        answer = end.text.strip()
        if answer:
            name = item_id("nameless", request.messages[-1].content, answer)
            items.append(TrainItem(id=name, role="anchor", messages=request.messages, answer=answer))
    return list({item.id: item for item in items}.values())


def _naming(lesson: Lesson) -> list[Phrasing]:
    """Trained questions that name the subject, under the prompt without tools."""
    if lesson.kind in ("rule", "procedure") or not english.content_words(lesson.subject):
        return []
    named = english.naming(lesson.subject)
    return [
        phrasing
        for phrasing in lesson.trained
        if phrasing.form != "reverse" and not phrasing.with_tools and named.search(phrasing.question)
    ]


def _request(lesson: Lesson, phrasing: Phrasing, source: random.Random) -> GenerateRequest:
    instead = source.choice(_NAMELESS)
    last = phrasing.messages[-1]
    words = english.capital(english.naming(lesson.subject).sub(instead, last.content))
    messages = (*phrasing.messages[:-1], last.model_copy(update={"content": words}))
    return GenerateRequest(messages=messages, max_tokens=_TOKENS)
