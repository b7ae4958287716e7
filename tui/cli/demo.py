"""`nightschool demo`: the main job, shown on the real model in a fresh home and workspace."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import click

from tui.cli.output import Cli

_TASK = (
    "Write a Python file primes.py that prints the first ten prime numbers, one per line. "
    "Run it with python and tell me the last number it prints."
)


@click.command()
@click.pass_obj
def demo(cli: Cli) -> None:
    """Watch it work: one task with tools in a sandboxed workspace, and the episode it leaves."""
    from rich.console import Console

    from agent.calls import TaskRequest
    from tui.cli.follow import EXIT_CODES, TextView, run_turn
    from tui.cli.session import open_session
    from tui.render import episode_panel

    folder = Path(tempfile.mkdtemp(prefix="nightschool-demo-"))
    workspace = folder / "workspace"
    workspace.mkdir()
    demo_cli = Cli(cli.chosen_home or folder / "home")
    click.secho(f"Task: {_TASK}", bold=True)
    click.secho(f"Workspace: {workspace}\n", dim=True)

    async def work() -> int:
        async with open_session(demo_cli) as runtime:
            end = await run_turn(runtime, TaskRequest(text=_TASK, workspace=str(workspace)), TextView())
            assert end.episode_id is not None
            Console().print(episode_panel(await runtime.episode(end.episode_id)))
            return EXIT_CODES[end.outcome]

    code = asyncio.run(work())
    click.secho(f"\nEverything is kept in {demo_cli.home}; the files are in {workspace}.", dim=True)
    sys.exit(code)
