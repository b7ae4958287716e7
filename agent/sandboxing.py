"""The sandbox and its limits as the settings say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.config import SandboxSettings
from sandbox.base import Limits, Sandbox
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
