"""Requests that wait for a person: approvals and questions.

A request is an event with an id; the answer comes back by that id through the runtime. When the last
listener leaves, nobody is there, and the request ends with no answer instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from agent.bus import Bus
from agent.errors import UsageError
from agent.events import ApprovalRequested, Event, QuestionAsked
from memory.types import Record, ToolCall

# a face subscribes just after it submits, and may be reconnecting
_GRACE_SECONDS = 1.0


class PersonSays(Record):
    """A person's answer to an approval request."""

    allow: bool
    """Whether the call may run, this once."""
    reason: str = ""
    """In their words."""


class Pending:
    """The open requests of a runtime."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._open: dict[str, asyncio.Future[Any]] = {}

    async def approval(
        self, episode_id: str, call: ToolCall, risk: str, reason: str, preview: str
    ) -> PersonSays | None:
        """Ask whether a call may run; None when nobody is there (any more)."""
        request_id = _new_id()
        event = ApprovalRequested(
            episode_id=episode_id, request_id=request_id, call=call, risk=risk, reason=reason, preview=preview
        )
        said: PersonSays | None = await self._wait(request_id, event)
        return said

    async def question(self, episode_id: str, question: str) -> str | None:
        """Put a question; None when nobody is there or they gave no answer."""
        request_id = _new_id()
        said: str | None = await self._wait(
            request_id, QuestionAsked(episode_id=episode_id, request_id=request_id, question=question)
        )
        return said

    def decide(self, request_id: str, allow: bool, reason: str) -> None:
        """Answer an approval. Raises UsageError when it is not open."""
        self._resolve(request_id, PersonSays(allow=allow, reason=reason))

    def answer(self, request_id: str, text: str | None) -> None:
        """Answer a question. Raises UsageError when it is not open."""
        self._resolve(request_id, text)

    async def _wait(self, request_id: str, event: Event) -> Any:
        assert event.episode_id is not None
        if not await self._bus.wait_heard(event.episode_id, _GRACE_SECONDS):
            return None
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._open[request_id] = answered
        unheard = asyncio.create_task(self._bus.wait_unheard(event.episode_id))
        try:
            await self._bus.publish(event)
            await asyncio.wait({answered, unheard}, return_when=asyncio.FIRST_COMPLETED)
            return answered.result() if answered.done() else None
        finally:
            unheard.cancel()
            del self._open[request_id]

    def _resolve(self, request_id: str, value: Any) -> None:
        future = self._open.get(request_id)
        if future is None or future.done():
            raise UsageError(f"No request `{request_id}` is waiting; it was answered or its task has ended.")
        future.set_result(value)


def _new_id() -> str:
    return f"req_{uuid.uuid4().hex[:12]}"
