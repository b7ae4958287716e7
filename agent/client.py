"""The runtime of a home that another process owns, over its Unix socket.

Meets `agent.calls.RuntimeCalls`. When the owner ends, every open call raises OwnerGone.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Literal

from agent import wire
from agent.calls import Answer, EpisodeHit, FileChange, Status, TaskRequest
from agent.errors import HomeError, OwnerGone
from agent.events import Event, parse_event
from agent.remote_keeping import RemoteKeeping
from agent.remote_knowing import RemoteKnowing
from agent.remote_learning import RemoteLearning
from memory.types import Episode

_GONE = "The process that owns this home has ended. Run the command again."


class RemoteRuntime(RemoteLearning, RemoteKnowing, RemoteKeeping):
    """Calls that travel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._results: dict[int, asyncio.Future[Any]] = {}
        self._streams: dict[int, asyncio.Queue[dict[str, Any] | None]] = {}
        self._receiver = asyncio.create_task(self._receive())

    @classmethod
    async def connect(cls, path: Path) -> RemoteRuntime:
        """Raises OSError when nobody listens there."""
        reader, writer = await asyncio.open_unix_connection(str(path), limit=wire.MAX_LINE)
        return cls(reader, writer)

    @property
    def gone(self) -> bool:
        """Whether the owner has ended or closed the connection."""
        return self._receiver.done()

    async def answers(self, seconds: float) -> bool:
        """Whether the owner answers within that time; a stopped one still takes connections."""
        number = next(self._numbers)
        pong = self._results[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._send({"id": number, "method": "ping"})
                await pong
        except (TimeoutError, HomeError):
            return False
        finally:
            del self._results[number]
        return True

    async def submit(self, request: TaskRequest) -> str:
        submitted: str = await self._call("submit", request=request)
        return submitted

    async def events(self, episode_id: str | None = None, after: int = 0) -> AsyncGenerator[Event, None]:
        number = next(self._numbers)
        queue = self._streams[number] = asyncio.Queue()
        try:
            await self._send(
                {"id": number, "method": "events", "params": {"episode_id": episode_id, "after": after}}
            )
            while (message := await queue.get()) is not None:
                yield parse_event(json.dumps(message["event"]))
            raise OwnerGone(_GONE)
        finally:
            del self._streams[number]
            with contextlib.suppress(HomeError):
                await self._send({"id": number, "method": "cancel"})

    async def interrupt(self, episode_id: str) -> bool:
        stopped: bool = await self._call("interrupt", episode_id=episode_id)
        return stopped

    async def decide(self, request_id: str, allow: bool, reason: str = "") -> None:
        await self._call("decide", request_id=request_id, allow=allow, reason=reason)

    async def answer(self, request_id: str, text: str | None) -> None:
        await self._call("answer", request_id=request_id, text=text)

    async def ask(self, question: str, memory: bool = True) -> Answer:
        answer: Answer = await self._call("ask", question=question, memory=memory)
        return answer

    async def ask_many(self, questions: tuple[str, ...], memory: bool = True) -> list[Answer]:
        answers: list[Answer] = await self._call("ask_many", questions=questions, memory=memory)
        return answers

    async def remember(self, text: str) -> str:
        episode_id: str = await self._call("remember", text=text)
        return episode_id

    async def episodes(self, limit: int = 50) -> list[Episode]:
        found: list[Episode] = await self._call("episodes", limit=limit)
        return found

    async def episode(self, episode_id: str) -> Episode:
        episode: Episode = await self._call("episode", episode_id=episode_id)
        return episode

    async def search(self, text: str, limit: int = 10) -> list[EpisodeHit]:
        hits: list[EpisodeHit] = await self._call("search", text=text, limit=limit)
        return hits

    async def rebuild_episodes(self) -> int:
        count: int = await self._call("rebuild_episodes")
        return count

    async def feedback(self, episode_id: str, rating: Literal["good", "bad"], text: str = "") -> None:
        await self._call("feedback", episode_id=episode_id, rating=rating, text=text)

    async def undo_preview(self, episode_id: str) -> list[FileChange]:
        changes: list[FileChange] = await self._call("undo_preview", episode_id=episode_id)
        return changes

    async def undo(self, episode_id: str) -> list[FileChange]:
        changes: list[FileChange] = await self._call("undo", episode_id=episode_id)
        return changes

    async def status(self) -> Status:
        status: Status = await self._call("status")
        return status

    async def load_model(self) -> None:
        await self._call("load_model")

    async def close(self) -> None:
        """Disconnect; the owner goes on."""
        self._receiver.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _call(self, method: str, **arguments: Any) -> Any:
        if self._receiver.done():
            raise OwnerGone(_GONE)
        number = next(self._numbers)
        future = self._results[number] = asyncio.get_running_loop().create_future()
        try:
            await self._send(
                {"id": number, "method": method, "params": wire.dump_arguments(method, arguments)}
            )
            return wire.load_result(method, await future)
        except asyncio.CancelledError:
            with contextlib.suppress(HomeError):
                await self._send({"id": number, "method": "cancel"})
            raise
        finally:
            del self._results[number]

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            self._writer.write(wire.encode(message))
            await self._writer.drain()
        except (OSError, RuntimeError) as error:
            raise OwnerGone(_GONE) from error

    async def _receive(self) -> None:
        try:
            while line := await self._reader.readline():
                message = json.loads(line)
                number = message["id"]
                if "event" in message:
                    if number in self._streams:
                        self._streams[number].put_nowait(message)
                elif number in self._results and not self._results[number].done():
                    if "error" in message:
                        self._results[number].set_exception(wire.load_error(message["error"]))
                    else:
                        self._results[number].set_result(message["result"])
        except (OSError, ValueError):
            pass
        finally:
            for future in self._results.values():
                if not future.done():
                    future.set_exception(OwnerGone(_GONE))
            for queue in self._streams.values():
                queue.put_nowait(None)
