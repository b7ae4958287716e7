"""`nightschool bench …`: the product measured on public and own benchmarks.

Each subcommand is a thin function over a module of `benchmarks`, imported when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from tui.cli.bench_c2w import c2w, compare
from tui.cli.bench_general import general
from tui.cli.bench_rag import rag
from tui.cli.bench_squad import squad
from tui.cli.output import Cli, json_option, print_json


@click.group()
def bench() -> None:
    """Measure the product on public and own benchmarks."""


bench.add_command(c2w)
bench.add_command(compare)
bench.add_command(general)
bench.add_command(rag)
bench.add_command(squad)


@bench.command()
@click.option("--model", help="Catalogue name; else the setting.")
@click.option("--only", multiple=True, help="Just this task; may be repeated.")
@json_option
@click.pass_obj
def tasks(cli: Cli, model: str | None, only: tuple[str, ...], as_json: bool) -> None:
    """Which of twenty small tasks the model finishes, each in a fresh workspace."""
    import asyncio

    from benchmarks.tasks import run_tasks, sum_up

    async def work() -> list[dict[str, Any]]:
        rows = []
        async for row in run_tasks(cli.settings(model_name=model), frozenset(only)):
            rows.append(row)
            if as_json:
                print_json(row)
            else:
                mark = "done" if row["done"] else f"{row['outcome']} {row['reason']}"
                cost = f"{row['steps']:>2} steps {row['seconds']:>6} s"
                click.echo(f"{row['name']:<13} {row['kind']:<11} {cost}  {mark}")
        return rows

    result = sum_up(asyncio.run(work()))
    if as_json:
        print_json(result)
    else:
        click.echo(f"{result['done']} of {result['n']} done in {result['seconds']:.0f} s")


@bench.command()
@click.option("--model", help="Catalogue name; else the setting.")
@click.pass_obj
def speed(cli: Cli, model: str | None) -> None:
    """Loading, prefill, decoding and token counting, as one JSON object."""
    from agent.build import chosen_model
    from agent.config import cache_dir
    from agent.model.weights import model_dir
    from benchmarks.speed import run_speed
    from benchmarks.tokens import run_tokens

    folder = model_dir(chosen_model(cli.settings(model_name=model)).name, cache_dir())
    print_json({"model": folder.name, "speed": run_speed(folder), "tokens": run_tokens(folder)})


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


@bench.command()
@click.option("--fit", "fit_weights", is_flag=True, help="Fit the gate's weights first, and write them.")
@click.option("--facts", type=click.IntRange(min=40), default=260, help="Statements in the pool.")
@click.option("--seed", type=int, default=0, help="Of the pool and of all sampling.")
@click.option(
    "--rows", type=click.Path(path_type=Path), help="Keep what is measured here, and go on from it."
)
@click.option("--model", help="Catalogue name; else the setting.")
@json_option
@click.pass_obj
def gate(
    cli: Cli, fit_weights: bool, facts: int, seed: int, rows: Path | None, model: str | None, as_json: bool
) -> None:
    """Whether the gate chooses what is worth learning, beside an oracle and simpler ways to choose."""
    from agent.build import chosen_model, load_model
    from agent.gate import fitted
    from benchmarks.gate import fit_gate, measure_pool, report

    settings = cli.settings(model_name=model, model_constrain=False)
    entry = chosen_model(settings)
    loaded = load_model(settings, entry, None)

    def tell(done: int, total: int) -> None:
        click.echo(f"{done} of {total} statements measured", err=True)

    measured = measure_pool(loaded, facts, seed, rows, tell)
    weights = fit_gate(measured) if fit_weights else fitted()
    result = {**report(measured, weights, settings.learning.threshold), "model": entry.name, "seed": seed}
    if as_json:
        print_json(result)
        return
    click.echo(
        f"{result['tested']} statements of relations the weights were not fitted on, {result['worth']} of "
        f"them worth learning; {entry.name}"
    )
    for name, figures in result["methods"].items():
        shares = ", ".join(f"{float(s):.0%}: {p:.2f}" for s, p in figures["precision_at"].items())
        click.echo(f"{name:<22} AUPRC {figures['auprc']:.3f}   precision at the best {shares}")
    at = result["at_threshold"]
    click.echo(f"at {at['threshold']}: precision {at['precision']:.3f}, recall {at['recall']:.3f}")


@bench.command()
@click.option("--fit", "fit_weights", is_flag=True, help="Fit the weights on the dev pairs first.")
@json_option
@click.pass_obj
def contradictions(cli: Cli, fit_weights: bool, as_json: bool) -> None:
    """Whether it sees which statements contradict each other, on labelled pairs."""
    from agent.build import load_embedder
    from benchmarks.contradictions import run

    result = run(load_embedder(cli.settings()), fit_weights)
    if as_json:
        print_json(result)
        return
    for name, figures in (*result["splits"].items(), ("stream", result["stream"])):
        click.echo(
            f"{name:<6} {figures['n']} pairs: precision {figures['precision']:.3f}, recall "
            f"{figures['recall']:.3f}; of those it is sure of, precision {figures['sure_precision']:.3f} "
            f"and recall {figures['sure_recall']:.3f}"
        )


@bench.command()
@click.option("--split", type=click.Choice(["dev", "test"]), default="test", help="Which conversations.")
@click.option(
    "--lessons", type=click.IntRange(min=0), default=20, help="Lessons to put into phrasings as well."
)
@click.option("--model", help="Catalogue name; else the setting.")
@json_option
@click.pass_obj
def lessons(cli: Cli, split: Literal["dev", "test"], lessons: int, model: str | None, as_json: bool) -> None:
    """How well lessons are found in labelled conversations, and what phrasings they give."""
    from agent.build import chosen_model, load_model
    from benchmarks.extraction import run_extraction
    from skills.registry import builtin_registry

    settings = cli.settings(model_name=model)
    loaded = load_model(settings, chosen_model(settings), None)
    result = run_extraction(
        loaded,
        split,
        builtin_registry().specs(),
        count=settings.learning.phrasings,
        lessons=lessons,
        on_progress=lambda text: click.echo(text, err=True),
    )
    if as_json:
        print_json(result)
        return
    click.echo(
        f"{split}, {result.model}: precision {result.precision:.2f}, recall {result.recall:.2f} on "
        f"{result.labels} facts in {result.conversations} conversations; {result.usable:.2f} of the "
        f"phrasings are usable, {result.trained:.1f} to train and {result.held_out:.1f} held out per lesson"
    )


@bench.command()
@click.option("--facts", type=click.IntRange(min=1), default=10, show_default=True, help="Eight chats each.")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Medians over these."
)
@click.option("--first-layer", type=click.IntRange(min=0), help="Lowest layer with an adapter.")
@click.option("--passes", type=click.IntRange(min=1), help="Most passes over the chats.")
@click.option("--seed", default=0, show_default=True, help="Of facts, order and initial weights.")
@click.option("--trl/--no-trl", default=True, help="Compare with TRL's SFTTrainer (the extra `trl`).")
@click.option("--model", help="Catalogue name; else the setting.")
@json_option
@click.pass_obj
def train(
    cli: Cli,
    facts: int,
    rounds: int,
    first_layer: int | None,
    passes: int | None,
    seed: int,
    trl: bool,
    model: str | None,
    as_json: bool,
) -> None:
    """Tokens a second of the product's trainer, next to TRL's on the same chats."""
    from agent.build import chosen_model
    from agent.config import cache_dir
    from agent.model.weights import model_dir
    from agent.sleep.items import TrainSettings
    from benchmarks.train import run_train

    chosen = {"first_layer": first_layer, "passes": passes}
    given = {key: value for key, value in chosen.items() if value is not None}
    result = run_train(
        model_dir(chosen_model(cli.settings(model_name=model)).name, cache_dir()),
        facts=facts,
        rounds=rounds,
        settings=TrainSettings.model_validate(given),
        seed=seed,
        compare=trl,
        say=lambda text: click.echo(text, err=True),
    )
    if as_json:
        print_json(result)
    else:
        click.echo("\n".join(f"{name:<24} {value}" for name, value in result["median"].items()))
