"""The command `nightschool`: a table of commands, each loaded only when it is used.

`--help` imports none of them, so it stays instant.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import click

_COMMANDS = {
    "ask": ("tui.cli.ask:ask", "Answer one question, without tools."),
    "bench": ("tui.cli.bench:bench", "Measure the product on public and own benchmarks."),
    "chat": ("tui.cli.chat:chat", "A plain line-by-line conversation."),
    "config": ("tui.cli.config:config", "Show or change settings."),
    "doctor": ("tui.cli.doctor:doctor", "What is installed, what is missing, what to do."),
    "episodes": ("tui.cli.episodes:episodes", "List, show and search past episodes."),
    "feedback": ("tui.cli.episodes:feedback", "Judge an episode: good or bad, with a correction."),
    "host": ("tui.cli.host:host", "Own the home and serve it to other commands."),
    "model": ("tui.cli.model:model", "List, fetch, choose and verify models."),
    "remember": ("tui.cli.ask:remember", "Tell it something to keep."),
    "run": ("tui.cli.run:run", "Work on one task with tools in the sandbox."),
    "sandbox": ("tui.cli.sandbox:sandbox", "Run a command exactly as the agent would."),
    "undo": ("tui.cli.episodes:undo", "Take back what a task changed in its workspace."),
}


class _Lazy(click.Command):
    """Stands in for a command whose module is not loaded, with its one-line help."""


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        target, summary = _COMMANDS[cmd_name]
        if ctx.resilient_parsing or ctx.invoked_subcommand is None and _wants_help(ctx):
            return _Lazy(cmd_name, help=summary)
        module, name = target.split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


def _wants_help(ctx: click.Context) -> bool:
    return ctx.meta.get("nightschool.listing", False)
