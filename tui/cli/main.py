"""The command `nightschool`: a table of commands, each loaded only when it is used.

`--help` imports none of them, so it stays instant.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from tui.cli.output import Cli, Folder

_COMMANDS = {
    "adapters": ("tui.cli.adapters:adapters", "What the nights made; which one serves."),
    "ask": ("tui.cli.ask:ask", "Answer one question, without tools."),
    "backup": ("tui.cli.backups:backup", "Write everything that is kept into one file."),
    "bench": ("tui.cli.bench:bench", "Measure the product on public and own benchmarks."),
    "chat": ("tui.cli.chat:chat", "A plain line-by-line conversation."),
    "config": ("tui.cli.config:config", "Show or change settings."),
    "demo": ("tui.cli.demo:demo", "Watch it work on one task."),
    "doctor": ("tui.cli.doctor:doctor", "What is installed, what is missing, what to do."),
    "episodes": ("tui.cli.episodes:episodes", "List, show and search past episodes."),
    "feedback": ("tui.cli.episodes:feedback", "Judge an episode: good or bad, with a correction."),
    "forget": ("tui.cli.review:forget", "Forget an episode or a lesson for good."),
    "infer": ("tui.cli.ask:ask", "Another name for `ask`."),
    "knowledge": ("tui.cli.knowledge:knowledge", "Add, list, show, search and remove documents."),
    "model": ("tui.cli.model:model", "List, fetch, choose and verify models."),
    "remember": ("tui.cli.ask:remember", "Tell it something to keep."),
    "report": ("tui.cli.sleep:report", "The report card of a night."),
    "restore": ("tui.cli.backups:restore", "Bring a backup back, into an empty home."),
    "review": ("tui.cli.review:review", "What it chose to learn and why; approve, reject, edit."),
    "rollback": ("tui.cli.snapshots:rollback", "Go back to a snapshot of memory, adapters and settings."),
    "run": ("tui.cli.run:run", "Work on one task with tools in the sandbox."),
    "sandbox": ("tui.cli.sandbox:sandbox", "Run a command exactly as the agent would."),
    "sleep": ("tui.cli.sleep:sleep", "Run one night: learn, sit the exam, promote what passed."),
    "snapshot": ("tui.cli.snapshots:snapshot", "Name the state of things; list what was named."),
    "undo": ("tui.cli.episodes:undo", "Take back what a task changed in its workspace."),
}


class _Group(click.Group):
    """Shows the table's one-line helps without importing any command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in sorted(_COMMANDS.items())])


@click.group(cls=_Group, invoke_without_command=True)
@click.option(
    "--home",
    type=Folder(),
    help="Home folder [default: NIGHTSCHOOL_HOME, or the platform's].",
)
@click.version_option(package_name="nightschool")
@click.pass_context
def nightschool(ctx: click.Context, home: Path | None) -> None:
    """An agent that works by day and learns by night. Without a command: the app."""
    ctx.obj = Cli(home)
    if ctx.invoked_subcommand is None:
        from tui.app import run_app

        sys.exit(run_app(ctx.obj))
