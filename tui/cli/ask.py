"""`nightschool ask` and `nightschool remember`: plain questions, and things to keep."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tui.cli.output import FAILED, OK, Cli, json_option, print_json, words

if TYPE_CHECKING:
    from agent.calls import Answer, RuntimeCalls
    from agent.knowledge_calls import SourcedAnswer


class _Ask(click.Command):
    """Lets `--domains` take several names: those that follow it, up to an option or what is no name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from memory.knowledge import DOMAIN

        spread: list[str] = []
        taking = False
        for place, word in enumerate(args):
            if word == "--":
                spread += args[place:]
                break
            if word == "--domains":
                # click itself says that a name is missing
                taking, fresh = True, True
                spread.append(word)
                continue
            if taking and not word.startswith("-") and (fresh or DOMAIN.fullmatch(word)):
                spread += [word] if fresh else ["--domains", word]
                fresh = False
                continue
            taking = False
            spread.append(word)
        return super().parse_args(ctx, spread)


@click.command(cls=_Ask)
@click.argument("question", nargs=-1)
@click.option("--input", "given", metavar="QUESTION", help="The question, in place of the argument.")
@click.option("--use-rag", is_flag=True, help="Answer from the documents that are known, with sources.")
@click.option(
    "--domains",
    metavar="DOMAIN...",
    multiple=True,
    help="Only these areas of knowledge, with --use-rag, which it implies. Name them after the question.",
)
@click.option("--fresh", is_flag=True, help="With --use-rag: none of the answers that were kept.")
@click.option("--no-memory", is_flag=True, help="Recall nothing of past episodes.")
@click.option("--batch", type=click.Path(path_type=Path), help="JSON lines with `id` and `question`.")
@click.option("--model", "model_name", help="A name from `nightschool model list`.")
@json_option
@click.pass_obj
def ask(
    cli: Cli,
    question: tuple[str, ...],
    given: str | None,
    use_rag: bool,
    domains: tuple[str, ...],
    fresh: bool,
    no_memory: bool,
    batch: Path | None,
    model_name: str | None,
    as_json: bool,
) -> None:
    """Answer one QUESTION, without tools and without leaving an episode.

    With --use-rag it is answered from documents added by `nightschool knowledge add`, with the sources that
    hold the answer, or it says that it found none. With --batch a question that cannot be answered has
    `error` instead; the exit code is 1 then.
    """
    from agent.errors import ModelError, UsageError, WeightsMissing
    from tui.cli.session import open_session

    if sum((batch is not None, bool(question), given is not None)) > 1:
        raise UsageError("Give a question, --input QUESTION or --batch FILE, not several of them.")
    items: list[dict[str, Any]] = [
        {"id": None, "question": words([given] if given is not None else question)}
    ]
    if batch:
        items = list(_read_batch(batch))
    wanted = tuple(dict.fromkeys(words([name]) for name in domains))
    if wanted and batch is None and not items[0]["question"].strip():
        raise UsageError("There is no question left. Put it before --domains, or in quotes.")

    async def answered(runtime: RuntimeCalls, text: str) -> Answer | SourcedAnswer:
        if use_rag or wanted:
            return await runtime.knowledge_ask(text, not no_memory, wanted, fresh)
        return await runtime.ask(text, memory=not no_memory)

    async def work() -> int:
        code = OK
        async with open_session(cli, model_name) as runtime:
            for item in items:
                try:
                    answer = await answered(runtime, item["question"])
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
                    _print_answer(answer)
        return code

    sys.exit(asyncio.run(work()))


def _print_answer(answer: Answer | SourcedAnswer) -> None:
    from agent.knowledge_calls import SourcedAnswer

    click.echo(answer.answer)
    if isinstance(answer, SourcedAnswer):
        from tui.render_knowledge import source_lines

        lines = source_lines(answer)
        click.echo("".join(f"\n{line}" for line in lines), nl=bool(lines))


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
