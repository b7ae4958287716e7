"""The model's thread: order, interruption, errors, and a loop that is never blocked."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.errors import ModelError
from agent.model.base import Delta, GenerateRequest, PrefillProgress, TokenDelta, TurnEnd
from agent.model.fake import FakeModel
from agent.model.thread import ModelThread
from memory.types import Message

Say = Callable[..., Message]


class Endless(FakeModel):
    """Talks without end and notes when it was stopped and in which thread it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.emitted = 0
        self.stopped = 0
        self.threads: set[int] = set()
        self.running = 0

    def stream(self, request: GenerateRequest) -> Iterator[Delta]:
        assert not self.running
        self.running += 1
        self.threads.add(threading.get_ident())
        try:
            while True:
                self.emitted += 1
                yield PrefillProgress(done=1, total=2)
        finally:
            self.running -= 1
            self.stopped += 1


@pytest.fixture
def request_(say: Say) -> GenerateRequest:
    return GenerateRequest(messages=(say("user", "hello"),))


async def test_a_stream_is_the_models_and_everything_runs_in_one_thread(request_: Any, say: Say) -> None:
    fake = FakeModel(["one two three"])
    thread = ModelThread(lambda: fake)
    assert thread.state == "not_loaded"
    deltas = [delta async for delta in thread.stream(request_)]
    assert thread.state == "ready"
    assert [d.text for d in deltas if isinstance(d, TokenDelta)] == ["one", " two", " three", ""]
    assert isinstance(deltas[-1], TurnEnd)
    assert await thread.count_tokens(request_.messages) == fake.count_tokens(request_.messages)
    assert await thread.run(lambda model: threading.get_ident()) != threading.get_ident()
    await thread.close()


async def test_closing_a_stream_stops_the_model_and_waits_for_it(request_: Any) -> None:
    model = Endless()
    thread = ModelThread(lambda: model)
    for _ in range(5):
        stream = thread.stream(request_)
        await anext(stream)
        await stream.aclose()
        assert model.running == 0
    assert model.stopped == 5
    assert len(model.threads) == 1
    await thread.close()


async def test_cancelling_the_reader_stops_the_model(request_: Any) -> None:
    model = Endless()
    thread = ModelThread(lambda: model)

    async def read(begun: asyncio.Event) -> None:
        async with contextlib.aclosing(thread.stream(request_)) as deltas:
            async for _ in deltas:
                begun.set()
                await asyncio.sleep(0)

    for _ in range(5):
        begun = asyncio.Event()
        reader = asyncio.create_task(read(begun))
        await begun.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert model.running == 0
    await thread.close()


async def test_a_slow_reader_holds_the_model_back(request_: Any) -> None:
    model = Endless()
    thread = ModelThread(lambda: model)
    stream = thread.stream(request_)
    for _ in range(3):
        await anext(stream)
    await asyncio.sleep(0.05)
    assert model.emitted < 100
    await stream.aclose()
    await thread.close()


async def test_the_loop_goes_on_while_the_model_loads_and_works(request_: Any) -> None:
    def slow() -> FakeModel:
        time.sleep(0.2)
        return FakeModel(["a b c d"], seconds_per_token=0.02)

    thread = ModelThread(slow)
    loading = asyncio.create_task(thread.load())
    ticks = 0
    while not loading.done():
        await asyncio.sleep(0.005)
        ticks += 1
        assert thread.state in ("not_loaded", "loading", "ready")
    assert ticks > 5
    assert thread.state == "ready"
    await thread.close()


async def test_a_failed_load_is_told_and_can_be_tried_again(request_: Any) -> None:
    attempts: list[int] = []

    def factory() -> FakeModel:
        attempts.append(1)
        if len(attempts) == 1:
            raise ModelError("There is no model. Pull one.")
        return FakeModel(["yes"])

    thread = ModelThread(factory)
    with pytest.raises(ModelError, match="Pull one"):
        await thread.load()
    assert thread.state == "failed"
    assert "Pull one" in thread.error
    assert [d async for d in thread.stream(request_)]
    assert thread.state == "ready"
    assert thread.error == ""
    await thread.close()


async def test_errors_of_a_turn_reach_the_reader_and_the_thread_goes_on(request_: Any) -> None:
    thread = ModelThread(lambda: FakeModel([ModelError("too long"), "fine"]))
    with pytest.raises(ModelError, match="too long"):
        async for _ in thread.stream(request_):
            pass
    assert [d async for d in thread.stream(request_)]
    await thread.close()


async def test_calls_wait_their_turn(request_: Any) -> None:
    thread = ModelThread(lambda: FakeModel(["a b c", "d e f"], seconds_per_token=0.001))

    async def text() -> str:
        return "".join([d.text async for d in thread.stream(request_) if isinstance(d, TokenDelta)])

    assert await asyncio.gather(text(), text()) == ["a b c", "d e f"]
    await thread.close()


async def test_a_stream_given_up_while_it_waits_never_runs(request_: Any) -> None:
    model = Endless()
    thread = ModelThread(lambda: model)
    first = thread.stream(request_)
    await anext(first)
    waiting = asyncio.create_task(anext(thread.stream(request_)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.sleep(0.01)
    await first.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await thread.run(lambda _: None)
    assert model.stopped == 1
    await thread.close()


async def test_closing_ends_a_running_stream_and_refuses_later_calls(request_: Any) -> None:
    model = Endless()
    thread = ModelThread(lambda: model)
    stream = thread.stream(request_)
    await anext(stream)

    async def drain() -> None:
        async for _ in stream:
            pass

    draining = asyncio.create_task(drain())
    await thread.close()
    with pytest.raises(ModelError, match="closed"):
        await draining
    with pytest.raises(ModelError, match="closed"):
        await thread.load()
