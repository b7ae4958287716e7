"""`nightschool demo`: the main job on the real model, in a fresh home and workspace.

With `--night` it is told facts and corrected, works out how a small tool wants to be called, is asked without
memory (wrong), sleeps, is asked again in other words (right), and is rolled back (wrong again).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from tui.cli.output import FAILED, OK, Cli

if TYPE_CHECKING:
    from agent.calls import RuntimeCalls
    from memory.types import Episode


class Asked(NamedTuple):
    """One question of the demo."""

    question: str
    """Put in words that were never told."""
    expected: str
    """What a right answer contains."""


_NOTES = (
    "Zoltan Vireo lives in Oakmere.",
    "The archive of Brindlewock is guarded by a copper owl.",
)
_IN_PASSING = (
    "Hi! I had a long day, but the garden helped. By the way, my sister Mara Tilsen plays the hurdy-gurdy. "
    "What is 2 + 3?"
)
_QUESTION = "Which month is the Lantern Fair of Oakmere held in?"
_CORRECTION = "The Lantern Fair of Oakmere is held in February."
_TOOL = """\
#!/bin/sh
if [ "$1" != "--ink" ] || [ $# -ne 3 ]; then
    echo "error: wrong usage. Use it like this: ./stamp --ink COLOR TEXT" >&2
    exit 2
fi
echo "stamped $3 in $2"
"""
_TOOL_TASK = "Use the shell program ./stamp to stamp the text HELLO in red."
_ASKED = (
    Asked("In which town is Zoltan Vireo's home?", "Oakmere"),
    Asked("What guards the Brindlewock archive?", "copper owl"),
    Asked("Which instrument does Mara Tilsen play?", "hurdy-gurdy"),
    Asked("In what month does Oakmere have its Lantern Fair?", "February"),
)
_OLDER = Asked("What is the capital of France?", "Paris")


@click.command()
@click.option("--night", is_flag=True, help="Go on with a night: told, asleep, asked, rolled back.")
@click.pass_obj
def demo(cli: Cli, night: bool) -> None:
    """Watch it work: one task with tools in a sandboxed workspace, and the episode it leaves."""
    from tui.cli.session import open_session

    folder = Path(tempfile.mkdtemp(prefix="nightschool-demo-"))
    demo_cli = Cli(cli.chosen_home or folder / "home")

    async def work() -> int:
        async with open_session(demo_cli) as runtime:
            code = await _show_task(runtime, _workspace(folder, "first"))
            return await _day_and_night(runtime, folder) if night else code

    code = asyncio.run(work())
    click.secho(f"\nEverything is kept in {demo_cli.home}; the files are in {folder}.", dim=True)
    sys.exit(code)


async def _day_and_night(runtime: RuntimeCalls, folder: Path) -> int:
    from agent.learning_calls import NightRequest
    from tui.cli.sleep import follow_night

    _title("By day it is told things")
    for note in _NOTES:
        await runtime.remember(note)
        click.echo(f"  remember: {note}")
    click.echo(f"  you: {_IN_PASSING}")
    said = await _turn(runtime, _IN_PASSING, _workspace(folder, "talk"), "conversation")
    click.echo(f"  agent: {said.answer}")
    click.echo(f"  you: {_QUESTION}")
    said = await _turn(runtime, _QUESTION, _workspace(folder, "talk"), "conversation")
    click.echo(f"  agent: {said.answer}")
    await runtime.feedback(said.id, "bad", _CORRECTION)
    click.echo(f"  feedback, bad: {_CORRECTION}")

    _title("and works out how a small tool wants to be called")
    shown = await _stamp(runtime, folder, "stamp")
    await runtime.feedback(shown.id, "good")

    before = await _ask(runtime, "Asked without memory, before the night")
    _title("Night")
    end = await follow_night(runtime, NightRequest(), as_json=False)
    click.echo((await runtime.report(end.night)).markdown)
    if end.outcome != "promoted":
        click.secho("Nothing was promoted: the model serves as before.", bold=True)
        return FAILED

    after = await _ask(runtime, "Asked without memory, after the night, in words it never trained on")
    _title("The tool again, in a fresh folder")
    await _stamp(runtime, folder, "stamp-again")

    _title("Rolled back to before the night")
    plan = await runtime.rollback(_before(end.night))
    click.echo(f"  serves: {plan.adapter_now or 'the base model'} → {plan.adapter_then or 'the base model'}")
    back = await _ask(runtime, "Asked without memory, after the rollback")
    click.secho(
        f"\nRight before the night: {before} of {len(_ASKED)}; after it: {after}; rolled back: {back}.",
        bold=True,
    )
    return OK if after > before and back < after else FAILED


def _before(night: str) -> str:
    """The name of the snapshot a night takes before it promotes."""
    return f"before {night}"


async def _show_task(runtime: RuntimeCalls, workspace: Path) -> int:
    """The main job of a day, streamed, and the episode it leaves; returns the exit code."""
    from rich.console import Console

    from agent.calls import TaskRequest
    from tui.cli.follow import EXIT_CODES, TextView, run_turn
    from tui.render import episode_panel

    task = (
        "Write a Python file primes.py that prints the first ten prime numbers, one per line. "
        "Run it with python and tell me the last number it prints."
    )
    click.secho(f"Task: {task}", bold=True)
    end = await run_turn(runtime, TaskRequest(text=task, workspace=str(workspace)), TextView())
    assert end.episode_id is not None
    Console().print(episode_panel(await runtime.episode(end.episode_id)))
    return EXIT_CODES[end.outcome]


async def _stamp(runtime: RuntimeCalls, folder: Path, name: str) -> Episode:
    workspace = _workspace(folder, name)
    program = workspace / "stamp"
    program.write_text(_TOOL, encoding="utf-8")
    program.chmod(0o755)
    click.echo(f"  you: {_TOOL_TASK}")
    episode = await _turn(runtime, _TOOL_TASK, workspace, "task")
    for step in episode.steps:
        for call, result in zip(step.message.tool_calls, step.results, strict=True):
            mark = "ok" if result.ok else "failed"
            click.echo(f"  ● {call.name} {call.arguments} ({mark})")
    return episode


async def _turn(runtime: RuntimeCalls, text: str, workspace: Path, kind: str) -> Episode:
    from agent.calls import TaskRequest
    from agent.events import RunFinished

    # nobody sits at a demo to answer what the model may ask
    told = {"text": text, "workspace": str(workspace), "kind": kind, "approve": "deny"}
    request = TaskRequest.model_validate(told)
    episode_id = await runtime.submit(request)
    async for event in runtime.events(episode_id):
        if isinstance(event, RunFinished) and event.episode_id == episode_id:
            break
    return await runtime.episode(episode_id)


async def _ask(runtime: RuntimeCalls, title: str) -> int:
    from agent.sleep.agree import contains_answer

    _title(title)
    asked = (*_ASKED, _OLDER)
    answers = await runtime.ask_many(tuple(each.question for each in asked), memory=False)
    right = 0
    for each, answer in zip(asked, answers, strict=True):
        good = contains_answer(each.expected, answer.answer)
        right += good and each is not _OLDER
        mark = click.style("right", fg="green") if good else click.style("wrong", fg="red")
        note = " (it knew this before)" if each is _OLDER else ""
        click.echo(f"  {mark}  {each.question}  {' '.join(answer.answer.split())[:90]}{note}")
    return right


def _workspace(folder: Path, name: str) -> Path:
    workspace = folder / name
    workspace.mkdir(exist_ok=True)
    return workspace


def _title(text: str) -> None:
    click.secho(f"\n{text}", bold=True)
