"""`bench squad`: passages learned one after another, asked about without them."""

from __future__ import annotations

from pathlib import Path

import click

from tui.cli.output import Cli, json_option, print_json


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help='JSON list of {"title", "context", "questions"}, as SEAL publishes it.',
)
@click.option("--passages", type=click.IntRange(min=1), default=8, show_default=True, help="The first N.")
@click.option("--per-night", type=click.IntRange(min=1), default=1, show_default=True, help="Read each day.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the training.")
@click.option("--model", help="Catalogue name; else the setting.")
@click.option("--keep-home", is_flag=True, help="Keep the run's home and say where it is.")
@json_option
@click.pass_obj
def squad(
    cli: Cli,
    data: Path,
    passages: int,
    per_night: int,
    seed: int,
    model: str | None,
    keep_home: bool,
    as_json: bool,
) -> None:
    """Learn passages one after another, answer their questions without them.

    Runs the product's own nights on a home of its own. A run that was killed goes on when the same command
    is given again.
    """
    import asyncio

    from benchmarks.squad import SquadOptions, SquadSession

    options = SquadOptions(passages=passages, per_night=per_night, seed=seed)
    session = SquadSession(cli.settings(model_name=model), options, data)
    if session.begun:
        click.echo(f"Going on with the run in {session.folder}. Remove it to begin again.", err=True)
    result = asyncio.run(session.run(lambda line: click.echo(line, err=True)))
    if keep_home:
        click.echo(f"Home: {session.home}", err=True)
    else:
        session.remove()
    if as_json:
        print_json(result)
        return
    low, high = result["interval"]
    click.echo(
        f"{result['questions']} questions on {result['passages']} passages: {result['accuracy']:.3f} right "
        f"without the passage [{low:.3f}, {high:.3f}], F1 {result['F1']:.3f}"
    )
    before, book = result["before"], result["open_book"]
    click.echo(
        f"before learning {before['accuracy']:.3f} (F1 {before['F1']:.3f}), with the passage at hand "
        f"{book['accuracy']:.3f} (F1 {book['F1']:.3f})"
    )
    click.echo(
        f"right after its own night {result['after_its_own_night']:.3f}, forgotten since "
        f"{result['forgetting']:.3f}"
    )
