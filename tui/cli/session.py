"""Opening a home's runtime for one command."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import click

from agent.calls import RuntimeCalls
from agent.client import RemoteRuntime
from agent.connect import open_runtime
from agent.errors import UsageError
from tui.cli.output import Cli
from tui.workspace import workspace_or_default as workspace_or_default

# so long the end of a task of our own may take to be stored
_QUIET_SECONDS = 1.0


@contextlib.asynccontextmanager
async def open_session(cli: Cli, model_name: str | None = None) -> AsyncIterator[RuntimeCalls]:
    """The runtime of the chosen home. Raises UsageError when its owner serves another model than asked."""
    # what goes on with a warning is told like everything else
    logging.basicConfig(level=logging.WARNING, format="nightschool: %(message)s")
    settings = cli.settings(model_name=model_name)
    async with open_runtime(cli.home, settings) as runtime:
        if model_name is not None:
            serving = (await runtime.status()).model
            if serving.lower() != model_name.lower() and model_name != "auto":
                raise UsageError(
                    f"The process that owns {cli.home} serves {serving}, not {model_name}. "
                    "Wait for it to end, or leave --model out."
                )
        yield runtime
        if not isinstance(runtime, RemoteRuntime):
            await _work_for_others(runtime)


async def _work_for_others(runtime: Any) -> None:
    """Wait for what other commands have running in this process, telling so when that takes a while."""
    drained = asyncio.create_task(runtime.drain())
    if not (await asyncio.wait({drained}, timeout=_QUIET_SECONDS))[0]:
        click.echo("nightschool: Still at work for another command. Ctrl+C ends that too.", err=True)
        await drained
