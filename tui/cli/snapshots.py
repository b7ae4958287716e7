"""`nightschool snapshot` and `nightschool rollback`: names for states, and the way back to one."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from tui.cli.output import FAILED, Cli, confirm, json_option, print_json, words, yes_option
from tui.wording import plural

if TYPE_CHECKING:
    from agent.calls import RuntimeCalls
    from agent.learning_calls import RollbackPlan


@click.group()
def snapshot() -> None:
    """Name the state of memory, adapters and settings; list, show, compare and prune what was named."""


@snapshot.command()
@click.argument("name", nargs=-1)
@json_option
@click.pass_obj
def create(cli: Cli, name: tuple[str, ...], as_json: bool) -> None:
    """Take a snapshot now."""
    taken = _with_runtime(cli, lambda runtime: runtime.snapshot(" ".join(name)))
    if as_json:
        print_json(taken)
    else:
        click.echo(f"Taken as {taken.id}.")


@snapshot.command("list")
@json_option
@click.pass_obj
def list_snapshots(cli: Cli, as_json: bool) -> None:
    """Snapshots, newest first."""
    found = _with_runtime(cli, lambda runtime: runtime.snapshots())
    for taken in found:
        if as_json:
            print_json(taken)
        else:
            serving = taken.adapter or "the base model"
            click.echo(f"{taken.id}  {taken.created_at:%Y-%m-%d %H:%M}  {taken.name}  ({serving})")
    if not found and not as_json:
        click.echo(
            "There are no snapshots yet. Every night takes one; so does `nightschool snapshot create`."
        )


@snapshot.command()
@click.argument("snapshot_id", metavar="ID")
@json_option
@click.pass_obj
def show(cli: Cli, snapshot_id: str, as_json: bool) -> None:
    """What a snapshot holds; ID may be `now`."""
    from tui.render_snapshots import contents_lines

    shown = _with_runtime(cli, lambda runtime: runtime.snapshot_contents(words([snapshot_id])))
    if as_json:
        print_json(shown)
    else:
        click.echo("\n".join(contents_lines(shown)))


@snapshot.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@json_option
@click.pass_obj
def diff(cli: Cli, first: str, second: str, as_json: bool) -> None:
    """What is lost and what comes back on the way from A to B; either may be `now`."""
    from tui.render_snapshots import diff_lines

    found = _with_runtime(cli, lambda runtime: runtime.snapshot_diff(words([first]), words([second])))
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(diff_lines(found)))


@snapshot.command()
@click.option("--keep", metavar="N", type=click.IntRange(min=1), help="Keep the newest N.")
@click.option(
    "--older-than",
    "days",
    metavar="DAYS",
    type=float,
    help="Keep what is younger.",
)
@click.option("--dry-run", is_flag=True, help="Show what would go; change nothing.")
@yes_option
@json_option
@click.pass_obj
def prune(cli: Cli, keep: int | None, days: float | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove snapshots, and adapters that nothing else goes back to.

    The newest stays, and so does every way back from an adapter that is still there. Episodes, lessons and
    documents stay in any case.
    """
    from tui.render_snapshots import pruned_lines

    async def work(runtime: RuntimeCalls) -> int:
        pruned = await runtime.prune_snapshots(keep, days, dry_run=True)
        if not dry_run:
            if not as_json:
                click.echo("\n".join(pruned_lines(pruned, done=False)))
            if pruned.snapshots and not confirm("Remove these? It cannot be undone.", yes):
                return FAILED
            pruned = await runtime.prune_snapshots(keep, days)
        if as_json:
            print_json(pruned)
        elif dry_run:
            click.echo("\n".join(pruned_lines(pruned, done=False)))
        else:
            click.echo(pruned_lines(pruned, done=True)[-1])
        return 0

    sys.exit(_with_runtime(cli, work))


@snapshot.command("rollback")
@click.argument("snapshot_id", metavar="ID", default="last")
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@yes_option
@json_option
@click.pass_obj
def snapshot_rollback(cli: Cli, snapshot_id: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Go back to a snapshot."""
    _roll_back(cli, snapshot_id, dry_run, yes, as_json)


@click.command()
@click.argument("snapshot_id", metavar="ID", default="last")
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@yes_option
@json_option
@click.pass_obj
def rollback(cli: Cli, snapshot_id: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Go back to a snapshot: memory, adapters and settings together. ID is by default the newest."""
    _roll_back(cli, snapshot_id, dry_run, yes, as_json)


def _roll_back(cli: Cli, snapshot_id: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    async def work(runtime: RuntimeCalls) -> int:
        plan = await runtime.rollback(snapshot_id, dry_run=True)
        if not as_json:
            click.echo(_describe(plan))
        if dry_run:
            if as_json:
                print_json(plan)
            return 0
        if not confirm("Roll back?", yes):
            return FAILED
        done = await runtime.rollback(plan.snapshot.id)
        if as_json:
            print_json({"id": done.snapshot.id} | done.model_dump(mode="json"))
        else:
            click.echo(f"Done. `nightschool rollback {done.undo}` undoes it.")
        return 0

    sys.exit(_with_runtime(cli, work))


def _describe(plan: RollbackPlan) -> str:
    lines = [f"Back to {plan.snapshot.id} ({plan.snapshot.name}):"]
    lines.append(
        f"  serves: {plan.adapter_now or 'the base model'} → {plan.adapter_then or 'the base model'}"
    )
    for what, gone, back in (
        ("episodes", plan.episodes_lost, plan.episodes_back),
        ("lessons", plan.lessons_lost, plan.lessons_back),
    ):
        if gone:
            lines.append(f"  {len(gone)} {what} go: {', '.join(gone[:5])}{' …' if len(gone) > 5 else ''}")
        if back:
            lines.append(f"  {len(back)} {what} come back")
    if plan.documents_change:
        lines.append(f"  {plural(plan.documents_change, 'document')} of knowledge change")
    if plan.settings_change:
        lines.append("  settings go back to what they were")
    if plan.snapshot.purged:
        lines.append(f"  {len(plan.snapshot.purged)} were forgotten since and stay forgotten")
    return "\n".join(lines)


def _with_runtime(cli: Cli, work: Any) -> Any:
    from tui.cli.session import open_session

    async def run() -> Any:
        async with open_session(cli) as runtime:
            return await work(runtime)

    return asyncio.run(run())
