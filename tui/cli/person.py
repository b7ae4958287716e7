"""Reading what the person at the terminal types, without a thread: Ctrl+C never has to wait for Enter."""

from __future__ import annotations

import asyncio
import os
import sys

import click

from tui.cli.output import nobody_there


async def read_line(prompt: str, bold: bool = False) -> str | None:
    """One line, without its end; None at the end of input (Ctrl+D). The prompt goes to standard error.

    Only for a standard input that is a terminal: it hands out whole lines.
    """
    click.secho(prompt, fg=None if bold else "yellow", bold=bold, nl=False, err=True)
    loop, terminal = asyncio.get_running_loop(), sys.stdin.fileno()
    typed: asyncio.Future[bytes] = loop.create_future()

    def ready() -> None:
        loop.remove_reader(terminal)
        if typed.done():
            # the question was taken back just now; the line is the next one's
            return
        try:
            typed.set_result(os.read(terminal, 1 << 16))
        except OSError:
            # the terminal has gone
            typed.set_result(b"")

    loop.add_reader(terminal, ready)
    try:
        line = await typed
    finally:
        loop.remove_reader(terminal)
    return line.decode("utf-8", errors="replace").rstrip("\r\n") if line else None


async def confirmed(question: str, yes: bool) -> bool:
    """As `output.confirm`, for where an event loop must go on while the person thinks."""
    if yes:
        return True
    if not sys.stdin.isatty():
        return nobody_there(question)
    return (await read_line(f"{question} [y/N]: ") or "").strip().lower() in ("y", "yes")
