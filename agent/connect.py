"""Reaching a home's runtime: in this process when nobody owns the home, else over the owner's socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from agent.calls import RuntimeCalls
from agent.client import RemoteRuntime
from agent.config import Settings
from agent.errors import HomeError
from agent.home import Home, OwnerLock, owner_pid

_PATIENCE_SECONDS = 20.0
_POLL_SECONDS = 0.05


@contextlib.asynccontextmanager
async def open_runtime(home_path: Path, settings: Settings) -> AsyncIterator[RuntimeCalls]:
    """The runtime of a home. Raises HomeError when it can neither be owned nor reached.

    While this process owns the home it serves the socket too; on leaving it waits for every task,
    its own and those of others, and lets the home go.
    """
    home = Home(home_path)
    home.create()
    lock = OwnerLock.acquire(home)
    if lock is None:
        remote = await _reach_owner(home)
        if remote is not None:
            try:
                yield remote
            finally:
                await remote.close()
            return
        lock = OwnerLock.acquire(home)
        if lock is None:
            raise HomeError(_unreachable(home))
    from agent.build import build_runtime
    from agent.host import Host

    runtime = build_runtime(home, settings, lock)
    host = Host(runtime, home)
    try:
        await host.start()
        await runtime.recover()
        yield runtime
    except (asyncio.CancelledError, KeyboardInterrupt):
        # told to end, so nobody's task is waited for; each is interrupted and kept
        await runtime.interrupt_all()
        raise
    finally:
        await runtime.drain()
        await host.stop()
        await runtime.close()


async def attach(home_path: Path, settings: Settings) -> RuntimeCalls:
    """The runtime of a home in a process of its own, started in the background when there is none.

    That process ends by itself when its last client has left and no task is running.
    """
    home = Home(home_path)
    home.create()
    with contextlib.suppress(OSError):
        return await _answering(home)
    child = start_host(home, settings)
    remote = await _reach_owner(home, child)
    if remote is None:
        raise HomeError(_why_host_failed(home, child))
    return remote


def start_host(home: Home, settings: Settings) -> subprocess.Popen[bytes]:
    """Start the owner of a home in the background, free of this terminal, logging to `logs/host.log`."""
    home.logs.mkdir(parents=True, exist_ok=True)
    environ = dict(os.environ)
    for section in type(settings).model_fields:
        for key, value in getattr(settings, section).model_dump().items():
            environ[f"NIGHTSCHOOL_{section}_{key}".upper()] = str(value)
    with (home.logs / "host.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "agent.host_process", str(home.root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=home.root,
            env=environ,
        )


async def _reach_owner(home: Home, child: subprocess.Popen[bytes] | None = None) -> RemoteRuntime | None:
    """Connect to the owner, which may be just starting or just ending; None when it let the home go.

    Raises HomeError when it takes the connection and does not answer.
    """
    waited = 0.0
    while waited < _PATIENCE_SECONDS:
        with contextlib.suppress(OSError):
            return await _answering(home)
        if child is not None and child.poll() is not None:
            return None
        if child is None:
            lock = OwnerLock.acquire(home)
            if lock is not None:
                lock.release()
                return None
        await asyncio.sleep(_POLL_SECONDS)
        waited += _POLL_SECONDS
    return None


async def _answering(home: Home) -> RemoteRuntime:
    """A connection over which the owner answers. Raises OSError when nobody listens, HomeError when
    somebody does and says nothing, as a process does that Ctrl+Z has stopped."""
    remote = await RemoteRuntime.connect(home.socket)
    if not await remote.answers(_PATIENCE_SECONDS):
        gone = remote.gone
        await remote.close()
        if gone:
            raise ConnectionResetError
        raise HomeError(_unreachable(home))
    return remote


def _unreachable(home: Home) -> str:
    return (
        f"The home {home.root} is owned by process {owner_pid(home)}, which does not answer. "
        "End that process, or choose another home with --home."
    )


def _why_host_failed(home: Home, child: subprocess.Popen[bytes]) -> str:
    log = home.logs / "host.log"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = lines[-1] if lines else f"it ended with code {child.poll()}"
    return said.removeprefix("nightschool: ")
