"""The app on a scripted runtime, with nothing that depends on the clock or on speed."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

# pytest's import mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))

from fake_runtime import FakeRuntime

from agent.calls import RuntimeCalls
from agent.config import Settings, TuiSettings
from tui.app import NightSchoolApp
from tui.cli.entry import main
from tui.widgets import ask_card

Run = Callable[..., tuple[int, str, str]]
"""Runs `nightschool` with arguments: exit code, standard output, standard error."""


@pytest.fixture
def command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Path], Run]:
    """From a home's folder to what runs `nightschool` on it."""

    def on(home: Path) -> Run:
        def run_command(*arguments: str) -> tuple[int, str, str]:
            monkeypatch.setattr(sys, "argv", ["nightschool", "--home", str(home), *arguments])
            capsys.readouterr()
            code: Any = 0
            try:
                main()
            except SystemExit as stop:
                code = stop.code or 0
            said = capsys.readouterr()
            return code, said.out, said.err

        return run_command

    return on


@pytest.fixture(autouse=True)
def listens_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards take keys without their moment of deafness."""
    monkeypatch.setattr(ask_card, "_DEAF_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def a_terminal_with_all_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours are the themes' own, wherever the tests run."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.fixture(autouse=True)
def one_time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local times are the same everywhere."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def make_app() -> Callable[..., NightSchoolApp]:
    """Builds the app on a runtime; `before_connect` is awaited first."""

    def make(
        runtime: FakeRuntime,
        theme: str = "night-school",
        workspace: Path | None = Path("/home/user/project"),
        before_connect: Callable[[], Awaitable[None]] | None = None,
        show_signals: bool = False,
    ) -> NightSchoolApp:
        async def connect() -> RuntimeCalls:
            if before_connect is not None:
                await before_connect()
            return runtime

        settings = Settings(tui=TuiSettings(theme=theme, show_signals=show_signals))
        app = NightSchoolApp(connect, settings, "qwen2.5-coder-0.5b-instruct", workspace, runtime.clock)
        app.animation_level = "none"
        return app

    return make


# the app's own work; the connection may wait for the test, and asking for the status never ends
_WORK = {"send", "load", "files"}


async def _settle(pilot: Pilot[Any]) -> None:
    """Wait until events have travelled from the runtime to the screen, however slow the machine is."""
    app = pilot.app
    rounds = 0
    while rounds < 3:
        await asyncio.sleep(0.05)
        await pilot.pause()
        calls = app.bridge.calls
        moving = not app.bridge.idle or (calls is not None and not calls.delivered)
        if not moving and not any(work.is_running for work in app.workers if work.group in _WORK):
            rounds += 1


async def _until(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
    """Wait for something that takes its own time, such as the next look at the status; then settle."""
    async with asyncio.timeout(30):
        while not condition():
            await pilot.pause(0.05)
    await _settle(pilot)


@pytest.fixture
def settle() -> Callable[[Pilot[Any]], Awaitable[None]]:
    return _settle


@pytest.fixture
def until() -> Callable[[Pilot[Any], Callable[[], object]], Awaitable[None]]:
    return _until
