"""Asking the model by worked examples: the few lines that extraction and regeneration share."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from agent.model.base import GenerateRequest, Model, TurnEnd
from memory.types import Message

Example = tuple[str, str]
"""What is shown, and what is to be written for it."""
Prompt = tuple[Message, ...]


def shown(task: str, examples: Sequence[Example], text: str) -> Prompt:
    """A prompt that shows the task on examples and then puts `text`."""
    messages = [Message(role="system", content=task, provenance="system")]
    for given, written in examples:
        messages.append(Message(role="user", content=given, provenance="system"))
        messages.append(Message(role="assistant", content=written, provenance="system"))
    return (*messages, Message(role="user", content=text, provenance="user"))


def written(model: Model, prompts: Sequence[Prompt], max_tokens: int) -> list[str]:
    """What the model writes for each, greedily."""
    return [end.text.strip() for end in _ends(model, prompts, max_tokens)]


def leanings(model: Model, prompts: Sequence[Prompt], yes: str) -> list[float]:
    """How likely the model begins with `yes` where it has two words to choose from, each in [0, 1]."""
    found = []
    for end in _ends(model, prompts, 1):
        top = exp(end.signals.mean_logprob)
        second = max(0.0, top - end.signals.mean_margin)
        begun = end.text.strip().casefold()
        said_yes = bool(begun) and yes.startswith(begun)
        found.append((top if said_yes else second) / (top + second))
    return found


def batch(model: Model, requests: Sequence[GenerateRequest]) -> list[str]:
    """What the model writes for each, decoded together."""
    return [end.text.strip() for end in model.generate_batch(requests)] if requests else []


def _ends(model: Model, prompts: Sequence[Prompt], max_tokens: int) -> list[TurnEnd]:
    requests = [GenerateRequest(messages=messages, max_tokens=max_tokens) for messages in prompts]
    return model.generate_batch(requests) if requests else []
