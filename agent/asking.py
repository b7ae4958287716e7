"""Plain questions: answered from memory and the model, without tools and without leaving an episode."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from agent.calls import Answer
from agent.context import system_message
from agent.errors import ModelError, UsageError
from agent.model.base import GenerateRequest, TokenDelta, TurnEnd
from agent.parts import Parts
from memory.types import Message, SignalSummary, TokenSignal


class Asking:
    """Puts questions to the model."""

    def __init__(self, parts: Parts, by_day: Callable[[], AbstractContextManager[None]]) -> None:
        """`by_day` surrounds the model's work."""
        self._parts = parts
        self._by_day = by_day
        self.asked_at = float("-inf")
        """When the latest question came. Seconds of the monotonic clock."""

    async def ask(self, question: str, memory: bool) -> Answer:
        """One answer, decoded so that it can be interrupted between two tokens."""
        if not question.strip():
            raise UsageError("The question is empty. Say what to answer.")
        self._parts.check_model()
        self.asked_at = time.monotonic()
        await self._parts.load_model()
        request, recalled = await self._request(question, memory)
        end = await self.answer(request)
        return Answer(answer=end.text.strip(), signals=end.signals, tokens=end.usage, recalled=recalled)

    async def answer(self, request: GenerateRequest) -> TurnEnd:
        """What the loaded model answers, its signals taken together. Raises ModelError."""
        signals: list[TokenSignal] = []
        end: TurnEnd | None = None
        with self._by_day():
            async for delta in self._parts.model.stream(request):
                if isinstance(delta, TokenDelta):
                    signals.append(delta.signal)
                elif isinstance(delta, TurnEnd):
                    end = delta
        if end is None:
            raise ModelError("The model stopped without ending its answer. Ask again.")
        return end.model_copy(update={"signals": SignalSummary.of(signals)})

    async def ask_many(self, questions: Sequence[str], memory: bool) -> list[Answer]:
        """An answer to each, decoded together."""
        if not all(question.strip() for question in questions):
            raise UsageError("A question is empty. Say what to answer.")
        self._parts.check_model()
        self.asked_at = time.monotonic()
        await self._parts.load_model()
        asked = [await self._request(question, memory) for question in questions]
        with self._by_day():
            ends = await self._parts.model.generate_batch([request for request, _ in asked])
        return [
            Answer(answer=end.text.strip(), signals=end.signals, tokens=end.usage, recalled=recalled)
            for end, (_, recalled) in zip(ends, asked, strict=True)
        ]

    async def _request(self, question: str, memory: bool) -> tuple[GenerateRequest, tuple[str, ...]]:
        """What the model is asked, and the episodes it is shown."""
        settings = self._parts.settings
        recalled = (
            await self._parts.archive.recall(question, settings.memory.recall_tokens) if memory else None
        )
        user = Message(
            role="user",
            content=question,
            context=recalled.text if recalled else "",
            provenance="user",
        )
        request = GenerateRequest(
            messages=(system_message(None), user),
            max_tokens=settings.agent.turn_tokens,
            temperature=settings.model.temperature,
        )
        return request, recalled.episode_ids if recalled else ()
