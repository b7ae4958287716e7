"""`nightschool bench …`: the product measured on public and own benchmarks.

Each subcommand is a thin function over a module of `benchmarks`, imported when it runs.
"""

from __future__ import annotations

from pathlib import Path

import click

from tui.cli.output import Cli, json_option, print_json


@click.group()
def bench() -> None:
    """Measure the product on public and own benchmarks."""


@bench.command()
@click.option(
    "--data", type=click.Path(path_type=Path), required=True, help="Folder of the benchmark's files."
)
@click.option("--category", required=True, help="NAME of NAME.jsonl and NAME_answers.jsonl.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N items.")
@click.option("--constrain/--no-constrain", default=True, help="With or without the grammar of tool calls.")
@click.option("--model", help="Catalogue name; else the setting.")
@json_option
@click.pass_obj
def bfcl(
    cli: Cli, data: Path, category: str, limit: int | None, constrain: bool, model: str | None, as_json: bool
) -> None:
    """Tool calls on the Berkeley Function Calling Leaderboard's AST categories."""
    from agent.build import chosen_model, load_embedder, load_model
    from benchmarks.bfcl import load_items, mark, sum_up

    items = load_items(data, category, limit)
    settings = cli.settings(model_name=model, model_constrain=constrain)
    entry = chosen_model(settings)
    loaded = load_model(settings, entry, load_embedder(settings))
    marked = []
    for number, item in enumerate(items, 1):
        marked.append(mark(loaded, item, constrain))
        if as_json:
            print_json(marked[-1])
        else:
            shown = marked[-1].wrong or "correct"
            click.echo(f"{number}/{len(items)} {item.id}: {shown}", err=True)
    result = sum_up(marked, category, entry.name, constrain)
    if as_json:
        print_json(result)
        return
    click.echo(
        f"{category}, {entry.name}, {'with' if constrain else 'without'} constraints: accuracy "
        f"{result.accuracy:.3f} ({result.correct} of {result.n}), {result.unparseable} unparseable, "
        f"{result.seconds:.0f} seconds"
    )
