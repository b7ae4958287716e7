"""`bench general`: general ability on public suites, with an adapter or without."""

from __future__ import annotations

from pathlib import Path

import click

from tui.cli.output import Cli, json_option, print_json

# repeated here so that --help stays instant; a test holds them to benchmarks.general.SUITES
_SUITES = ("gsm8k", "humaneval", "ifeval", "wikitext2", "bfcl")


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), required=True, help="Folder of the suites' published files."
)
@click.option("--suite", type=click.Choice(_SUITES), required=True, help="What to measure.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N items.")
@click.option("--adapter", default="none", help="An adapter's id, or none for the base model (the default).")
@click.option("--model", help="Catalogue name; else the setting.")
@json_option
@click.pass_obj
def general(
    cli: Cli, data: Path, suite: str, limit: int | None, adapter: str, model: str | None, as_json: bool
) -> None:
    """General ability on a public suite, with an adapter or without."""
    from typing import cast

    from agent.build import chosen_model, load_embedder, load_model
    from agent.config import cache_dir
    from agent.home import Home
    from agent.sandboxing import sandbox_from
    from benchmarks.general import Row, Suite, adapter_folder, check_data, run_general

    check_data(data, suite)
    settings = cli.settings(model_name=model)
    home = Home(cli.home)
    entry = chosen_model(settings)
    folder = adapter_folder(home.adapters, adapter, entry.name)
    loaded = load_model(settings, entry, load_embedder(settings))
    loaded.activate(folder)

    def tell(row: Row, done: int, total: int) -> None:
        if as_json:
            print_json(row)
        else:
            click.echo(f"{done}/{total} {row.id}: {row.wrong or 'correct'}", err=True)

    result = run_general(
        loaded,
        cast(Suite, suite),
        data,
        adapter=None if folder is None else folder.name,
        limit=limit,
        sandbox=sandbox_from(settings.sandbox, hidden=[home.root, cache_dir(), data.resolve()]),
        on_row=tell,
    )
    if as_json:
        print_json(result)
        return
    figure = (
        f"{result.nll:.4f} nats a token over {result.tokens} tokens"
        if result.nll is not None
        else f"accuracy {result.accuracy:.3f} [{result.low:.3f}, {result.high:.3f}]"
    )
    click.echo(f"{suite}, {result.model}, adapter {result.adapter or 'none'}: {figure}")
    click.echo(f"{result.n} of {result.of} items, {result.seconds:.0f} seconds")
    for name, share in result.parts.items():
        click.echo(f"  {name}: {share:.3f}")
    if result.covered is not None:
        click.echo(f"  {result.covered:.1%} of the items can be checked here, the others were left out")
