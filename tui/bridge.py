"""From the runtime to Textual: holds the connection and turns its event stream into messages.

Events are handed on in batches, at most 25 a second, so that 60 tokens a second cost 25 layouts and
not 60; fewer when the screen cannot keep up, so that keys always find room between two batches. A
connection that ends is told once and never mended silently: events of the meantime are fetched from
the journal when the app connects again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from textual.message import Message
from textual.message_pump import MessagePump

if TYPE_CHECKING:
    from agent.calls import RuntimeCalls
    from agent.events import Event

Connect = Callable[[], "Awaitable[RuntimeCalls]"]

_BATCH_SECONDS = 1 / 25
_SLOWEST_BATCH_SECONDS = 1 / 4


class Happened(Message):
    """Events came, oldest first."""

    def __init__(self, events: tuple[Event, ...]) -> None:
        super().__init__()
        self.events = events


class ConnectionLost(Message):
    """The owner of the home no longer answers."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class Bridge:
    """One connection at a time, with its event pumps."""

    def __init__(self, target: MessagePump, connect: Connect) -> None:
        self._target = target
        self._connect = connect
        self._pumps: set[asyncio.Task[None]] = set()
        self._batch: list[Event] = []
        self._flush_at: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._pace = _BATCH_SECONDS
        self._followed: set[str] = set()
        self.calls: RuntimeCalls | None = None
        """The runtime; None while there is no connection."""

    @property
    def idle(self) -> bool:
        """Whether every event that came was handed on."""
        return self._flush_at is None

    async def open(self) -> RuntimeCalls:
        """Connect and listen to everything from now on. Raises what connecting raises."""
        calls = await self._connect()
        self.calls = calls
        self._pump(calls.events(), lambda event: event.episode_id not in self._followed)
        return calls

    def follow(self, episode_id: str, after: int = 0) -> None:
        """Also fetch an episode's past from the journal, past position `after`."""
        if self.calls is None or episode_id in self._followed:
            return
        self._followed.add(episode_id)
        self._pump(self.calls.events(episode_id, after), lambda event: event.episode_id == episode_id)

    async def close(self) -> None:
        """Let go of the connection."""
        calls, self.calls = self.calls, None
        self._stop_pumps()
        if calls is not None:
            await calls.close()

    def lost(self, reason: str) -> None:
        """Tell that the connection ended; only the first time counts."""
        if self.calls is None:
            return
        self.calls = None
        self._flush()
        self._stop_pumps()
        self._target.post_message(ConnectionLost(reason))

    def _stop_pumps(self) -> None:
        self._followed.clear()
        current = asyncio.current_task()
        for pump in self._pumps:
            if pump is not current:
                pump.cancel()

    def _pump(self, events: AsyncIterator[Event], wanted: Callable[[Event], bool]) -> None:
        task = asyncio.create_task(self._run(events, wanted))
        self._pumps.add(task)
        task.add_done_callback(self._pumps.discard)

    async def _run(self, events: AsyncIterator[Event], wanted: Callable[[Event], bool]) -> None:
        from agent.errors import NightSchoolError

        reason = ""
        try:
            async for event in events:
                if wanted(event):
                    self._put(event)
        except NightSchoolError:
            pass
        except (OSError, EOFError, ValueError) as error:
            reason = str(error) or type(error).__name__
        self.lost(reason)

    def _put(self, event: Event) -> None:
        self._batch.append(event)
        if self._flush_at is None:
            loop = asyncio.get_running_loop()
            self._due = loop.time() + self._pace
            self._flush_at = loop.call_at(self._due, self._flush)

    def _flush(self) -> None:
        if self._flush_at is not None:
            # how late it comes says how long the screen was busy with the batch before
            late = asyncio.get_running_loop().time() - self._due
            self._pace = min(max(2 * late, _BATCH_SECONDS), _SLOWEST_BATCH_SECONDS)
            self._flush_at.cancel()
            self._flush_at = None
        if self._batch:
            batch, self._batch = tuple(self._batch), []
            self._target.post_message(Happened(batch))
