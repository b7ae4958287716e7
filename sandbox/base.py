"""The sandbox protocol: run one command under limits and say exactly how it ended.

A backend that cannot work here raises `SandboxUnavailable`; a command that fails is no error of the
sandbox but an `ExecResult` with its exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class SandboxError(Exception):
    """Base of the sandbox's own errors; never a failed command."""


class SandboxUnavailable(SandboxError):
    """The backend cannot isolate commands on this machine. The message says why and what to do."""


@dataclass(frozen=True)
class Limits:
    """What one command may use."""

    wall_seconds: float = 60.0
    """Wall-clock time, after which every process of the command is killed."""
    cpu_seconds: int = 60
    """CPU time of one process."""
    memory_bytes: int = 2 * 1024**3
    """Memory of all processes together."""
    processes: int = 128
    """Processes and threads at one time."""
    file_bytes: int = 256 * 1024**2
    """Size of one written file; a backend with private temporary folders bounds each by it too."""
    output_bytes: int = 4 * 1024**2
    """Standard output and standard error, each; the rest is thrown away and `truncated` is set."""


@dataclass(frozen=True)
class ExecResult:
    """How a command ended."""

    exit_code: int
    """The command's own code; 128 + signal number when a signal ended it."""
    stdout: bytes
    """What it wrote to standard output, up to the limit."""
    stderr: bytes
    """What it wrote to standard error, up to the limit."""
    seconds: float
    """Wall-clock time."""
    timed_out: bool = False
    """True when the wall-clock limit ended it."""
    truncated: bool = False
    """True when output was thrown away."""
    limit: str | None = None
    """Which limit ended or hindered it, when known: wall, memory, cpu, file, processes, output."""


@dataclass(frozen=True)
class Command:
    """What to run and what it may touch."""

    argv: Sequence[str]
    """Program and arguments; no shell is added."""
    workspace: Path
    """The only writable folder; also the working directory, at its own path."""
    network: bool = False
    """True grants the host's network."""
    stdin: bytes | int = b""
    """What the command reads from standard input: bytes, or the read end of a pipe that is handed to it.
    Never a descriptor of a file or socket of ours: the command could open it again for writing."""
    env: dict[str, str] = field(default_factory=dict)
    """Variables added to the small clean environment."""
    readable: Sequence[Path] = ()
    """Further paths bound read-only."""
    on_output: Callable[[str, bytes], None] | None = None
    """Called on the event loop with `stdout` or `stderr` and each piece as it comes, up to the limit."""


class Sandbox(Protocol):
    """A way to run untrusted commands."""

    name: str
    """`bubblewrap` or `none`."""

    async def probe(self) -> None:
        """Run something trivial for real. Raises SandboxUnavailable with reason and mend."""

    async def run(self, command: Command, limits: Limits) -> ExecResult:
        """Run to the end, the limit, or cancellation; every process is gone when this returns.

        Raises SandboxUnavailable when isolation cannot be set up, and never runs the command then.
        """
