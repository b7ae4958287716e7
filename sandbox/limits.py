"""Limits as the kernel knows them, and which of them a finished command ran into.

Two ways to limit memory and processes. Cgroups count all of a command together. Without cgroups there are
rlimits: memory then holds for each process, and processes are counted per user, which inside a user
namespace of its own means per command (Linux 5.14 and newer), but never for root.
"""

from __future__ import annotations

import signal

from sandbox.base import Limits
from sandbox.cgroups import Group

_BY_SIGNAL = {signal.SIGXCPU: "cpu", signal.SIGXFSZ: "file"}


def common_rlimits(limits: Limits) -> list[str]:
    """Launcher options for what holds per process whichever way the rest is limited."""
    return [
        *("--limit", "CPU", str(limits.cpu_seconds)),
        *("--limit", "FSIZE", str(limits.file_bytes)),
        *("--limit", "CORE", "0"),
    ]


def memory_rlimit(limits: Limits) -> list[str]:
    """Launcher option for the memory of one process, where no cgroup counts them together."""
    return ["--limit", "AS", str(limits.memory_bytes)]


def process_rlimit(limits: Limits) -> list[str]:
    """Launcher option for the processes of one user; inside a user namespace that is one command."""
    return ["--limit", "NPROC", str(limits.processes)]


def joins(group: Group) -> list[str]:
    """Launcher options to join a group."""
    return [part for file in group.join_files for part in ("--join", str(file))]


def limit_hit(exit_code: int, timed_out: bool, truncated: bool, group: Group | None) -> str | None:
    """The limit that ended a command, else one that hindered it, else None."""
    if timed_out:
        return "wall"
    if group is not None and group.out_of_memory():
        return "memory"
    if (by_signal := _BY_SIGNAL.get(exit_code - 128)) is not None:  # type: ignore[call-overload]
        return str(by_signal)
    if group is not None and group.out_of_processes():
        return "processes"
    return "output" if truncated else None
