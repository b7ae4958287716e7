"""The event stream: durable events go to the journal first, then to everybody who listens.

A slow listener loses passing events (token deltas, progress), never a durable one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from agent.events import Event, is_durable
from agent.journal import Journal

_PASSING_BACKLOG = 4096


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Listener:
    def __init__(self, episode_id: str | None) -> None:
        self.episode_id = episode_id
        self.queue: asyncio.Queue[Event] = asyncio.Queue()

    def offer(self, event: Event) -> None:
        if self.episode_id is not None and event.episode_id not in (None, self.episode_id):
            return
        if is_durable(event) or self.queue.qsize() < _PASSING_BACKLOG:
            self.queue.put_nowait(event)


class Bus:
    """One stream of events for the runtime and its faces."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._listeners: set[_Listener] = set()
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._loop = _running_loop()

    async def record(self, event: Event) -> Event:
        """Append a durable event to the journal and return it with its `seq`; nobody has seen it yet.

        Raises HomeError when it could not be made durable. Finishes even when the caller is cancelled,
        so that what is done is never unrecorded.
        """
        return await asyncio.shield(self._append(event))

    async def _append(self, event: Event) -> Event:
        async with self._writing:
            return await asyncio.to_thread(self._journal.append, event)

    def deliver(self, event: Event) -> None:
        """Hand an event to everybody who listens."""
        for listener in self._listeners:
            listener.offer(event)

    def deliver_from_anywhere(self, event: Event) -> None:
        """`deliver` a passing event from another thread than the event loop's, or from it."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.deliver, event)

    async def publish(self, event: Event) -> Event:
        """Record if durable, then deliver."""
        if is_durable(event):
            event = await self.record(event)
        self.deliver(event)
        return event

    def has_listener(self, episode_id: str) -> bool:
        """Whether anybody would see this episode's events."""
        return any(listener.episode_id in (None, episode_id) for listener in self._listeners)

    async def wait_heard(self, episode_id: str, seconds: float) -> bool:
        """Whether somebody listens to this episode now or within that time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.has_listener(episode_id):
                    self._changed.clear()
                    await self._changed.wait()
        return self.has_listener(episode_id)

    async def wait_unheard(self, episode_id: str) -> None:
        """Return once nobody listens to this episode."""
        while self.has_listener(episode_id):
            self._changed.clear()
            await self._changed.wait()

    async def subscribe(self, episode_id: str | None = None, after: int = 0) -> AsyncGenerator[Event, None]:
        """Events of an episode (None: of all): the journalled ones past `after` when an episode is
        named, then the live ones. Ends when the consumer closes it."""
        listener = _Listener(episode_id)
        self._listeners.add(listener)
        self._changed.set()
        try:
            last = after
            if episode_id is not None:
                past = await asyncio.to_thread(lambda: list(self._journal.read(after, episode_id)))
                for event in past:
                    last = event.seq
                    yield event
            while True:
                event = await listener.queue.get()
                if event.seq == 0 or event.seq > last:
                    yield event
        finally:
            self._listeners.discard(listener)
            self._changed.set()
