"""`nightschool model`: list, fetch, choose and verify models. Imports neither torch nor transformers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tui.cli.output import FAILED, Cli, confirm, json_option, print_json, yes_option

if TYPE_CHECKING:
    from agent.model.catalogue import ModelEntry
    from agent.model.sources import Progress

_STAGES = {
    "download": "Fetching",
    "check": "Checking",
    "copy": "Copying",
    "convert": "Converting",
    "verify": "Hashing",
    "wait": "Waiting for another process that fetches",
}


@click.group()
def model() -> None:
    """List, fetch, choose and verify models."""


@model.command("list")
@json_option
@click.pass_obj
def list_models(cli: Cli, as_json: bool) -> None:
    """Every model of the catalogue: what it is, whether it is here, which one is chosen."""
    from agent.config import cache_dir
    from agent.device import detect
    from agent.errors import ModelError
    from agent.model.catalogue import HubSource, catalogue, resolve
    from agent.model.weights import installed

    settings, hardware = cli.settings(), detect()
    here = {found.name: found for found in installed(cache_dir()) if found.whole}
    automatic = resolve("auto", hardware, here).name
    chosen = set()
    for name in (settings.model.name, settings.memory.embedder):
        try:
            chosen.add(resolve(name, hardware, here).name)
        except ModelError as error:
            # the list is where to find the right name
            click.echo(f"nightschool: {error}", err=True)
    rows = []
    for entry in catalogue().values():
        found = here.get(entry.name)
        sources = [s.repo if isinstance(s, HubSource) else "package index" for s in entry.sources]
        rows.append(
            {
                "name": entry.name,
                "kind": entry.kind,
                "summary": entry.summary,
                "parameters": entry.parameters,
                "context": entry.context,
                "licence": entry.licence,
                "bytes": found.bytes if found else entry.disk,
                "sources": sources,
                "installed": found is not None,
                "path": str(found.path) if found else None,
                "installed_from": found.source if found else None,
                "chosen": entry.name in chosen,
                "auto": entry.name == automatic,
            }
        )
    if as_json:
        for row in rows:
            print_json(row)
    else:
        _print_table(rows)


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from agent.model.sources import gigabytes

    table = Table(box=None, pad_edge=False)
    for heading, justify in (("", "left"), ("model", "left"), ("parameters", "right"), ("context", "right")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for heading, justify in (("size", "right"), ("licence", "left"), ("here", "left"), ("about", "left")):
        table.add_column(heading, justify=justify, no_wrap=heading != "about")  # type: ignore[arg-type]
    for row in rows:
        millions = row["parameters"] / 1e6
        table.add_row(
            "*" if row["chosen"] else "",
            row["name"],
            f"{millions / 1000:.1f} B" if millions >= 1000 else f"{millions:.0f} M",
            str(row["context"]),
            gigabytes(row["bytes"]),
            row["licence"],
            "yes" if row["installed"] else "no",
            row["summary"] + (" (auto)" if row["auto"] else ""),
        )
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    console.print("[dim]* chosen by your settings; auto: what `auto` takes on this machine[/dim]")


@model.command()
@click.argument("name", required=False)
@click.option(
    "--from", "source", type=click.Path(path_type=Path), help="A model folder or GGUF file to take it from."
)
@yes_option
@json_option
@click.pass_obj
def pull(cli: Cli, name: str | None, source: Path | None, yes: bool, as_json: bool) -> None:
    """Fetch a model; without NAME the ones your settings choose: the language model and the embedder."""
    from agent.config import cache_dir
    from agent.device import detect
    from agent.errors import UsageError
    from agent.model.catalogue import candidates, find, resolve
    from agent.model.offline import go_offline
    from agent.model.weights import installed, pull, pull_first

    go_offline()
    cache, hardware = cache_dir(), detect()
    if source is not None and name is None:
        raise UsageError(
            "--from needs the NAME of the model it holds. `nightschool model list` shows the names."
        )
    if name is not None:
        wanted = [resolve(name, hardware)] if source else [_first(name, hardware, cache)]
    else:
        settings = cli.settings()
        wanted = [_first(settings.model.name, hardware, cache), find(settings.memory.embedder)]
    automatic = (name or cli.settings().model.name).strip().casefold() == "auto"
    for number, entry in enumerate(wanted):
        here = any(found.name == entry.name and found.whole for found in installed(cache))
        if entry.licence_note and not here and not confirm(f"{entry.licence_note} Fetch {entry.name}?", yes):
            sys.exit(FAILED)
        if source and here and not confirm(f"{entry.name} is here already. Replace it?", yes):
            sys.exit(FAILED)
        with _progress(entry.name) as on_progress:
            if automatic and number == 0 and source is None and not here:
                # the best model may be out of reach; the next best that can be had is better than none
                entry = pull_first(candidates(hardware), cache, on_progress)
            else:
                pull(entry, cache, on_progress, source)
        _report(entry, cache, as_json)


def _first(name: str, hardware: Any, cache: Path) -> ModelEntry:
    """What a name means, with `auto` preferring what is here."""
    from agent.model.catalogue import resolve
    from agent.model.weights import installed

    return resolve(name, hardware, {found.name for found in installed(cache) if found.whole})


def _report(entry: ModelEntry, cache: Path, as_json: bool) -> None:
    from agent.model.weights import installed

    found = next(found for found in installed(cache) if found.name == entry.name)
    if as_json:
        print_json(
            {
                "id": entry.name,
                "name": entry.name,
                "path": str(found.path),
                "source": found.source,
                "bytes": found.bytes,
            }
        )
    else:
        click.echo(f"{entry.name} is ready in {found.path}")


@model.command()
@click.argument("name")
@json_option
@click.pass_obj
def use(cli: Cli, name: str, as_json: bool) -> None:
    """Choose the language model, by writing model.name into the home's config.toml."""
    from agent.config import cache_dir, set_value
    from agent.device import detect
    from agent.errors import UsageError, WeightsMissing
    from agent.model.catalogue import resolve
    from agent.model.weights import installed, model_dir

    cache = cache_dir()
    automatic = name.strip().casefold() == "auto"
    entry = resolve(name, detect(), {found.name for found in installed(cache) if found.whole})
    if entry.kind != "language":
        raise UsageError(
            f"{entry.name} is an embedder. Set it with `nightschool config set memory.embedder {entry.name}`."
        )
    set_value(cli.home, "model.name", "auto" if automatic else entry.name)
    if as_json:
        print_json({"key": "model.name", "value": "auto" if automatic else entry.name, "model": entry.name})
    else:
        click.echo(f"model.name is now {f'auto: {entry.name}' if automatic else entry.name}")
    try:
        model_dir(entry.name, cache)
    except WeightsMissing as missing:
        click.echo(f"nightschool: {missing}", err=True)


@model.command()
@click.argument("name", required=False)
@json_option
@click.pass_obj
def verify(cli: Cli, name: str | None, as_json: bool) -> None:
    """Hash installed weights again; without NAME all of them. Exit code 1 when something is damaged."""
    from agent.config import cache_dir
    from agent.errors import ModelError
    from agent.model.catalogue import catalogue
    from agent.model.weights import Verification, installed
    from agent.model.weights import verify as verify_weights

    cache = cache_dir()
    if name is not None:
        names = [_first(name, _hardware(), cache).name]
    else:
        names = [found.name for found in installed(cache) if found.name in catalogue()]
        if not names and not as_json:
            click.echo("No model is installed. `nightschool model pull` fetches the default ones.")
    damaged = False
    for each in names:
        with _progress(each) as on_progress:
            try:
                result = verify_weights(catalogue()[each], cache, on_progress)
            except ModelError as error:
                if name is not None:
                    raise
                folder = cache / "models" / each
                result = Verification(
                    name=each, path=folder, ok=False, files=0, bytes=0, problems=(str(error),)
                )
        damaged = damaged or not result.ok
        if as_json:
            print_json(result)
        elif result.ok:
            click.echo(f"{each}: {result.files} files as they were installed")
        else:
            click.echo(
                f"{each}: {' '.join(result.problems)} `nightschool model pull {each} --from …` or "
                f"removing {result.path} and pulling again mends it."
            )
    if damaged:
        sys.exit(FAILED)


def _hardware() -> Any:
    from agent.device import detect

    return detect()


@contextmanager
def _progress(name: str) -> Iterator[Progress]:
    """Bars on a terminal, nothing elsewhere. Ctrl+C leaves with one sentence."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    bars = Bars(*columns, console=console, disable=not console.is_terminal)
    tasks: dict[str, Any] = {}

    def on_progress(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(f"{_STAGES.get(stage, stage)} {name}", total=total or None)
        bars.update(tasks[stage], completed=done, total=total or None)

    try:
        with bars:
            yield on_progress
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Interrupted. What has arrived is kept; the same command goes on.") from None
