"""`nightschool ask` and `nightschool remember`: plain questions, and things to keep."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tui.cli.output import FAILED, OK, Cli, json_option, print_json, words


@click.command()
@click.argument("question", nargs=-1)
@click.option("--no-memory", is_flag=True, help="Recall nothing: the weights alone.")
@click.option("--batch", type=click.Path(path_type=Path), help="JSON lines with `id` and `question`.")
@click.option("--model", "model_name", help="A name from `nightschool model list`.")
@json_option
@click.pass_obj
def ask(
    cli: Cli,
    question: tuple[str, ...],
    no_memory: bool,
    batch: Path | None,
    model_name: str | None,
    as_json: bool,
) -> None:
    """Answer one QUESTION, without tools and without leaving an episode.

    With --batch a question that cannot be answered has `error` instead; the exit code is 1 then.
    """
    from agent.errors import ModelError, UsageError, WeightsMissing
    from tui.cli.session import open_session

    if batch is not None and question:
        raise UsageError("Give a question or --batch FILE, not both.")
    items: list[dict[str, Any]] = [{"id": None, "question": words(question)}]
    if batch:
        items = list(_read_batch(batch))

    async def work() -> int:
        code = OK
        async with open_session(cli, model_name) as runtime:
            for item in items:
                try:
                    answer = await runtime.ask(item["question"], memory=not no_memory)
                except (UsageError, ModelError) as error:
                    if batch is None or isinstance(error, WeightsMissing):
                        raise
                    # one question that cannot be answered does not cost the others
                    print_json({"id": item["id"], "answer": "", "error": str(error)})
                    code = FAILED
                    continue
                if as_json or batch:
                    found = answer.model_dump(mode="json")
                    print_json({"id": item["id"], **found} if batch else found)
                else:
                    click.echo(answer.answer)
        return code

    sys.exit(asyncio.run(work()))


@click.command()
@click.argument("text", nargs=-1, required=True)
@json_option
@click.pass_obj
def remember(cli: Cli, text: tuple[str, ...], as_json: bool) -> None:
    """Tell it TEXT to keep."""
    from tui.cli.session import open_session

    note = words(text)

    async def work() -> str:
        async with open_session(cli) as runtime:
            return await runtime.remember(note)

    episode_id = asyncio.run(work())
    if as_json:
        print_json({"id": episode_id})
    else:
        click.echo(f"Kept as {episode_id}.")


def _read_batch(path: Path) -> Iterator[dict[str, Any]]:
    from agent.errors import UsageError

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"Cannot read {path}: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}."
        ) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except json.JSONDecodeError as error:
            raise UsageError(
                f"{path}, line {number} is not JSON: {error.msg}. One object a line is expected."
            ) from error
        if not isinstance(item, dict) or "id" not in item or not isinstance(item.get("question"), str):
            raise UsageError(f"{path}, line {number} needs `id` and `question` (a text).")
        words([item["question"]])
        yield item
