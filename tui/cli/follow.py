"""Following one turn from the command line: events as JSON lines, or as text for a person.

A person at the terminal answers approvals and questions; without a terminal nobody does, and the
runtime refuses. Ctrl+C and SIGTERM interrupt the turn; a closed terminal (SIGHUP) does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Protocol

import click

from agent.calls import RuntimeCalls, TaskRequest
from agent.errors import NightSchoolError
from agent.events import (
    ApprovalRequested,
    CallDecided,
    ContextCompacted,
    Event,
    Progress,
    QuestionAsked,
    RunFinished,
    StepFinished,
    StepStarted,
    TokenGenerated,
)
from memory.types import Outcome, ToolCall, ToolResult
from tui.cli.output import FAILED, INTERRUPTED, OK, REFUSED, print_json
from tui.cli.person import read_line
from tui.wording import clean, summary

EXIT_CODES: dict[Outcome, int] = {
    "success": OK,
    "failure": FAILED,
    "out_of_budget": FAILED,
    "refused": REFUSED,
    "interrupted": INTERRUPTED,
}
_CALL_OPENS = "<tool_call>"
_RESULT_LINES = 8


class View(Protocol):
    """What shows a turn."""

    def show(self, event: Event) -> None:
        """Show one event."""


class JsonView:
    """One JSON line an event."""

    def show(self, event: Event) -> None:
        print_json(event)


class TextView:
    """A turn as text: the answer as it is written, calls and results as short lines."""

    def __init__(self) -> None:
        self._turn = ""
        self._shown = 0
        self._prefilling = False

    def show(self, event: Event) -> None:
        match event:
            case TokenGenerated():
                self._status("")
                self._turn += event.text
                self._write_visible()
            case Progress():
                if event.stage in ("loading", "prefill"):
                    self._status("" if event.done == event.total != 0 else event.text or "reading …")
            case StepStarted():
                self._end_line()
                for call in event.calls:
                    click.secho(_call_line(call), fg="cyan")
            case StepFinished():
                self._end_line()
                for result in event.step.results:
                    for line in _result_lines(result):
                        click.secho(f"  {line}", dim=result.ok, fg=None if result.ok else "red")
            case CallDecided():
                if not event.allowed:
                    click.secho(f"  refused: {event.reason}", fg="yellow")
            case ContextCompacted():
                room = f"{event.tokens_before} → {event.tokens_after} tokens"
                click.secho(f"  older output shortened to make room ({room})", dim=True)
            case RunFinished():
                self._finished(event)
            case _:
                pass

    def _write_visible(self) -> None:
        """Print what cannot be part of a tool call's markup."""
        opens = self._turn.find(_CALL_OPENS)
        end = opens if opens >= 0 else len(self._turn) - _held_back(self._turn)
        if end > self._shown:
            sys.stdout.write(self._turn[self._shown : end])
            sys.stdout.flush()
            self._shown = end

    def _end_line(self) -> None:
        self._status("")
        opens = self._turn.find(_CALL_OPENS)
        sys.stdout.write(self._turn[self._shown : opens if opens >= 0 else None])
        if self._turn[:opens].strip() if opens >= 0 else self._turn.strip():
            sys.stdout.write("\n")
        self._turn, self._shown = "", 0

    def _status(self, text: str) -> None:
        if not sys.stderr.isatty():
            return
        if text:
            click.echo(f"\r\x1b[2K{click.style(text, dim=True)}", nl=False, err=True)
        elif self._prefilling:
            click.echo("\r\x1b[2K", nl=False, err=True)
        self._prefilling = bool(text)

    def _finished(self, event: RunFinished) -> None:
        self._end_line()
        if event.outcome != "success":
            click.secho(f"{event.outcome}: {event.reason}", fg="yellow", err=True)


def _call_line(call: ToolCall) -> str:
    return f"● {call.name} {summary(call.arguments)}"


def _result_lines(result: ToolResult) -> list[str]:
    """The first lines of a result, and how many more there are."""
    lines = clean(result.content).strip().splitlines()
    more = [f"… {len(lines) - _RESULT_LINES} more lines"] if len(lines) > _RESULT_LINES else []
    return [*lines[:_RESULT_LINES], *more]


def _held_back(text: str) -> int:
    """Length of the longest end of `text` that may be the start of a tool call."""
    return next((n for n in range(len(_CALL_OPENS) - 1, 0, -1) if text.endswith(_CALL_OPENS[:n])), 0)


async def run_turn(runtime: RuntimeCalls, request: TaskRequest, view: View) -> RunFinished:
    """Submit, show every event of the turn, answer what can be answered here, return its end."""
    past_turns = 0
    if request.continue_episode is not None:
        before = await runtime.episode(request.continue_episode)
        past_turns = len(before.turns)
        # `last` must mean the same episode throughout
        request = request.model_copy(update={"continue_episode": before.id})
    episode_id = await runtime.submit(request)
    asked: set[asyncio.Task[None]] = set()
    with _signals(runtime, episode_id):
        async with contextlib.aclosing(runtime.events(episode_id)) as events:
            try:
                async for event in events:
                    if past_turns:
                        past_turns -= isinstance(event, RunFinished)
                        continue
                    if not isinstance(event, RunFinished) or event.episode_id == episode_id:
                        # in a thread: who reads us may pause, and other faces must not wait for that
                        await asyncio.to_thread(view.show, event)
                    if isinstance(event, RunFinished) and event.episode_id == episode_id:
                        return event
                    # beside the events: the turn may end, or another face answer, while the person thinks
                    if isinstance(event, ApprovalRequested | QuestionAsked):
                        asked.add(asyncio.create_task(_answer(runtime, event)))
                    elif isinstance(event, CallDecided | StepFinished):
                        await _leave(asked)
            except BrokenPipeError:
                # nobody reads what it does any more
                await runtime.interrupt(episode_id)
                raise
            finally:
                await _leave(asked)
    raise AssertionError("an event stream never ends by itself")


async def _leave(asked: set[asyncio.Task[None]]) -> None:
    """Take back questions to the person that nobody waits for any more."""
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    asked.clear()


async def _answer(runtime: RuntimeCalls, event: ApprovalRequested | QuestionAsked) -> None:
    if isinstance(event, ApprovalRequested):
        if not sys.stdin.isatty():
            await runtime.decide(event.request_id, False, "nobody is at the terminal")
            return
        click.secho(event.preview or _call_line(event.call), fg="yellow", err=True)
        said = await read_line(f"Allow this {event.risk} call? [y/N or a reason] ") or ""
        yes = said.strip().lower() in ("y", "yes")
        await runtime.decide(event.request_id, yes, "" if yes else said.strip())
    else:
        if not sys.stdin.isatty():
            await runtime.answer(event.request_id, None)
            return
        await runtime.answer(event.request_id, await read_line(f"{event.question}\n> ") or None)


@contextlib.contextmanager
def _signals(runtime: RuntimeCalls, episode_id: str) -> Iterator[None]:
    """Ctrl+C and SIGTERM interrupt the turn, and leave at once the second time; SIGHUP lets go of the
    terminal and goes on."""
    loop, turn, before = asyncio.get_running_loop(), asyncio.current_task(), signal.getsignal(signal.SIGINT)
    stopping: list[asyncio.Task[None]] = []

    async def stop() -> None:
        with contextlib.suppress(NightSchoolError):
            await runtime.interrupt(episode_id)

    def told_to_end() -> None:
        if stopping and turn is not None:
            # a second time: whoever should stop it may be stuck
            turn.cancel()
        stopping.append(loop.create_task(stop()))

    loop.add_signal_handler(signal.SIGINT, told_to_end)
    loop.add_signal_handler(signal.SIGTERM, told_to_end)
    loop.add_signal_handler(signal.SIGHUP, let_go_of_terminal)
    try:
        yield
    except asyncio.CancelledError:
        if len(stopping) > 1:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
        # asyncio's own, which cancels the command, and not Python's, which raises wherever it finds us
        signal.signal(signal.SIGINT, before)


def let_go_of_terminal() -> None:
    """Send all further output nowhere: the terminal has gone, the work has not."""
    with open(os.devnull, "r+b") as nowhere:  # noqa: PTH123
        for stream in (0, 1, 2):
            os.dup2(nowhere.fileno(), stream)
