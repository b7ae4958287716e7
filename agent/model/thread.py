"""One thread that owns the model, and its asyncio side.

Every call waits its turn in the order it was made. Closing or cancelling a stream interrupts the model
between two tokens (or two chunks of the prompt) and returns once it has stopped, so the next call never
meets a running one. Nothing here blocks the event loop; a slow reader holds the model back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

from agent.errors import ModelError
from agent.model.base import Capabilities, Delta, GenerateRequest, Model, Score, ScoreRequest, TurnEnd
from memory.types import Message
from skills.tool import ToolSpec

T = TypeVar("T")
State = Literal["not_loaded", "loading", "ready", "failed"]

# Deltas the model may be ahead of the reader.
_AHEAD = 64


class ModelThread:
    """A model loaded and run in a thread of its own. Used from one event loop at a time."""

    def __init__(self, factory: Callable[[], Model]) -> None:
        """`factory` loads the model; it is called in the thread, on the first use or by `load`."""
        self._factory = factory
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._model: Model | None = None
        self._state: State = "not_loaded"
        self._error = ""
        self._closing = threading.Event()

    @property
    def state(self) -> State:
        """How the weights stand."""
        return self._state

    @property
    def error(self) -> str:
        """Why loading failed; empty otherwise."""
        return self._error

    @property
    def capabilities(self) -> Capabilities | None:
        """What the model can do; None until it is ready."""
        return self._model.capabilities if self._model is not None else None

    @property
    def name(self) -> str | None:
        """The model's catalogue name; None until it is ready."""
        return self._model.name if self._model is not None else None

    async def load(self) -> None:
        """Load the model unless it is there. Raises ModelError; a later call tries again."""
        await self._call(lambda model: None)

    async def stream(self, request: GenerateRequest) -> AsyncIterator[Delta]:
        """Generate one turn; see `Model.stream`.

        Read it within `contextlib.aclosing`: a reader that merely stops reading leaves closing it to
        the event loop, which does so a moment later.
        """
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[Delta | None] = asyncio.Queue()
        room = threading.Semaphore(_AHEAD)
        stop = threading.Event()

        def run() -> None:
            deltas = None
            try:
                if stop.is_set():
                    return
                deltas = self._ready().stream(request)
                for delta in deltas:
                    room.acquire()
                    if stop.is_set() or self._closing.is_set():
                        return
                    loop.call_soon_threadsafe(arrived.put_nowait, delta)
            finally:
                close = getattr(deltas, "close", None)
                if close is not None:
                    close()

        done = asyncio.wrap_future(self._submit(run))
        done.add_done_callback(lambda _: arrived.put_nowait(None))
        try:
            while (delta := await arrived.get()) is not None:
                room.release()
                yield delta
            done.result()
            if self._closing.is_set():
                raise ModelError("The model was closed while it was answering.")
        finally:
            stop.set()
            room.release()
            if not done.done():
                # Shielded, so that a second cancellation cannot make us forget the running thread.
                await asyncio.wait({asyncio.shield(done)})
            if not done.cancelled():
                # Seen, so that asyncio does not report an error that the reader turned away from.
                done.exception()

    async def generate_batch(self, requests: Sequence[GenerateRequest]) -> list[TurnEnd]:
        """See `Model.generate_batch`."""
        return await self._call(lambda model: model.generate_batch(requests))

    async def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """See `Model.score`."""
        return await self._call(lambda model: model.score(requests))

    async def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> int:
        """See `Model.count_tokens`."""
        return await self._call(lambda model: model.count_tokens(messages, tools))

    async def activate(self, adapter: Path | None) -> None:
        """See `Model.activate`."""
        await self._call(lambda model: model.activate(adapter))

    async def run(self, job: Callable[[Model], T]) -> T:
        """Run anything else on the model, in its thread."""
        return await self._call(job)

    async def close(self) -> None:
        """Stop what runs, let the model go and end the thread. Calls made afterwards raise ModelError."""
        self._closing.set()
        await asyncio.to_thread(self._worker.shutdown, wait=True, cancel_futures=True)
        self._model = None
        self._state = "not_loaded"

    def _submit(self, job: Callable[[], T]) -> Future[T]:
        if self._closing.is_set():
            raise ModelError("The model has been closed.")
        return self._worker.submit(job)

    async def _call(self, job: Callable[[Model], T]) -> T:
        return await asyncio.wrap_future(self._submit(lambda: job(self._ready())))

    def _ready(self) -> Model:
        """The model, loaded now if need be; runs in the thread."""
        if self._model is None:
            self._state, self._error = "loading", ""
            try:
                self._model = self._factory()
            except BaseException as error:
                self._state, self._error = "failed", str(error) or repr(error)
                raise
            self._state = "ready"
        return self._model
