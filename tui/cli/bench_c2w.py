"""`bench c2w` and `bench compare`: learning over many nights, and several runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tui.cli.output import Cli, json_option, print_json

# repeated here so that --help stays instant; a test holds them to benchmarks.c2w.METHODS
_METHODS = (
    "night",
    "naive",
    "naive_same_data",
    "replay",
    "ewc",
    "l2",
    "joint",
    "retrieval",
    "context",
    "base",
)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option(
    "--facts", type=_FILE, help='JSON list of {"subject", "relation", "object"}; else fictional ones.'
)
@click.option("--nights", type=click.IntRange(min=1), help="How many; 5, or as many as the facts need.")
@click.option("--per-night", type=click.IntRange(min=1), help="New facts a day; 10 unless given.")
@click.option(
    "--method", type=click.Choice(_METHODS), default="night", help="What teaches; night is the product."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of facts, talk and training.")
@click.option("--order", type=click.IntRange(min=0), help="Shuffles the order in which the facts arrive.")
@click.option(
    "--budget", type=click.IntRange(min=1), help="Tokens of all nights: generated, teacher, trained."
)
@click.option(
    "--style",
    type=click.Choice(["triples", "conversation"]),
    default="triples",
    help="One sentence a fact, or said in passing and partly corrected later.",
)
@click.option("--model", help="Catalogue name; else the setting.")
@click.option("--json", "json_file", type=_FILE, help="Write the whole result here.")
@click.option("--plot", "plot_file", type=_FILE, help="Draw the result here (.png, .svg, .pdf).")
@click.option("--keep-home", is_flag=True, help="Keep the run's home and say where it is.")
@click.pass_obj
def c2w(
    cli: Cli,
    facts: Path | None,
    nights: int | None,
    per_night: int | None,
    method: Any,
    seed: int,
    order: int | None,
    budget: int | None,
    style: Any,
    model: str | None,
    json_file: Path | None,
    plot_file: Path | None,
    keep_home: bool,
) -> None:
    """Teach facts night after night, ask closed-book in other words, measure what stays.

    Runs the product's own nights on a home of its own. A run that was killed goes on when the same command
    is given again.
    """
    import asyncio

    from benchmarks.c2w import C2wOptions
    from benchmarks.c2w_session import Session, fit_to_facts, sandbox_works

    _writable(json_file)
    if plot_file is not None:
        from benchmarks.plot import check_plot

        check_plot(plot_file)
    settings = cli.settings(model_name=model)
    nights, per_night = fit_to_facts(facts, nights, per_night, seed)
    options = C2wOptions(
        method=method,
        nights=nights,
        per_night=per_night,
        seed=seed,
        order=order,
        style=style,
        budget=budget,
    )
    talk = style == "conversation" and asyncio.run(sandbox_works(settings))
    if style == "conversation" and not talk:
        click.echo("The sandbox does not work here, so everything is told as notes.", err=True)
    session = Session(settings, options, facts, talk)
    if session.begun:
        click.echo(f"Going on with the run in {session.folder}. Remove it to begin again.", err=True)
    result = asyncio.run(session.run(lambda line: click.echo(line, err=True)))
    if keep_home:
        result["home"] = str(session.home)
    if json_file is not None:
        _write_json(json_file, result)
    if plot_file is not None:
        from benchmarks.plot import draw

        draw(result, plot_file)
    if not keep_home:
        session.remove()
    _show(result)
    if keep_home:
        click.echo(f"Home: {session.home}")


@click.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@json_option
def compare(files: tuple[Path, ...], as_json: bool) -> None:
    """Pool results of `bench c2w --json` by method: means over seeds, intervals over seeds and facts."""
    from benchmarks.pool import pool, read_results

    rows = pool(read_results(files))
    if as_json:
        for row in rows:
            print_json(row)
        return
    click.echo(
        f"{'method':<16} {'runs':>4} {'ACC':>21} {'W':>21} {'forgetting':>22} {'of naive (upper)':>17}"
    )
    for row in rows:
        share = row.get("of_naive")
        shown = f"{share['ratio']:.3f} ({share['upper']:.3f})" if share else ""
        click.echo(
            f"{row['method']:<16} {row['runs']:>4} {_span(row, 'ACC'):>21} {_span(row, 'W'):>21} "
            f"{_span(row, 'forgetting'):>22} {shown:>17}"
        )


def _show(result: dict[str, Any]) -> None:
    facts, cost = result["facts"], result["cost"]
    click.echo(
        f"{result['method']}, {result['model']}: {facts['told']} facts in {len(result['R']) - 1} nights"
    )
    for row in result["R"]:
        click.echo("  " + " ".join("  . " if value is None else f"{value:.2f}" for value in row))
    for name in (
        "ACC",
        "W",
        "BWT",
        "FWT",
        "forgetting",
        "paraphrase_gap",
        "reverse_recall",
        "reverse_far_recall",
    ):
        click.echo(f"  {name:<20} {_span(result, name)}")
    for form, found in result["by_form"].items():
        click.echo(f"  {form:<20} ACC {found['ACC']:.3f}, W {found['W']:.3f}, {found['questions']} questions")
    change = result["general_nll_change"]
    click.echo(f"  {'general NLL':<20} {'not measured' if change is None else f'{change:+.2%}'}")
    unrelated, neighbours = result["unrelated"], result["neighbours"]
    click.echo(f"  {'intrusions':<20} {unrelated['intrusions']} in {unrelated['prompts']} unrelated prompts")
    told = " ".join("." if row["confident"] is None else f"{row['confident']:.2f}" for row in neighbours)
    click.echo(f"  {'sure of strangers':<20} {told}")
    if result["corrections"]["facts"]:
        fixed = result["corrections"]
        click.echo(f"  {'corrected facts':<20} {fixed['right']:.2f} right, {fixed['stale']:.2f} stale")
    lost = ", ".join(f"{count} {name}" for name, count in sorted(result["lost"].items()))
    click.echo(f"  {'facts':<20} {lost}")
    if cost["tokens_per_retained_fact"]:
        click.echo(
            f"  {'per retained fact':<20} {cost['tokens_per_retained_fact']:,.0f} tokens, "
            f"{cost['seconds_per_retained_fact']:.1f} s; {cost['seconds']:.0f} s in all"
        )


def _span(row: dict[str, Any], name: str) -> str:
    value, interval = row[name], row["intervals"].get(name)
    if value is None or value != value:
        return "-"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _writable(path: Path | None) -> None:
    """Better said before a long run than after it."""
    if path is not None and not path.absolute().parent.is_dir():
        from agent.errors import UsageError

        raise UsageError(f"There is no folder {path.absolute().parent} to write {path.name} into.")


def _write_json(path: Path, result: dict[str, Any]) -> None:
    import json

    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
