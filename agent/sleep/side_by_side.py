"""Several jobs that ask one model, side by side: what all of them wait for is decoded together.

A pass that decodes forty answers takes hardly twice as long as one that decodes ten, and one episode alone
asks for a dozen. The jobs run in threads of their own; whenever each of them waits or has ended, what they
wait for is put to the model as one batch. So what is asked together follows from the jobs alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from agent.errors import ModelError
from agent.model.base import Capabilities, Delta, GenerateRequest, Model, Score, ScoreRequest, TurnEnd
from memory.types import Message
from skills.tool import ToolSpec

T = TypeVar("T")


def side_by_side(model: Model, jobs: Sequence[Callable[[Model], T]]) -> list[T]:
    """The results, in order. The first job's error is raised once all have ended."""
    if not jobs:
        return []
    desk = _Desk(len(jobs))

    def run(job: Callable[[Model], T]) -> T:
        try:
            return job(_Asking(model, desk))
        finally:
            desk.leave()

    with ThreadPoolExecutor(len(jobs), thread_name_prefix="lessons") as threads:
        running = [threads.submit(run, job) for job in jobs]
        desk.serve(model)
    return [one.result() for one in running]


class _Desk:
    """Where the jobs hand in what they ask."""

    def __init__(self, jobs: int) -> None:
        self._changed = threading.Condition()
        self._present = jobs
        self._waiting: list[tuple[Sequence[GenerateRequest], Future[list[TurnEnd]]]] = []
        self.turn = threading.Lock()
        """Held by whoever uses the model for anything but a batch."""

    def ask(self, requests: Sequence[GenerateRequest]) -> list[TurnEnd]:
        """Wait for the answers."""
        answers: Future[list[TurnEnd]] = Future()
        with self._changed:
            self._waiting.append((requests, answers))
            self._changed.notify_all()
        return answers.result()

    def leave(self) -> None:
        """A job has ended."""
        with self._changed:
            self._present -= 1
            self._changed.notify_all()

    def serve(self, model: Model) -> None:
        """Answer until the last job has ended."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._waiting) == self._present)
                waiting, self._waiting = self._waiting, []
                if not waiting:
                    return
            # threads reach the desk in any order; the batch must not depend on it
            waiting.sort(key=lambda one: [request.model_dump_json() for request in one[0]])
            try:
                ends = model.generate_batch([request for requests, _ in waiting for request in requests])
            except Exception as error:  # noqa: BLE001 - every job is to hear of it, not the desk
                for _, answers in waiting:
                    answers.set_exception(error)
                continue
            for requests, answers in waiting:
                answers.set_result(ends[: len(requests)])
                ends = ends[len(requests) :]


class _Asking:
    """The model as one job sees it."""

    def __init__(self, model: Model, desk: _Desk) -> None:
        self._model = model
        self._desk = desk
        self.name = model.name
        self.capabilities: Capabilities = model.capabilities

    def generate_batch(self, requests: Sequence[GenerateRequest]) -> list[TurnEnd]:
        return self._desk.ask(requests) if requests else []

    def stream(self, request: GenerateRequest) -> Iterator[Delta]:
        yield from self._desk.ask([request])

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        with self._desk.turn:
            return self._model.score(requests)

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> int:
        with self._desk.turn:
            return self._model.count_tokens(messages, tools)

    def activate(self, adapter: Path | None) -> None:
        raise ModelError("Which adapter answers is chosen before jobs are run side by side.")

    def served_digest(self) -> str:
        with self._desk.turn:
            return self._model.served_digest()
