"""`nightschool adapters`: what the nights made, which one serves, and how to take one elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from tui.cli.output import Cli, json_option, print_json

if TYPE_CHECKING:
    from agent.calls import RuntimeCalls
    from memory.learning import AdapterCard


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def adapters(ctx: click.Context, as_json: bool) -> None:
    """What the nights made: list, show, activate, export."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_adapters, as_json=as_json)


@adapters.command("list")
@json_option
@click.pass_obj
def list_adapters(cli: Cli, as_json: bool) -> None:
    """Adapters, newest first."""

    async def work(runtime: RuntimeCalls) -> tuple[list[AdapterCard], str | None]:
        return await runtime.adapters(), (await runtime.status()).adapter

    cards, serving = _with_runtime(cli, work)
    if as_json:
        for card in cards:
            print_json(_brief(card, serving))
        return
    if not cards:
        click.echo("There are no adapters yet. A night makes them: `nightschool sleep --now`.")
    for card in cards:
        mark = "●" if card.id == serving else " "
        exam = "no exam" if card.exam is None else "passed" if card.exam.passed else "failed"
        parent = card.parent or "the base"
        click.echo(f"{mark} {card.id}  {card.kind}  {exam}  {len(card.lessons)} lessons  from {parent}")


@adapters.command()
@click.argument("adapter", metavar="ID")
@json_option
@click.pass_obj
def show(cli: Cli, adapter: str, as_json: bool) -> None:
    """One adapter's card and exam."""

    async def work(runtime: RuntimeCalls) -> tuple[AdapterCard, str | None, str]:
        card = _pick(await runtime.adapters(), adapter)
        return card, (await runtime.status()).adapter, (await runtime.report(card.night)).markdown

    card, serving, markdown = _with_runtime(cli, work)
    if as_json:
        print_json(_brief(card, serving) | card.model_dump(mode="json"))
        return
    click.echo(f"{card.id}  {card.kind}, from {card.parent or 'the base'}, {card.base}")
    click.echo(f"digest {card.digest}")
    click.echo(f"serves: {'yes' if card.id == serving else 'no'}")
    click.echo()
    click.echo(markdown)


@adapters.command()
@click.argument("adapter", metavar="ID|none")
@json_option
@click.pass_obj
def activate(cli: Cli, adapter: str, as_json: bool) -> None:
    """Serve with this adapter, or with `none`: the base model alone."""
    wanted = None if adapter == "none" else adapter
    card = _with_runtime(cli, lambda runtime: runtime.activate_adapter(wanted))
    if as_json:
        print_json({"id": card.id if card else None})
    else:
        click.echo(f"{card.id} serves now." if card else "The base model serves alone now.")


@adapters.command()
@click.argument("adapter", metavar="ID")
@click.option("--format", "form", type=click.Choice(["peft", "merged"]), default="peft", show_default=True)
@click.option(
    "--to", "target", type=click.Path(path_type=Path), help="Folder to make [default: ./ID-FORMAT]."
)
@json_option
@click.pass_obj
def export(
    cli: Cli, adapter: str, form: Literal["peft", "merged"], target: Path | None, as_json: bool
) -> None:
    """Write an adapter for other programs: PEFT's format, or merged into the whole model."""

    async def work(runtime: RuntimeCalls) -> str:
        card = _pick(await runtime.adapters(), adapter)
        folder = (target or Path(f"{card.id}-{form}")).expanduser().absolute()
        return await runtime.export_adapter(card.id, form, str(folder))

    folder = _with_runtime(cli, work)
    if as_json:
        print_json({"path": folder})
    else:
        click.echo(f"Written to {folder}.")


def _pick(cards: list[AdapterCard], name: str) -> AdapterCard:
    from agent.errors import UsageError

    fitting = cards[:1] if name == "last" else [card for card in cards if name and card.id.startswith(name)]
    if len(fitting) != 1:
        how_many = f"fits {len(fitting)} adapters" if fitting else "names no adapter"
        raise UsageError(f"`{name}` {how_many}. `nightschool adapters list` shows them.")
    return fitting[0]


def _brief(card: AdapterCard, serving: str | None) -> dict[str, Any]:
    return {
        "id": card.id,
        "kind": card.kind,
        "serving": card.id == serving,
        "parent": card.parent,
        "night": card.night,
        "passed": card.exam.passed if card.exam else None,
        "lessons": list(card.lessons),
        "digest": card.digest,
        "created_at": card.created_at.isoformat(),
    }


def _with_runtime(cli: Cli, work: Any) -> Any:
    from tui.cli.session import open_session

    async def run() -> Any:
        async with open_session(cli) as runtime:
            return await work(runtime)

    return asyncio.run(run())
