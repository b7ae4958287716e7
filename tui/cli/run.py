"""`nightschool run`: one task, with tools in the sandbox."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tui.cli.output import Cli, Folder, json_option, words

_F = TypeVar("_F", bound=Callable[..., Any])


def continue_option(function: _F) -> _F:
    """Adds `--continue [ID]` as `continue_episode`: `last` without an id."""
    return click.option(
        "--continue",
        "continue_episode",
        is_flag=False,
        flag_value="last",
        metavar="[ID]",
        help="Go on with a conversation: the one with this id, or the last.",
    )(function)


@click.command()
@click.argument("task", nargs=-1)
@click.option("--workspace", type=Folder(), help="Folder to work in [default: the current one].")
@click.option("--model", "model_name", help="A name from `nightschool model list`.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Most model turns.")
@click.option(
    "--approve",
    type=click.Choice(["allow", "ask", "deny"]),
    help="What happens to calls the policy asks about [default: ask at a terminal, else deny].",
)
@continue_option
@json_option
@click.pass_obj
def run(
    cli: Cli,
    task: tuple[str, ...],
    workspace: Path | None,
    model_name: str | None,
    max_steps: int | None,
    approve: str | None,
    continue_episode: str | None,
    as_json: bool,
) -> None:
    """Work on one TASK with tools in the sandbox. `-` reads the task from standard input."""
    from agent.calls import TaskRequest
    from tui.cli.follow import EXIT_CODES, JsonView, TextView, run_turn
    from tui.cli.session import open_session, workspace_or_default

    is_id = continue_episode is None or continue_episode == "last" or continue_episode.startswith("ep_")
    if not is_id and not task:
        # `--continue "And then?"` reads as words to go on with, not as an id
        task, continue_episode = (continue_episode or "",), "last"
    mode = approve or ("ask" if sys.stdin.isatty() else "deny")
    request = TaskRequest(
        text=_standard_input() if task == ("-",) else words(task),
        workspace=None if continue_episode and not workspace else workspace_or_default(workspace, cli.home),
        continue_episode=continue_episode,
        max_steps=max_steps,
        approve=mode,  # type: ignore[arg-type]
    )

    async def work() -> int:
        async with open_session(cli, model_name) as runtime:
            end = await run_turn(runtime, request, JsonView() if as_json else TextView())
            if not as_json:
                click.secho(
                    f"[{end.outcome}] {end.episode_id} · {end.steps} steps · "
                    f"{end.tokens.generated} tokens · {end.seconds:.1f} s",
                    dim=True,
                    err=True,
                )
            return EXIT_CODES[end.outcome]

    sys.exit(asyncio.run(work()))


def _standard_input() -> str:
    from agent.errors import UsageError

    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError("The task on standard input is not UTF-8 text. Convert it first.") from error
