"""`nightschool review` and `nightschool forget`: what it chose to learn, overruled or taken away."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from tui.cli.output import FAILED, Cli, confirm, json_option, print_json, yes_option

if TYPE_CHECKING:
    from agent.calls import RuntimeCalls
    from memory.learning import Lesson


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def review(ctx: click.Context, as_json: bool) -> None:
    """What it chose to learn and why; approve, reject or edit it."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_lessons, state=None, as_json=as_json)


@review.command("list")
@click.option(
    "--state",
    type=click.Choice(["pending", "approved", "passed_over", "rejected", "vetoed", "retired"]),
    help="Only these.",
)
@json_option
@click.pass_obj
def list_lessons(cli: Cli, state: Any, as_json: bool) -> None:
    """Lessons, newest first, with the reason of each verdict."""

    async def work(runtime: RuntimeCalls) -> tuple[list[Lesson], list[str]]:
        return await runtime.lessons(state), await runtime.learned()

    lessons, learned = _with_runtime(cli, work)
    if as_json:
        for lesson in lessons:
            print_json(brief(lesson, lesson.id in learned))
        return
    if not lessons:
        click.echo("There are no lessons yet. A night makes them: `nightschool sleep --now`.")
    for lesson in lessons:
        click.echo(_line(lesson, lesson.id in learned))


@review.command("show")
@click.argument("lesson_id", metavar="ID")
@json_option
@click.pass_obj
def show(cli: Cli, lesson_id: str, as_json: bool) -> None:
    """One lesson whole: where it comes from, the signals, the ways to ask for it."""

    async def work(runtime: RuntimeCalls) -> tuple[Lesson, list[str], list[Lesson]]:
        lesson = await runtime.lesson(lesson_id)
        others = [await runtime.lesson(other) for other in lesson.contradicts]
        return lesson, await runtime.learned(), others

    lesson, learned, others = _with_runtime(cli, work)
    if as_json:
        print_json(brief(lesson, lesson.id in learned) | lesson.model_dump(mode="json"))
        return
    click.echo(_line(lesson, lesson.id in learned))
    click.echo(f"  said: “{lesson.span}” in {lesson.episode_id}")
    for other in others:
        click.secho(f"  may contradict {other.id}: {other.statement}", fg="yellow")
    for name, value in lesson.verdict.signals.model_dump().items():
        if value not in (None, False, 0):
            click.echo(f"  {name.replace('_', ' ')}: {value if isinstance(value, bool) else f'{value:.3g}'}")
    for phrasing in lesson.phrasings:
        kept = "exam" if phrasing.held_out else "train"
        click.echo(f"  [{kept} {phrasing.form}] {phrasing.question}  →  {phrasing.answer}")


@review.command()
@click.argument("ids", metavar="ID…", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Everything that is pending.")
@json_option
@click.pass_obj
def approve(cli: Cli, ids: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Approve lessons, or all lessons of an episode. Vetoed ones never are."""
    _decide(cli, ids, everything, True, as_json)


@review.command()
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
@json_option
@click.pass_obj
def reject(cli: Cli, ids: tuple[str, ...], as_json: bool) -> None:
    """Reject lessons, or all lessons of an episode; what is learned already is taken out next night."""
    _decide(cli, ids, False, False, as_json)


@review.command()
@click.argument("lesson_id", metavar="ID")
@click.argument("statement", nargs=-1)
@json_option
@click.pass_obj
def edit(cli: Cli, lesson_id: str, statement: tuple[str, ...], as_json: bool) -> None:
    """Put a lesson into other words (STATEMENT, or your editor); that approves it."""
    said = " ".join(statement)
    if not said and sys.stdin.isatty():
        before = _with_runtime(cli, lambda runtime: runtime.lesson(lesson_id)).statement
        said = (click.edit(before) or "").strip()
    edited = _with_runtime(cli, lambda runtime: runtime.edit_lesson(lesson_id, said))
    if as_json:
        print_json(brief(edited, False))
    else:
        click.echo(f"{edited.id} now says: {edited.statement}")


@click.command()
@click.argument("name", metavar="EPISODE|LESSON")
@yes_option
@json_option
@click.pass_obj
def forget(cli: Cli, name: str, yes: bool, as_json: bool) -> None:
    """Forget an episode or a lesson for good, with everything made from it."""

    async def work(runtime: RuntimeCalls) -> int:
        before = await runtime.forget(name, dry_run=True)
        if not as_json:
            click.echo(f"Goes for good: {before.text}")
            for lesson in before.lessons:
                click.echo(f"  lesson {lesson.id}: {lesson.statement}")
            for adapter in before.adapters:
                click.echo(f"  adapter {adapter} goes out of service")
            if before.adapters:
                click.echo(f"  then serves: {before.serving_after or 'the base model alone'}")
        if not confirm("Forget this? It cannot be undone.", yes):
            return FAILED
        exact = before.episodes[0] if before.episodes else before.lessons[0].id
        done = await runtime.forget(exact)
        if as_json:
            print_json({"id": exact} | done.model_dump(mode="json"))
        else:
            click.echo("Forgotten. The next night rebuilds the adapter from the remaining lessons.")
        return 0

    sys.exit(_with_runtime(cli, work))


def brief(lesson: Lesson, learned: bool) -> dict[str, Any]:
    """A lesson in a line of JSON."""
    return {
        "id": lesson.id,
        "episode_id": lesson.episode_id,
        "kind": lesson.kind,
        "statement": lesson.statement,
        "state": lesson.state,
        "learned": learned,
        "score": lesson.verdict.score,
        "reasons": [*lesson.verdict.vetoes, *lesson.verdict.reasons],
        "contradicts": list(lesson.contradicts),
    }


def _line(lesson: Lesson, learned: bool) -> str:
    state = "learned" if learned else lesson.state.replace("_", " ")
    why = "; ".join((*lesson.verdict.vetoes, *lesson.verdict.reasons))
    return f"{lesson.id}  {state:<11} {lesson.verdict.score:.2f}  {lesson.statement}\n    {why}"


def _decide(cli: Cli, ids: tuple[str, ...], everything: bool, approve: bool, as_json: bool) -> None:
    from agent.errors import UsageError

    if bool(ids) == everything:
        raise UsageError("Name lessons or episodes, or give --all, not both.")

    async def work(runtime: RuntimeCalls) -> list[Lesson]:
        wanted = ids or tuple(lesson.id for lesson in await runtime.lessons("pending"))
        return await runtime.review(wanted, approve)

    changed = _with_runtime(cli, work)
    if as_json:
        for lesson in changed:
            print_json(brief(lesson, False))
        return
    for lesson in changed:
        click.echo(f"{lesson.id} {lesson.state}: {lesson.statement}")
    if not changed:
        click.echo("Nothing to change.")


def _with_runtime(cli: Cli, work: Any) -> Any:
    from tui.cli.session import open_session

    async def run() -> Any:
        async with open_session(cli) as runtime:
            return await work(runtime)

    return asyncio.run(run())
