"""The sandbox and its limits as the settings say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.config import SandboxSettings
from sandbox.base import Limits, Sandbox, SandboxError
from sandbox.choose import make_sandbox

_MIB = 1024**2


def limits_from(settings: SandboxSettings) -> Limits:
    """The limits of one command; settings count memory and sizes in MiB, limits in bytes."""
    return Limits(
        wall_seconds=settings.wall_seconds,
        cpu_seconds=settings.cpu_seconds,
        memory_bytes=settings.memory_mb * _MIB,
        processes=settings.processes,
        file_bytes=settings.file_mb * _MIB,
        output_bytes=settings.output_mb * _MIB,
    )


def sandbox_from(settings: SandboxSettings, hidden: Sequence[Path] = ()) -> Sandbox:
    """The sandbox of the chosen backend, not yet probed; `hidden` is never shown to a command."""
    return make_sandbox(settings.backend, hidden)


class SandboxProbe:
    """Whether the sandbox can be used here; found out once."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._problem: str | None = None

    async def problem(self) -> str:
        """Why it cannot be used; empty when it works."""
        if self._problem is None:
            try:
                await self._sandbox.probe()
                self._problem = ""
            except SandboxError as error:
                self._problem = str(error)
        return self._problem
