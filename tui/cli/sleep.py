"""`nightschool sleep` and `nightschool report`: a night, watched or ended, and its card."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tui.cli.output import FAILED, INTERRUPTED, OK, Cli, json_option, print_json

if TYPE_CHECKING:
    from agent.calls import RuntimeCalls
    from agent.events import NightFinished, NightProgress
    from agent.learning_calls import NightPlan, PlannedLesson


@click.command()
@click.option("--now", "at_once", is_flag=True, help="Run a night at once; this is also the default.")
@click.option("--dry-run", is_flag=True, help="Show what would be learned and why; change nothing.")
@click.option("--stop", is_flag=True, help="End a running night cleanly.")
@click.option("--max-minutes", type=click.FloatRange(min=0, min_open=True), help="Wall-clock budget.")
@click.option("--model", "model_name", help="A name from `nightschool model list`.")
@json_option
@click.pass_obj
def sleep(
    cli: Cli,
    at_once: bool,
    dry_run: bool,
    stop: bool,
    max_minutes: float | None,
    model_name: str | None,
    as_json: bool,
) -> None:
    """Run one night: make lessons, train, sit the exam, and promote what passed."""
    from agent.errors import UsageError
    from agent.learning_calls import NightRequest
    from tui.cli.session import open_session

    if sum((dry_run, stop, at_once)) > 1:
        raise UsageError("Give one of --now, --dry-run and --stop.")

    async def work() -> int:
        async with open_session(cli, model_name) as runtime:
            if dry_run:
                _show_plan(await runtime.plan_night(), as_json)
                return OK
            if stop:
                stopped = await runtime.stop_sleep()
                if as_json:
                    print_json({"stopped": stopped})
                else:
                    click.echo("The night has ended." if stopped else "No night is running.")
                return OK
            end = await follow_night(runtime, NightRequest(max_minutes=max_minutes), as_json)
            if not as_json:
                click.echo()
                click.echo((await runtime.report(end.night)).markdown)
            return exit_code(end)

    sys.exit(asyncio.run(work()))


@click.command()
@click.argument("night", required=False)
@json_option
@click.pass_obj
def report(cli: Cli, night: str | None, as_json: bool) -> None:
    """The report card of NIGHT, by default the latest, as Markdown."""
    from tui.cli.session import open_session

    async def work() -> None:
        async with open_session(cli) as runtime:
            card = await runtime.report(night)
            if as_json:
                print_json({"id": card.night} | card.model_dump(mode="json"))
            else:
                click.echo(card.markdown)

    asyncio.run(work())


def exit_code(end: NightFinished) -> int:
    """0 when promoted or nothing was to be learned, 130 when stopped, else 1."""
    if end.outcome in ("promoted", "nothing"):
        return OK
    return INTERRUPTED if end.outcome == "stopped" else FAILED


async def follow_night(runtime: RuntimeCalls, request: object, as_json: bool) -> NightFinished:
    """Begin a night and show it until it is over."""
    from agent.events import AdapterActivated, NightFinished, NightProgress, NightStarted
    from agent.learning_calls import NightRequest

    assert isinstance(request, NightRequest)
    view = _NightView()
    events = runtime.events()
    pending = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    try:
        night = await runtime.sleep(request)
        with _stops(runtime):
            while True:
                event = await pending
                pending = asyncio.ensure_future(anext(events))
                ours = (
                    isinstance(event, NightStarted | NightProgress | NightFinished) and event.night == night
                )
                if as_json and (ours or isinstance(event, AdapterActivated)):
                    print_json(event)
                elif ours and isinstance(event, NightProgress):
                    view.show(event)
                if ours and isinstance(event, NightFinished):
                    view.end()
                    return event
    finally:
        pending.cancel()
        with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
            await pending
        await events.aclose()


@contextlib.contextmanager
def _stops(runtime: RuntimeCalls) -> Iterator[None]:
    """Ctrl+C and SIGTERM end the night cleanly."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: asyncio.ensure_future(runtime.stop_sleep()))
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


_STAGES = {
    "select": "choosing",
    "lessons": "making lessons",
    "train": "training",
    "exam": "exam",
    "promote": "promoting",
    "report": "report",
}


class _NightView:
    """A night as text: one line a stage, rewritten at a terminal."""

    def __init__(self) -> None:
        self._stage = ""
        self._live = sys.stderr.isatty()

    def show(self, event: NightProgress) -> None:
        if event.stage != self._stage:
            self.end()
            self._stage = event.stage
            if not self._live:
                click.echo(f"{_STAGES[event.stage]} …", err=True)
        if self._live:
            click.echo(f"\r\x1b[2K{_line(event)[:110]}", nl=False, err=True)

    def end(self) -> None:
        if self._live and self._stage:
            click.echo(err=True)


def _line(event: NightProgress) -> str:
    parts = [f"{_STAGES[event.stage]:<15}"]
    if event.total:
        parts.append(f"{event.done:g}/{event.total:g}")
    if event.loss is not None:
        parts.append(f"loss {event.loss:.3f}")
    if event.known is not None:
        parts.append(f"{event.known} known")
    if event.tokens_per_second:
        parts.append(f"{event.tokens_per_second:.0f} tokens/s")
    if event.text:
        parts.append(event.text)
    return "  ".join(parts)


def _show_plan(plan: NightPlan, as_json: bool) -> None:
    groups = [("new", plan.new), ("waiting", plan.waiting), ("left_out", plan.left_out)]
    if as_json:
        for name, lessons in groups:
            for lesson in lessons:
                print_json(
                    {"id": lesson.lesson_id or lesson.episode_id, "plan": name}
                    | lesson.model_dump(mode="json")
                )
        return
    titles = {"new": "Would be learned", "waiting": "Waits", "left_out": "Is left out"}
    for name, lessons in groups:
        if lessons:
            click.secho(f"{titles[name]}:", bold=True)
            for lesson in lessons:
                click.echo(_planned(lesson))
    if not any(lessons for _, lessons in groups):
        click.echo("There is nothing to learn.")
    if plan.old_lessons:
        click.echo(f"{plan.old_lessons} learned lessons would be rehearsed.")


def _planned(lesson: PlannedLesson) -> str:
    why = "; ".join((*lesson.verdict.vetoes, *lesson.verdict.reasons)) or "no reason was kept"
    return (
        f"  {lesson.lesson_id or lesson.episode_id}  {lesson.text}\n      {lesson.verdict.score:.2f}  {why}"
    )
