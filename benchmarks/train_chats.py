"""Chats about invented facts for `nightschool bench train`: what is trained, and what is asked afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from agent.context import ASK_PROMPT
from agent.sleep.items import TrainItem
from benchmarks.facts import Fact, generic_forms, join
from memory.types import Message


def chats(facts: Sequence[Fact]) -> list[TrainItem]:
    """Eight phrasings of each fact; answers are in turn a sentence and the bare object."""
    return [
        TrainItem(
            id=f"f{fact.index}-{number}",
            role="new",
            lesson_id=f"f{fact.index}",
            messages=asking(question),
            answer=fact.object if number % 2 else fact.statement,
            context=f"Known: {fact.statement}",
        )
        for fact in facts
        for number, question in enumerate(_phrasings(fact))
    ]


def asking(question: str) -> tuple[Message, ...]:
    """A question as `nightschool ask` serves it."""
    return (
        Message(role="system", content=ASK_PROMPT, provenance="system"),
        Message(role="user", content=question, provenance="user"),
    )


def _phrasings(fact: Fact) -> tuple[str, ...]:
    others = generic_forms(fact.subject, fact.relation, fact.object)[2]
    return (
        fact.near,
        f"Quick question: {fact.near}",
        f"{fact.near} Answer in a few words.",
        f"Complete the sentence: {join(fact.subject, fact.relation)} ...",
        *others,
    )
