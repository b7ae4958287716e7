"""`nightschool backup` and `nightschool restore`: everything that is kept, in one file and back again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.cli.output import Cli, json_option, print_json, words

if TYPE_CHECKING:
    from agent.keeping_calls import BackupMade


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--replace", is_flag=True, help="Write over a file that is there.")
@json_option
@click.pass_obj
def backup(cli: Cli, file: str, replace: bool, as_json: bool) -> None:
    """Write everything that is kept into one file, also while the agent works.

    Models are not in it (`nightschool model pull` fetches them), nor is what is made again from the rest.
    Whoever can read the file can read what you said: keep it where only you can.
    """
    from agent.errors import UsageError
    from tui.cli.session import open_session
    from tui.wording import file_size

    if not file:
        raise UsageError("The path is empty. Name the file to write.")
    target = Path(words([file])).expanduser().absolute()

    async def write() -> BackupMade:
        async with open_session(cli) as runtime:
            return await runtime.backup(str(target), replace)

    made = asyncio.run(write())
    if as_json:
        print_json(made)
        return
    click.echo(f"{made.files:,} files in {made.path} ({file_size(made.bytes)}).")
    if made.left_out:
        left_out = ", ".join(f"{count:,} {what}" for what, count in made.left_out.items())
        click.echo(f"Left out: {left_out}.")
    click.echo(f"`nightschool --home FOLDER restore {made.path}` brings it back.")


@click.command()
@click.argument("file", metavar="FILE")
@json_option
@click.pass_obj
def restore(cli: Cli, file: str, as_json: bool) -> None:
    """Bring a backup back, into a home that is empty (choose one with --home).

    All of it is checked before anything is written.
    """
    from agent.errors import UsageError
    from agent.home import Home
    from agent.restore import restore as bring_back

    if not file:
        raise UsageError("The path is empty. Name a backup's file.")
    manifest = bring_back(Path(file).expanduser().absolute(), Home(cli.home))
    if as_json:
        told = manifest.model_dump(mode="json", exclude={"files", "folders"})
        print_json({"home": str(cli.home), "files": len(manifest.files)} | told)
        return
    made = f"{manifest.made_at.astimezone():%Y-%m-%d %H:%M}"
    serves = manifest.adapter or "the base model alone"
    click.echo(f"{len(manifest.files):,} files brought back to {cli.home}, as it was at {made}.")
    click.echo(f"Serves: {serves}. The next command makes the tables again from the journal.")
