"""`nightschool episodes`, `feedback` and `undo`: looking at the past, judging it, taking it back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from tui.cli.output import FAILED, Cli, json_option, print_json, words, yes_option
from tui.cli.person import confirmed

if TYPE_CHECKING:
    from agent.calls import RuntimeCalls
    from memory.types import Episode

_T = TypeVar("_T")


@click.group()
def episodes() -> None:
    """List, show and search past episodes."""


@episodes.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Most to show.")
@json_option
@click.pass_obj
def list_episodes(cli: Cli, limit: int, as_json: bool) -> None:
    """Past episodes, newest first."""
    found = _with_runtime(cli, lambda runtime: runtime.episodes(limit))
    if as_json:
        for episode in found:
            print_json(_brief(episode))
    elif found:
        from tui.render import episode_table

        _print(episode_table(found))
    else:
        click.echo("There are no episodes yet. `nightschool run TASK` makes one.")


@episodes.command("show")
@click.argument("episode_id", metavar="ID")
@json_option
@click.pass_obj
def show(cli: Cli, episode_id: str, as_json: bool) -> None:
    """One episode step by step. ID may be a beginning that fits only one, or `last`."""
    episode = _with_runtime(cli, lambda runtime: runtime.episode(episode_id))
    if as_json:
        print_json(_brief(episode) | episode.model_dump(mode="json"))
    else:
        from tui.render import episode_panel

        _print(episode_panel(episode))


@episodes.command("search")
@click.argument("text", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="Most to show.")
@json_option
@click.pass_obj
def search(cli: Cli, text: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Episodes about TEXT, by meaning and by words, best first."""
    wanted = words(text)
    hits = _with_runtime(cli, lambda runtime: runtime.search(wanted, limit))
    if as_json:
        for hit in hits:
            print_json(_brief(hit.episode) | {"score": hit.score, "reason": hit.reason})
    elif hits:
        from tui.render import hit_table

        _print(hit_table(hits))
    else:
        click.echo("Nothing found.")


@episodes.command("rebuild")
@json_option
@click.pass_obj
def rebuild(cli: Cli, as_json: bool) -> None:
    """Make the table of episodes anew from the journal."""
    count = _with_runtime(cli, lambda runtime: runtime.rebuild_episodes())
    if as_json:
        print_json({"episodes": count})
    else:
        click.echo(f"Rebuilt {count} episode{'' if count == 1 else 's'} from the journal.")


@click.command()
@click.argument("episode_id", metavar="EPISODE")
@click.argument("rating", type=click.Choice(["good", "bad"]))
@click.argument("text", nargs=-1)
@json_option
@click.pass_obj
def feedback(
    cli: Cli, episode_id: str, rating: Literal["good", "bad"], text: tuple[str, ...], as_json: bool
) -> None:
    """Judge EPISODE good or bad; TEXT says what would have been right, in your words."""
    said = words(text)

    async def give(runtime: RuntimeCalls) -> Episode:
        # resolved first: `last` must mean the same episode throughout
        found = (await runtime.episode(episode_id)).id
        await runtime.feedback(found, rating, said)
        return await runtime.episode(found)

    episode = _with_runtime(cli, give)
    if as_json:
        print_json({"id": episode.id, "rating": rating, "text": said})
    else:
        click.echo(f"Kept with {episode.id}: {rating}{f', “{said}”' if said else ''}.")


@click.command()
@click.argument("episode_id", metavar="EPISODE")
@yes_option
@json_option
@click.pass_obj
def undo(cli: Cli, episode_id: str, yes: bool, as_json: bool) -> None:
    """Take back what EPISODE changed in its workspace, after showing what that means."""
    from agent.errors import UsageError

    async def take_back(runtime: RuntimeCalls) -> int:
        episode = await runtime.episode(episode_id)
        changes = await runtime.undo_preview(episode.id)
        if not changes:
            raise UsageError(f"Episode {episode.id} changed nothing in its workspace, or was undone already.")
        if not as_json:
            _print_changes(changes)
        kept = sum(change.action != "lost" for change in changes)
        if not kept:
            raise UsageError(f"What episode {episode.id} changed was not kept, so it cannot be taken back.")
        files = "1 file" if kept == 1 else f"{kept} files"
        if not await confirmed(f"Take back {files} in {episode.workspace}?", yes):
            return FAILED
        done = await runtime.undo(episode.id)
        if as_json:
            changed = [change.model_dump(mode="json") for change in done]
            print_json({"id": episode.id, "changes": changed})
        else:
            click.echo(f"Took back {files}.")
        return 0

    sys.exit(_with_runtime(cli, take_back))


def _with_runtime(cli: Cli, work: Callable[[RuntimeCalls], Awaitable[_T]]) -> _T:
    from tui.cli.session import open_session

    async def opened() -> _T:
        async with open_session(cli) as runtime:
            return await work(runtime)

    return asyncio.run(opened())


def _brief(episode: Episode) -> dict[str, Any]:
    """What a list says of an episode, as JSON values."""
    return {
        "id": episode.id,
        "kind": episode.kind,
        "outcome": episode.outcome,
        "task": episode.task,
        "answer": episode.answer,
        "model": episode.model,
        "adapter": episode.adapter,
        "workspace": episode.workspace,
        "started_at": episode.started_at.isoformat(),
        "ended_at": episode.ended_at.isoformat(),
        "steps": len(episode.steps),
        "tokens": episode.usage.model_dump(mode="json"),
        "signals": episode.uncertainty.model_dump(mode="json"),
        "feedback": [given.model_dump(mode="json") for given in episode.feedback],
        "undone": episode.undone,
    }


def _print(renderable: Any) -> None:
    from rich.console import Console

    # a pipe has no width; 80 columns would cut what a script greps for
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    console.print(renderable)


def _print_changes(changes: Any) -> None:
    from rich.text import Text

    from tui.render import diff_text

    for change in changes:
        does = "cannot restore" if change.action == "lost" else change.action
        _print(Text(f"{does} {change.path}", style="bold"))
        if change.diff:
            _print(diff_text(change.diff))
