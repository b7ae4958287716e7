"""Serves the runtime of an owned home on its Unix socket, to every other process of the same user."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Coroutine
from typing import Any

from pydantic import ValidationError

from agent import wire
from agent.errors import NightSchoolError
from agent.home import Home
from agent.runtime import Runtime
from memory.errors import StoreError
from sandbox.base import SandboxError


class Host:
    """The socket's server."""

    def __init__(self, runtime: Runtime, home: Home) -> None:
        self._runtime = runtime
        self._path = home.socket
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._last_left = asyncio.Event()
        self._last_left.set()

    async def start(self) -> None:
        """Listen; mode 0600 from the first moment, since the folder is 0700."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        self._path.chmod(0o600)
        self._server = await asyncio.start_unix_server(self._connected, sock=listener, limit=wire.MAX_LINE)

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._connections)

    async def wait_alone(self) -> None:
        """Return once no client is connected."""
        await self._last_left.wait()

    async def stop(self) -> None:
        """Stop listening and let every client go."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._last_left.clear()
        try:
            await _Connection(self._runtime, reader, writer).serve()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._connections.discard(task)
            if not self._connections:
                self._last_left.set()


class _Connection:
    """One client: its calls run side by side, its answers share one pipe."""

    def __init__(self, runtime: Runtime, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._runtime = runtime
        self._reader = reader
        self._writer = writer
        self._sending = asyncio.Lock()
        self._calls: dict[int, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        try:
            while line := await self._reader.readline():
                request = json.loads(line)
                number = request["id"]
                if request["method"] == "cancel":
                    if number in self._calls:
                        self._calls[number].cancel()
                    continue
                if request["method"] == "ping":
                    await self._send({"id": number, "result": None})
                    continue
                call = self._stream if request["method"] == "events" else self._call
                self._calls[number] = asyncio.create_task(self._until_done(number, call(number, request)))
        finally:
            for task in list(self._calls.values()):
                task.cancel()
            await asyncio.gather(*self._calls.values(), return_exceptions=True)

    async def _until_done(self, number: int, call: Coroutine[Any, Any, None]) -> None:
        try:
            await call
        finally:
            del self._calls[number]

    async def _send(self, message: dict[str, Any]) -> None:
        async with self._sending:
            self._writer.write(wire.encode(message))
            await self._writer.drain()

    async def _call(self, number: int, request: dict[str, Any]) -> None:
        method = request["method"]
        try:
            if method not in wire.METHODS:
                raise NightSchoolError(
                    f"The owner of the home does not know the call `{method}`; restart it."
                )
            arguments = wire.load_arguments(method, request["params"])
            result = await getattr(self._runtime, method)(**arguments)
            await self._send({"id": number, "result": wire.dump_result(method, result)})
        except (NightSchoolError, StoreError, SandboxError, ValidationError, KeyError, OSError) as error:
            with contextlib.suppress(ConnectionError):
                await self._send({"id": number, "error": wire.dump_error(error)})

    async def _stream(self, number: int, request: dict[str, Any]) -> None:
        events = self._runtime.events(**request["params"])
        try:
            async for event in events:
                await self._send({"id": number, "event": event.model_dump(mode="json")})
        except ConnectionError:
            pass
        finally:
            await events.aclose()
