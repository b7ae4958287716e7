"""Asking the model by worked examples: the few lines that extraction and regeneration share."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from agent.model.base import GenerateRequest, Model, TokenDelta, TurnEnd
from memory.types import Message

Example = tuple[str, str]
"""What is shown, and what is to be written for it."""


def shown(task: str, examples: Sequence[Example], text: str) -> tuple[Message, ...]:
    """A prompt that shows the task on examples and then puts `text`."""
    messages = [Message(role="system", content=task, provenance="system")]
    for given, written in examples:
        messages.append(Message(role="user", content=given, provenance="system"))
        messages.append(Message(role="assistant", content=written, provenance="system"))
    return (*messages, Message(role="user", content=text, provenance="user"))


def written(model: Model, messages: tuple[Message, ...], max_tokens: int) -> str:
    """What the model writes, greedily; prompts that begin alike share what was computed for them."""
    end = _last(model, GenerateRequest(messages=messages, max_tokens=max_tokens))
    return end.text.strip()


def lean(model: Model, messages: tuple[Message, ...], yes: str) -> float:
    """How likely the model begins with the word `yes` where it has two words to choose from, in [0, 1]."""
    request = GenerateRequest(messages=messages, max_tokens=2)
    first = None
    text = ""
    for delta in model.stream(request):
        if isinstance(delta, TokenDelta) and first is None:
            first = delta.signal
        elif isinstance(delta, TurnEnd):
            text = delta.text
    if first is None:
        return 0.0
    top = exp(first.logprob)
    second = max(0.0, top - first.margin)
    said_yes = text.strip().casefold().startswith(yes)
    return (top if said_yes else second) / (top + second)


def batch(model: Model, requests: Sequence[GenerateRequest]) -> list[str]:
    """What the model writes for each, decoded together."""
    return [end.text.strip() for end in model.generate_batch(requests)] if requests else []


def _last(model: Model, request: GenerateRequest) -> TurnEnd:
    end = None
    for delta in model.stream(request):
        if isinstance(delta, TurnEnd):
            end = delta
    assert end is not None
    return end
