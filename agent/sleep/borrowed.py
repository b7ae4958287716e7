"""The serving model, borrowed for one call at a time.

A night asks the same weights in memory that serve the day. Each of its calls runs as one job in the model's
thread, under whatever adapter the night wants, and puts the serving adapter back before the job ends: a
person who asks in between is answered in turn, and never by a candidate.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from agent.errors import ModelError
from agent.model.base import Capabilities, Delta, GenerateRequest, Model, Score, ScoreRequest, TurnEnd
from agent.model.thread import ModelThread
from memory.types import Message
from skills.tool import ToolSpec

T = TypeVar("T")

# Rows of one job: a person who chats at night waits for one such batch at most.
_ROWS = 48


class NightStopped(Exception):
    """The night was asked to stop; raised at its next call of the model."""


class BorrowedModel:
    """Meets `agent.model.base.Model` from any thread but the event loop's."""

    def __init__(self, thread: ModelThread, serving: Callable[[], Path | None]) -> None:
        """`serving` says which adapter serves; the model must be loaded."""
        if thread.capabilities is None or thread.name is None:
            raise ModelError("The model is not loaded. Load it before the night begins.")
        self.name: str = thread.name
        self.capabilities: Capabilities = thread.capabilities
        self.generated = 0
        """Tokens decoded so far."""
        self.read = 0
        """Tokens computed without decoding so far: prompts, and answers that were scored."""
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        self._serving = serving
        self._adapter = serving()
        self._stop = threading.Event()

    def stop(self) -> None:
        """Let the next call raise NightStopped."""
        self._stop.set()

    def activate(self, adapter: Path | None) -> None:
        """Which adapter the night's own calls are answered with from now on."""
        self._adapter = adapter

    def stream(self, request: GenerateRequest) -> Iterator[Delta]:
        """One turn, delivered when it is finished."""
        yield from self._run(lambda model: list(model.stream(request)))

    def generate_batch(self, requests: Sequence[GenerateRequest]) -> list[TurnEnd]:
        """Several turns; others may be served between groups of them."""
        ends: list[TurnEnd] = []
        for group in _groups(requests):
            ends += self._run(lambda model, group=group: model.generate_batch(group))  # type: ignore[misc]
        self.generated += sum(end.usage.generated for end in ends)
        self.read += sum(end.usage.prefilled for end in ends)
        return ends

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Log-probabilities of given answers."""
        scores: list[Score] = []
        for group in _groups(requests):
            scores += self._run(lambda model, group=group: model.score(group))  # type: ignore[misc]
        self.read += sum(len(score.token_ids) for score in scores)
        return scores

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> int:
        """Length of the prompt these would make."""
        return self._run(lambda model: model.count_tokens(messages, tools))

    def run(self, job: Callable[[Model], T]) -> T:
        """Anything else, with the model itself, under the night's adapter."""
        return self._run(job)

    def served_digest(self) -> str:
        """Digest of the weights that answer the night's calls."""
        return self._run(lambda model: model.served_digest())

    def _run(self, job: Callable[[Model], T]) -> T:
        if self._stop.is_set():
            raise NightStopped

        def switched(model: Model) -> T:
            serving = self._serving()
            if serving == self._adapter:
                return job(model)
            model.activate(self._adapter)
            try:
                return job(model)
            finally:
                model.activate(serving)

        return asyncio.run_coroutine_threadsafe(self._thread.run(switched), self._loop).result()


def _groups(requests: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(requests), _ROWS):
        yield requests[start : start + _ROWS]
