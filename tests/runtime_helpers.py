"""Small things tests of the runtime share."""

from __future__ import annotations

import json
from typing import Any

from agent.calls import RuntimeCalls, TaskRequest
from agent.events import Event, RunFinished


def call(name: str, **arguments: Any) -> str:
    """A tool call as Qwen writes it."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


async def finished(runtime: RuntimeCalls, request: TaskRequest) -> tuple[RunFinished, list[Event]]:
    """Submit and follow to the end of the turn."""
    seen: list[Event] = []
    past = 0
    if request.continue_episode:
        past = len((await runtime.episode(request.continue_episode)).turns)
    episode_id = await runtime.submit(request)
    async for event in runtime.events(episode_id):
        seen.append(event)
        if isinstance(event, RunFinished) and event.episode_id == episode_id:
            if not past:
                return event, seen
            past -= 1
    raise AssertionError("the stream ended")
