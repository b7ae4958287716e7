"""Seeing a started command to its end: wall clock, cancellation, nobody left behind."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

from sandbox.base import Limits, SandboxError
from sandbox.cgroups import Group
from sandbox.process import Child, to_the_end

_POLITE_SECONDS = 1.0
_DEATH_SECONDS = 30.0
_POLL_SECONDS = 0.002


class Brood(Protocol):
    """The processes a command consists of, as its backend knows them."""

    def kill(self) -> None:
        """Sends SIGKILL to all of them; may be called again and again."""

    def gone(self) -> bool:
        """True when none is left."""


@dataclass(frozen=True)
class Ending:
    """How the child ended, before its backend interprets it."""

    seconds: float
    """Wall-clock time until it had exited."""
    timed_out: bool
    """The wall clock ended it."""


async def supervise(child: Child, brood: Brood, limits: Limits, group: Group | None) -> Ending:
    """Waits for the child, at most the wall-clock limit, then ends all that is left of the command.

    Cancelled, it does the same at once and raises the cancellation after that.
    Raises SandboxError when a process will not die, which only a stuck disk or kernel can cause.
    """
    timed_out = False
    try:
        timed_out = not await child.wait(limits.wall_seconds)
        seconds = time.monotonic() - child.started
    finally:
        await to_the_end(_end(child, brood, group))
    return Ending(seconds, timed_out)


async def _end(child: Child, brood: Brood, group: Group | None) -> None:
    if not child.exited:
        # the child reaps what dies below it, so it gets the time to
        brood.kill()
        await child.wait(_POLITE_SECONDS)
    deadline = time.monotonic() + _DEATH_SECONDS
    while True:
        left = bool(group is not None and group.members())
        if child.exited and not left and brood.gone():
            break
        if time.monotonic() > deadline:
            raise SandboxError("A process of the command does not die: the disk or the kernel is stuck.")
        brood.kill()
        if not child.exited:
            child.kill_group()
        if group is not None and left:
            group.kill()
        await asyncio.sleep(_POLL_SECONDS)
    await child.finish_output()


async def remove(group: Group) -> None:
    """Removes an emptied group, waiting for the kernel to let go of it."""
    deadline = time.monotonic() + _DEATH_SECONDS
    while not group.remove():
        if time.monotonic() > deadline:
            raise SandboxError(f"The cgroup {group.folders[0]} cannot be removed.")
        await asyncio.sleep(_POLL_SECONDS)
