"""`bench rag`: questions about an invented handbook, with and without looking them up."""

from __future__ import annotations

from typing import Any

import click

from tui.cli.output import Cli, json_option, print_json


@click.command()
@click.option("--plain/--no-plain", default=True, help="Also from the weights alone.")
@click.option("--model", help="Catalogue name; else the setting.")
@json_option
@click.pass_obj
def rag(cli: Cli, plain: bool, model: str | None, as_json: bool) -> None:
    """Answer 30 questions about an invented handbook from its text; 8 of them have no answer in it.

    Runs on a home of its own, which is removed.
    """
    import asyncio
    import tempfile
    from pathlib import Path

    from agent.connect import open_runtime
    from benchmarks.rag import add_handbook, ask_plain, ask_sources, questions, sum_up

    asked = questions()

    async def work() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        with tempfile.TemporaryDirectory(prefix="nightschool-rag-") as folder:
            async with open_runtime(Path(folder) / "home", cli.settings(model_name=model)) as runtime:
                await add_handbook(runtime)
                sourced = []
                for question in asked:
                    sourced.append(await ask_sources(runtime, question))
                    row = sourced[-1]
                    if as_json:
                        print_json(row)
                    else:
                        click.echo(
                            f"{'right' if row['right'] else 'wrong'}  {row['question']}  {row['answer']}"
                        )
                return [await ask_plain(runtime, question) for question in asked] if plain else [], sourced

    alone, sourced = asyncio.run(work())
    result = sum_up(asked, alone, sourced)
    if as_json:
        print_json(result)
        return
    click.echo(
        f"{result['right']} of {result['answerable']} right, {result['cited_right']} with the right source, "
        f"{result['declined']} declined; of {result['without_answer']} without an answer "
        f"{result['rightly_declined']} declined; {result['invented']} wrong answers were given; "
        f"{result['seconds']} seconds each"
    )
    if alone:
        click.echo(
            f"from the weights alone {result['plain_right']} right, {result['plain_rightly_declined']} of "
            f"{result['without_answer']} declined"
        )
