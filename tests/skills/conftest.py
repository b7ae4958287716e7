"""A workspace, and a context whose commands run for real but unprotected."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.base import Command, ExecResult, Limits
from skills.preimages import Preimages
from skills.tool import ToolContext


class LocalSandbox:
    """Runs commands on this machine as they are; the tools' own behaviour is under test, not isolation."""

    name = "local"

    def __init__(self) -> None:
        self.commands: list[Command] = []

    async def probe(self) -> None:
        return None

    async def run(self, command: Command, limits: Limits) -> ExecResult:
        self.commands.append(command)
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            cwd=command.workspace,
            env={"PATH": os.environ["PATH"], **command.env},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        timed_out = False
        try:
            out, err = await asyncio.wait_for(process.communicate(command.stdin), limits.wall_seconds)
        except TimeoutError:
            process.kill()
            timed_out, out, err = True, b"", b""
        code = await process.wait()
        return ExecResult(code if code >= 0 else 128 - code, out, err, time.monotonic() - started, timed_out)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "work folder"
    folder.mkdir()
    return folder


@pytest.fixture
def preimages(tmp_path: Path) -> Preimages:
    return Preimages(tmp_path / "home" / "preimages" / "ep_1")


@pytest.fixture
def local() -> LocalSandbox:
    return LocalSandbox()


@pytest.fixture
def make_context(workspace: Path, preimages: Preimages, local: LocalSandbox) -> Callable[..., ToolContext]:
    def make(**changes: object) -> ToolContext:
        given = {
            "workspace": workspace,
            "sandbox": local,
            "limits": Limits(wall_seconds=20),
            "keep_preimage": preimages.keep,
        }
        return ToolContext(**{**given, **changes})

    return make


@pytest.fixture
def context(make_context: Callable[..., ToolContext]) -> ToolContext:
    return make_context()
