"""The Textual app: a face over the runtime's calls and events, nothing more.

It paints before it connects: the model's name and the prompt are there on the first frame, and what
is typed meanwhile waits. Whatever the runtime reports is shown as a sentence; the app stays usable.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TypeVar

from textual import work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from tui.bridge import Bridge, Connect, ConnectionLost, Happened
from tui.screens.help import HelpScreen
from tui.screens.work import WorkScreen
from tui.slash import COMMANDS
from tui.state import View, fold_all, loaded
from tui.themes import OWN, for_terminal, quiet_colours
from tui.widgets.notice import Level
from tui.widgets.prompt import Prompt
from tui.workspace import workspace_or_default

if TYPE_CHECKING:
    from agent.calls import RuntimeCalls, Status
    from agent.config import Settings
    from tui.cli.output import Cli

_T = TypeVar("_T")
_QUIT_SECONDS = 2.0
# how often the runtime is asked how things stand: often while the model loads, seldom after
_POLL_SECONDS = 0.5
_SELDOM = 8
_NOT_READY = "The model is not ready"


class Refreshed(Message):
    """The view, the status or the connection changed."""

    def can_replace(self, message: Message) -> bool:
        # only the newest matters: a slow screen skips what it could not show in time
        return isinstance(message, Refreshed)


@dataclass(frozen=True)
class Called(Generic[_T]):
    """How a call to the runtime went."""

    ok: bool
    value: _T | None = None
    error: str = ""


class NightSchoolApp(App[int]):
    """The app. `connect` is called after the first frame."""

    TITLE = "Night School"
    CSS_PATH = "app.tcss"
    MODES: ClassVar[dict[str, type[Screen[None]]]] = {"work": WorkScreen}  # type: ignore[assignment]
    DEFAULT_MODE = "work"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "copy_or_quit", "Copy, or leave", priority=True, show=False),
        Binding("f1", "help", "Help"),
        Binding("question_mark", "help", "Help", show=False),
    ]

    def __init__(
        self,
        connect: Connect,
        settings: Settings,
        model_name: str,
        workspace: Path | None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__()
        self.settings = settings
        self.model_name = model_name
        self.workspace = workspace
        """Folder to work in; None makes a fresh one for each conversation."""
        self.clock = clock
        self.bridge = Bridge(self, connect)
        self.view = View()
        """Everything the events said so far."""
        self.status: Status | None = None
        """How the runtime stands, as last asked."""
        self.work_screen: WorkScreen
        """The screen of the mode `work`; it says so itself when it is made."""
        self.link: Literal["connecting", "up", "lost"] = "connecting"
        """The connection to the owner of the home."""
        self._quit_pressed = float("-inf")
        self._polls = 0
        self._told: set[str] = set()
        for theme in OWN:
            self.register_theme(theme)

    def get_css_variables(self) -> dict[str, str]:
        variables = super().get_css_variables()
        self.theme_variables = {**quiet_colours(variables), **variables}
        return self.theme_variables

    @property
    def ready(self) -> bool:
        """Whether the model can take a message."""
        return self.link == "up" and self.status is not None and self.status.model_state == "ready"

    @property
    def state_word(self) -> str:
        """For the status line."""
        if self.link != "up":
            return self.link
        if self.status is None:
            return "connecting"
        if self.status.model_state == "not_loaded":
            return "loading" if self.view.loading else "starting"
        return self.status.model_state

    def on_mount(self) -> None:
        theme = self.settings.tui.theme
        chosen = self.available_themes.get(theme) or self.current_theme
        self.theme = for_terminal(chosen, self.console.color_system)
        self.call_after_refresh(self._start)

    def _start(self) -> None:
        theme = self.settings.tui.theme
        if theme not in self.available_themes:
            self.call_later(
                self.say,
                f"There is no theme `{theme}`. `nightschool config set tui.theme night-school` mends it; "
                "`ctrl+p` shows all themes.",
                "warning",
            )
        self._connect()
        self.set_interval(_POLL_SECONDS, self._poll_in_turn)

    async def say(self, text: str, level: Level = "info", title: str = "") -> None:
        """A notice in the conversation."""
        if self.work_screen.is_attached:
            await self.work_screen.say(text, level, title)

    async def call(self, action: Callable[[RuntimeCalls], Awaitable[_T]], tell: bool = True) -> Called[_T]:
        """Ask the runtime for something; an error becomes a notice unless `tell` is False, a broken
        connection is noticed."""
        from agent.errors import NightSchoolError

        calls = self.bridge.calls
        if calls is None:
            await self.say("There is no connection. `/reconnect` connects again.", "warning")
            return Called(False)
        try:
            return Called(True, await action(calls))
        except NightSchoolError as error:
            # the end of the owner fails its calls first and its streams a moment later
            await asyncio.sleep(0.05)
            still_there = self.bridge.calls is calls
            if tell and still_there:
                await self.say(str(error), "error")
            return Called(False, error=str(error) if still_there else "")
        except (OSError, EOFError) as error:
            self.bridge.lost(str(error) or type(error).__name__)
        return Called(False)

    def reconnect(self) -> None:
        """Connect again; the current episode's missed events come from the journal."""
        if self.link == "lost":
            self.link = "connecting"
            self._tell()
            self._connect()
        else:
            self.work_screen.flash("The connection is there")

    @work(exclusive=True, group="connect")
    async def _connect(self) -> None:
        from agent.errors import NightSchoolError

        try:
            await self.bridge.open()
        except (NightSchoolError, OSError, EOFError) as error:
            self.link = "lost"
            self._tell()
            await self.say(f"{error}\n`/reconnect` tries again.", "error", "No connection")
            return
        again, self.link = self.link == "up" or bool(self._told & {"lost"}), "up"
        known = self.view.episode(self.work_screen.conversation.episode_id)
        if known is not None:
            self.bridge.follow(known.id, known.last_seq)
        await self._poll()
        if again:
            self._told.discard("lost")
            await self.say("Connected again.")
        await self._load()

    def load_again(self) -> None:
        """Try once more to load the model."""
        self._told.clear()
        self.run_worker(self._load(), group="load", exclusive=True)

    async def _load(self) -> None:
        if self.status is not None and self.status.model_state in ("not_loaded", "failed"):
            done = await self.call(lambda calls: calls.load_model(), tell=False)
            await self._poll()
            if done.error:
                await self._tell_once(done.error, "error", _NOT_READY)

    def _poll_in_turn(self) -> None:
        self._polls += 1
        if self.link == "up" and (not self.ready or self._polls % _SELDOM == 0):
            self.run_worker(self._poll(), group="poll", exclusive=True)

    async def _poll(self) -> None:
        found = await self.call(lambda calls: calls.status())
        if found.value is None or found.value == self.status:
            return
        status = self.status = found.value
        self.model_name = status.model
        if status.model_state in ("ready", "failed"):
            self.view = loaded(self.view)
        self._tell()
        if status.model_state == "failed":
            await self._tell_once(status.model_error or "It failed to load.", "error", _NOT_READY)
        if status.sandbox_error:
            await self._tell_once(status.sandbox_error, "warning", "No sandbox: commands will be refused")

    async def _tell_once(self, text: str, level: Level, title: str) -> None:
        if text not in self._told:
            self._told.add(text)
            await self.say(text, level, title)

    def on_happened(self, event: Happened) -> None:
        """Events came."""
        self.view = fold_all(self.view, event.events)
        self._tell()

    async def on_connection_lost(self, event: ConnectionLost) -> None:
        """The owner of the home is gone."""
        self.link = "lost"
        self._told.add("lost")
        self.work_screen.conversation.unsent()
        self._tell()
        reason = f" ({event.reason})" if event.reason else ""
        await self.say(
            f"The process that owns the home no longer answers{reason}. Every finished step is kept. "
            "`/reconnect` starts it again.",
            "error",
            "The connection is lost",
        )

    def _tell(self) -> None:
        self.work_screen.post_message(Refreshed())

    def action_help(self) -> None:
        """Keys and commands."""
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    def action_copy_or_quit(self) -> None:
        """Copy what is selected; else leave when pressed twice."""
        if selected := self._selected():
            self.copy_to_clipboard(selected)
            self.work_screen.flash("Copied")
            return
        now = self.clock().timestamp()
        if now - self._quit_pressed <= _QUIT_SECONDS:
            self.leave()
            return
        self._quit_pressed = now
        waiting = len(self.work_screen.conversation.waiting)
        lost = f"; {waiting} queued would be lost" if waiting else ""
        self.work_screen.flash(f"Press ctrl+c again to leave{lost}")

    def _selected(self) -> str:
        if isinstance(self.focused, Prompt) and self.focused.selected_text:
            return self.focused.selected_text
        return self.screen.get_selected_text() or ""

    def leave(self) -> None:
        """End the app; a running task goes on without it."""
        self.exit(0)

    async def on_unmount(self) -> None:
        await self.bridge.close()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield SystemCommand("Theme", "Choose colours", self.action_change_theme)
        yield SystemCommand(
            "Uncertainty", "Tint tokens by how unsure the model was", self.work_screen.action_tint
        )
        yield SystemCommand("Outputs", "Open or close the outputs", self.work_screen.action_outputs)
        for command in COMMANDS:
            if not command.takes_text or command.arguments.startswith("["):
                run = self.work_screen.actions.run
                yield SystemCommand(
                    command.name.capitalize(), command.summary, lambda run=run, command=command: run(command)
                )


def _model_name(settings: Settings) -> str:
    """What the settings mean on this machine. Raises ModelError for a name nobody knows."""
    from agent.config import cache_dir
    from agent.device import detect
    from agent.model.catalogue import resolve
    from agent.model.weights import installed

    here = [found.name for found in installed(cache_dir())]
    return resolve(settings.model.name, detect(), here).name


def run_app(cli: Cli) -> int:
    """Open the app on a home; returns the exit code."""
    from tui.cli.output import fail

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        fail("The app needs a terminal. `nightschool chat` and `nightschool run TASK` work without one.")
    settings = cli.settings()
    home = cli.home

    async def connect() -> RuntimeCalls:
        # the import takes a while, and the app is already being typed into
        module = await asyncio.to_thread(importlib.import_module, "agent.connect")
        calls: RuntimeCalls = await module.attach(home, settings)
        return calls

    workspace = workspace_or_default(None, home)
    app = NightSchoolApp(connect, settings, _model_name(settings), Path(workspace) if workspace else None)
    app.run()
    return app.return_code or 0
