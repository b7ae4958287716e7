"""Answers from documents: looked up, quoted to the model, checked against what was quoted, and kept.

Nothing is answered that no quotation holds: what was found decides whether the model is asked at all, and
which of its sentences a source holds decides what is said. Like every plain question it leaves no episode.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from agent.asking import Asking
from agent.citing import Cited, cite, own_words, with_marks
from agent.errors import UsageError
from agent.knowledge_calls import DomainScore, Route, Source, SourcedAnswer
from agent.model.base import GenerateRequest, Model, TurnEnd
from agent.nearness import Nearness
from agent.parts import Parts
from agent.queries import searches
from agent.serving import prove
from agent.sources import above, choose, of_chunk, of_recall, quoted
from memory.answers import digest_of
from memory.learning import AdapterCard
from memory.types import Message

_log = logging.getLogger(__name__)
# answers made by other rules than these are made anew
_RULES = 1
_DEPTH = 12
_ANSWER_TOKENS = 300
# a question less like a domain's middle than this belongs to none
_LEAST_LIKENESS = 0.15
# the adapters that every night makes: what they serve is everything
_CORE = "core"
# Offered words to decline with, the 0.5B model declines 8 of 22 questions that the quotation answers; what it
# makes up instead, the check of its sentences finds as well. Told to write numbers it hardly writes any.
SOURCES_PROMPT = (
    "You are Night School, a helpful assistant. Answer the question briefly, in a whole sentence, from the "
    "numbered quotations alone."
)
NOTHING_KNOWN = "Nothing is known yet. `nightschool knowledge add --data PATH` adds files and folders."
NOTHING_FOUND = "I found nothing about this in what I know."
NO_ANSWER = "I found no answer to this in what I know."
_DECLINES = re.compile(
    r"\b(?:(?:quotations?|sources?|passages?|texts?|documents?|information|context)\b.{0,60}?"
    r"\b(?:do|does|did|is|are)(?:n['’]t|\s+not)\b|not\s+(?:mentioned|specified|stated|provided)\b"
    r"|no\s+information\b|(?:do|does)(?:n['’]t|\s+not)\s+(?:know|say|mention|specify|provide)\b)",
    re.IGNORECASE,
)


class Answering:
    """Puts questions about what is known to the model."""

    def __init__(self, parts: Parts, asking: Asking) -> None:
        self._parts = parts
        self._asking = asking

    async def ask(self, question: str, memory: bool, domains: tuple[str, ...], fresh: bool) -> SourcedAnswer:
        """One answer with its sources. Raises UsageError, ModelError and StoreError."""
        begun = time.monotonic()
        if not question.strip():
            raise UsageError("The question is empty. Say what to answer.")
        self._parts.check_model()
        known = await asyncio.to_thread(self._parts.library.domains)
        _check_domains(domains, known)
        self._asking.asked_at = begun
        names = await self._names(question, memory, domains)
        kept = None if fresh else self._kept(*names)
        if kept is not None:
            return kept.model_copy(update={"cached": True, "seconds": time.monotonic() - begun})
        made = await self._make(question, memory, domains or tuple(known), names[0])
        made = made.model_copy(update={"seconds": time.monotonic() - begun})
        # an answer from what was forgotten or changed meanwhile is given, and not kept
        if await self._names(question, memory, domains) == names:
            await asyncio.to_thread(self._parts.answers.put, *names, made.model_dump_json())
        return made

    def _kept(self, state: str, key: str) -> SourcedAnswer | None:
        text = self._parts.answers.get(state, key)
        try:
            return SourcedAnswer.model_validate_json(text) if text is not None else None
        except ValidationError:
            # written by another version of Night School, or damaged: it is made anew
            return None

    async def _names(self, question: str, memory: bool, domains: Sequence[str]) -> tuple[str, str]:
        """The state of what is known, and what else an answer depends on."""
        parts = self._parts
        settings = parts.settings
        card = parts.bedroom.serving.card
        adapters = await asyncio.to_thread(parts.bedroom.registry.ids)
        key = digest_of(
            {
                "rules": _RULES,
                "question": " ".join(question.split()),
                "memory": memory,
                "domains": sorted(set(domains)),
                "model": (parts.model_name, parts.bedroom.base_digest, parts.bedroom.quantization),
                "adapter": card.digest if card else "",
                # one of them may be a domain's own
                "adapters": adapters,
                "decoding": (settings.model.temperature, settings.agent.turn_tokens),
                "prompt": settings.memory.model_dump_json(),
                "context": settings.model.context_tokens,
            }
        )
        return await asyncio.to_thread(parts.known_state), key

    async def _make(self, question: str, memory: bool, domains: Sequence[str], state: str) -> SourcedAnswer:
        settings = self._parts.settings
        asked = searches(question)
        budget = min(settings.memory.source_tokens, settings.model.context_tokens // 2)
        library, archive = self._parts.library, self._parts.archive
        hits = [await asyncio.to_thread(library.find, text, _DEPTH, domains) for text in asked]
        likeness = Nearness(embedder) if (embedder := self._parts.bedroom.embedder) is not None else None
        chosen = await asyncio.to_thread(choose, hits, asked, likeness)
        candidates = [of_chunk(hit) for hit in chosen]
        if memory:
            recalled = await archive.recall(question, min(settings.memory.recall_tokens, budget))
            candidates = _with_recalled(candidates, of_recall(recalled))
        text, sources = quoted(candidates, budget, archive.count_tokens)
        route, card = await asyncio.to_thread(self._route, question, domains)
        about = SourcedAnswer(
            answer=NOTHING_FOUND if domains else NOTHING_KNOWN,
            found=False,
            searches=asked,
            route=route,
            sources=tuple(sources),
            recalled=tuple(source.name for source in sources if source.kind == "episode"),
            model=self._parts.model_name,
            knowledge=state,
        )
        if not sources:
            return about
        await self._parts.load_model()
        end = await self._answered(self._request(question, text), card)
        said = own_words(end.text)
        cited = await asyncio.to_thread(_cited, said, question, sources, likeness)
        return _told(about, said, end, cited)

    def _request(self, question: str, quotations: str) -> GenerateRequest:
        settings = self._parts.settings
        return GenerateRequest(
            messages=(
                Message(role="system", content=SOURCES_PROMPT, provenance="system"),
                # not `user`: what stands in its context was written by others
                Message(role="user", content=question.strip(), context=quotations, provenance="file"),
            ),
            max_tokens=min(settings.agent.turn_tokens, _ANSWER_TOKENS),
            temperature=settings.model.temperature,
        )

    def _route(self, question: str, domains: Sequence[str]) -> tuple[Route, AdapterCard | None]:
        """Where a question belongs, and the adapter that is to answer it."""
        likeness = self._parts.library.likeness(question) if domains else {}
        scores = sorted(
            (DomainScore(domain=name, score=score) for name, score in likeness.items() if name in domains),
            key=lambda one: -one.score,
        )
        domain = scores[0].domain if scores and scores[0].score >= _LEAST_LIKENESS else None
        serving = self._parts.bedroom.serving.card
        card = self._own_adapter(domain) or serving
        return Route(domain=domain, scores=tuple(scores), adapter=card.id if card else None), card

    def _own_adapter(self, domain: str | None) -> AdapterCard | None:
        """The newest adapter of a domain that passed its exam on this base."""
        if domain is None or domain == _CORE:
            return None
        for card in self._parts.bedroom.registry.list():
            fits = card.domain == domain and card.base_digest == self._parts.bedroom.base_digest
            if fits and card.exam is not None and card.exam.passed:
                return card
        return None

    async def _answered(self, request: GenerateRequest, card: AdapterCard | None) -> TurnEnd:
        serving = self._parts.bedroom.serving
        if card is None or card == serving.card:
            return await self._asking.answer(request)
        folder = await asyncio.to_thread(self._parts.bedroom.registry.path, card.id)
        return await self._parts.model.run(lambda model: _under(model, folder, card, serving.folder, request))


def _cited(answer: str, question: str, sources: Sequence[Source], likeness: Nearness | None) -> list[Cited]:
    """The answer's sentences with their sources; that the quotations do not say needs none."""
    held = cite(answer, question, [(above(source), source.text) for source in sources], likeness)
    return [replace(one, sources=(), checked=False) if _DECLINES.search(one.text) else one for one in held]


def _under(
    model: Model, folder: Path, card: AdapterCard, serving: Path | None, request: GenerateRequest
) -> TurnEnd:
    """One turn under a domain's own adapter; the serving one is back before the model's thread is free."""
    try:
        prove(model, folder, card)
        return model.generate_batch([request])[0]
    finally:
        model.activate(serving)


def _check_domains(wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in known:
            there = f"There are: {', '.join(known)}." if known else NOTHING_KNOWN
            raise UsageError(f"There is no domain `{name[:80]}`. {there}")


def _with_recalled(documents: list[Source], episodes: list[Source]) -> list[Source]:
    """What the user told it first, but never all the room there is: the best of each, then the rest."""
    return [*episodes[:1], *documents[:2], *episodes[1:], *documents[2:]]


def _told(about: SourcedAnswer, said: str, end: TurnEnd, cited: Sequence[Cited]) -> SourcedAnswer:
    """The answer as far as the sources hold it, those it rests on first."""
    used = list(dict.fromkeys(place for one in cited for place in one.sources))
    order = [*used, *(place for place in range(len(about.sources)) if place not in used)]
    numbers = {place: number for number, place in enumerate(order, start=1)}
    return about.model_copy(
        update={
            "answer": with_marks(said, cited, numbers) if used else NO_ANSWER,
            "found": bool(used),
            "said": end.text.strip(),
            "unsupported": tuple(one.text for one in cited if one.checked and not one.sources),
            "sources": tuple(
                about.sources[place].model_copy(update={"number": numbers[place], "cited": place in used})
                for place in order
            ),
            "signals": end.signals,
            "tokens": end.usage,
        }
    )
