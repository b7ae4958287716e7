"""`nightschool chat`: a conversation, line by line; also from a script."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tui.cli.output import Cli, Folder, json_option
from tui.cli.person import read_line
from tui.cli.run import continue_option


@click.command()
@click.option("--script", type=click.Path(path_type=Path), help="Each line is one user message.")
@click.option("--workspace", type=Folder(), help="Folder to work in [default: the current one].")
@click.option("--model", "model_name", help="A name from `nightschool model list`.")
@click.option("--approve", type=click.Choice(["allow", "ask", "deny"]), help="As in `run`.")
@continue_option
@json_option
@click.pass_obj
def chat(
    cli: Cli,
    script: Path | None,
    workspace: Path | None,
    model_name: str | None,
    approve: str | None,
    continue_episode: str | None,
    as_json: bool,
) -> None:
    """A plain conversation. Ends with an empty end of input (Ctrl+D) or `/quit`."""
    from agent.calls import TaskRequest
    from agent.errors import UsageError
    from tui.cli.follow import EXIT_CODES, JsonView, TextView, run_turn
    from tui.cli.session import open_session, workspace_or_default

    if script is None and not sys.stdin.isatty():
        raise UsageError("Standard input is no terminal. Give the messages with --script FILE.")
    scripted = _from_script(script) if script else None
    mode = approve or ("ask" if sys.stdin.isatty() and script is None else "deny")

    async def work() -> int:
        episode_id, code = continue_episode, 0
        async with open_session(cli, model_name) as runtime:
            while (text := next(scripted, None) if scripted else await _from_terminal()) is not None:
                if script is not None and not as_json:
                    click.secho(f"> {text}", bold=True)
                request = TaskRequest(
                    text=text,
                    kind="conversation",
                    workspace=None
                    if episode_id and not workspace
                    else workspace_or_default(workspace, cli.home),
                    continue_episode=episode_id,
                    approve=mode,  # type: ignore[arg-type]
                )
                end = await run_turn(runtime, request, JsonView() if as_json else TextView())
                episode_id, code = end.episode_id, EXIT_CODES[end.outcome]
        return code

    code = asyncio.run(work())
    sys.exit(code if script else 0)


def _from_script(path: Path) -> Iterator[str]:
    from agent.errors import UsageError

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"Cannot read {path}: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}."
        ) from error
    return (line for line in lines if line.strip())


async def _from_terminal() -> str | None:
    """The next message; None when the person is done."""
    while (line := await read_line("> ", bold=True)) is not None:
        if line.strip() == "/quit":
            return None
        if line.strip():
            return line.strip()
    return None
