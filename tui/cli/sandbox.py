"""`nightschool sandbox`: a command exactly as the agent would run it, and proof that the sandbox holds."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from tui.cli.output import FAILED, INTERRUPTED, OK, Cli, Folder, fail, json_option, print_json

if TYPE_CHECKING:
    from sandbox.base import Command

TIMED_OUT, SANDBOX_FAILED = 124, 125


@click.group()
def sandbox() -> None:
    """Run a command exactly as the agent would, or check that the sandbox holds."""


@sandbox.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--network", is_flag=True, help="Grant the host's network.")
@click.option("--workspace", type=Folder(), help="The only writable folder (else the current one).")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def run(cli: Cli, network: bool, workspace: Path | None, command: tuple[str, ...]) -> NoReturn:
    """Run COMMAND as the agent would, to see what the agent can see.

    Prints nothing of its own. Exit code: the command's, 124 when its time ran out, 125 when the sandbox
    itself fails.
    """
    from sandbox.base import Command, SandboxError

    wanted = Command(argv=command, workspace=_workspace(workspace), network=network)
    try:
        sys.exit(asyncio.run(_run(cli, wanted)))
    except SandboxError as error:
        fail(str(error), SANDBOX_FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@sandbox.command()
@json_option
@click.pass_obj
def check(cli: Cli, as_json: bool) -> NoReturn:
    """Attack the sandbox for real and show what held. Takes about half a minute."""
    from agent.sandboxing import sandbox_from
    from sandbox.base import SandboxError
    from sandbox.contract import CheckResult, run_contract

    def show(result: CheckResult) -> None:
        if as_json:
            print_json(result.as_dict())
        else:
            mark = "held  " if result.passed else "BROKEN"
            click.echo(f"{mark} {result.kind:9} {result.name.replace('_', ' ')}{_why(result.detail)}")

    chosen = sandbox_from(cli.settings().sandbox)
    try:
        results = asyncio.run(run_contract(chosen, show))
    except SandboxError as error:
        fail(str(error), SANDBOX_FAILED)
    sys.exit(OK if all(result.passed for result in results) else FAILED)


async def _run(cli: Cli, wanted: Command) -> int:
    """The exit code. Told to end, or with nobody left to read the output, it first ends the command."""
    from agent.sandboxing import limits_from, sandbox_from

    settings = cli.settings().sandbox
    work = asyncio.current_task()
    stopped: list[int] = []

    def stop(code: int) -> None:
        stopped.append(code)
        if work is not None:
            work.cancel()

    def write(stream: str, piece: bytes) -> None:
        target = sys.stdout if stream == "stdout" else sys.stderr
        try:
            target.buffer.write(piece)
            target.buffer.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), target.fileno())
            stop(FAILED)

    for received in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(received, stop, 128 + received)
    chosen = sandbox_from(settings, hidden=(cli.home,))
    command = replace(wanted, stdin=_standard_input(), on_output=write)
    try:
        result = await chosen.run(command, limits_from(settings))
    except asyncio.CancelledError:
        if not stopped:
            raise
        return stopped[0]
    return TIMED_OUT if result.timed_out else result.exit_code


def _why(detail: str) -> str:
    return f": {detail}" if detail else ""


def _workspace(chosen: Path | None) -> Path:
    folder = (chosen or Path.cwd()).expanduser()
    if not folder.exists():
        fail(f"There is no workspace {folder}. Create it or choose another with --workspace.")
    if not folder.is_dir():
        fail(f"The workspace {folder} is a file, not a folder. Choose a folder with --workspace.")
    return folder.absolute()


def _standard_input() -> bytes | int:
    """What the command reads: our standard input unless a person sits there, pumped through a pipe.

    Never our own descriptor: through `/proc/self/fd` a command could open the file behind it for writing.
    """
    try:
        if sys.stdin is None or sys.stdin.isatty() or _is_empty(sys.stdin.fileno()):
            return b""
    except (OSError, ValueError):
        return b""
    readable, writable = os.pipe()
    threading.Thread(target=_pump, args=(sys.stdin.fileno(), writable), daemon=True).start()
    return readable


def _is_empty(descriptor: int) -> bool:
    found = os.fstat(descriptor)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == Path(os.devnull).stat().st_rdev


def _pump(source: int, target: int) -> None:
    try:
        while piece := os.read(source, 1 << 16):
            view = memoryview(piece)
            while view:
                view = view[os.write(target, view) :]
    except OSError:
        # the command has ended or closed its input; what is left of ours has no reader
        pass
    finally:
        os.close(target)
