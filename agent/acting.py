"""Carrying out one tool call: check, approval, pre-image, run, shortened result.

Whatever goes wrong becomes the result the model sees; only cancellation passes through.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from agent.approval import Approver
from agent.bus import Bus
from agent.events import CallDecided, Progress
from agent.home import Home
from agent.model.tool_calls import check_arguments
from memory.types import ToolCall, ToolResult
from sandbox.base import SandboxError
from sandbox.view import too_wide
from skills.outputs import OutputStore
from skills.preimages import Preimages
from skills.registry import Registry
from skills.threads import to_the_end
from skills.tool import ToolContext, ToolError, ToolOutput


@dataclass(frozen=True)
class Workplace:
    """What the calls of one episode share."""

    episode_id: str
    """The episode."""
    tools: ToolContext
    """Workspace, sandbox and the rest that tools use."""
    outputs: OutputStore
    """Keeps long outputs whole."""
    preimages: Preimages
    """Keeps what is changed, so that it can be undone."""


@dataclass(frozen=True)
class Done:
    """What a call led to."""

    result: ToolResult
    """What the model sees."""
    malformed: bool = False
    """The call did not fit any tool's schema, so nothing ran."""
    ends_task: Literal["success", "failure"] | None = None
    """Set when the call finished the task; the answer is `result.content`."""


class Acting:
    """Carries out calls for the loop."""

    def __init__(self, registry: Registry, approver: Approver, bus: Bus, output_chars: int) -> None:
        self._registry = registry
        self._approver = approver
        self._bus = bus
        self._output_chars = output_chars

    async def carry_out(self, call: ToolCall, place: Workplace, offered: Sequence[str]) -> Done:
        """Do one call and say what came of it."""
        specs = [spec for spec in self._registry.specs() if spec.name in offered]
        error = check_arguments(call, specs)
        if error is not None:
            return Done(failed(call, error), malformed=True)
        spec = self._registry.get(call.name).spec
        decision = await self._approver.decide(place.episode_id, call, spec, place.tools.workspace)
        await self._bus.publish(
            CallDecided(
                episode_id=place.episode_id,
                call_id=call.id,
                tool=call.name,
                allowed=decision.allow,
                by=decision.by,
                reason=decision.reason,
            )
        )
        if not decision.allow:
            text = f"Refused: {decision.reason}. Do without it, or finish and say what is missing."
            return Done(failed(call, text, refused=True))
        self._bus.deliver(Progress(episode_id=place.episode_id, stage="tool", text=call.name))
        started = time.monotonic()
        try:
            output = await self._run(call, spec.risk, place)
        except (ToolError, SandboxError) as reason:
            output = ToolOutput(f"Error: {reason}", ok=False)
        except (OSError, ValueError, UnicodeError) as reason:
            # a tool that trips over the file system must not end the task
            output = ToolOutput(f"Error: {type(reason).__name__}: {reason}", ok=False)
        shown, full = place.outputs.keep(call.id, output.text, self._output_chars)
        result = ToolResult(
            call_id=call.id,
            name=call.name,
            ok=output.ok,
            content=shown,
            full_output=str(full) if full else None,
            seconds=time.monotonic() - started,
            provenance=output.provenance,
        )
        return Done(result, ends_task=output.ends_task)

    async def _run(self, call: ToolCall, risk: str, place: Workplace) -> ToolOutput:
        context = replace(place.tools, keep_preimage=place.preimages.keep)
        tool = self._registry.get(call.name)
        if risk == "write":
            try:
                return await tool.run(call.arguments, context)
            finally:
                await to_the_end(place.preimages.settle, context.workspace)
        if risk not in ("execute", "network"):
            return await tool.run(call.arguments, context)
        before = await place.preimages.before_command(context.workspace)
        try:
            return await tool.run(call.arguments, context)
        finally:
            await place.preimages.after_command(before)


def failed(call: ToolCall, error: str, refused: bool = False) -> ToolResult:
    """The result of a call that was not run."""
    return ToolResult(call_id=call.id, name=call.name, ok=False, content=error, refused=refused)


def workspace_problem(workspace: Path, home: Home) -> str | None:
    """Why this folder cannot be worked in, None when it can."""
    if not workspace.exists():
        return f"The workspace {workspace} does not exist. Make it first, or name another with --workspace."
    if not workspace.is_dir():
        return f"The workspace {workspace} is a file, not a folder. Name a folder with --workspace."
    resolved, own = workspace.resolve(), home.root.resolve()
    if resolved.is_relative_to(own) and home.workspaces.resolve() not in resolved.parents:
        return f"The workspace {workspace} is in Night School's own home. Name another with --workspace."
    return too_wide(resolved)
