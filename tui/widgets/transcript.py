"""The conversation as it scrolls: stays at the end while it grows, until the user scrolls up."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from tui.state import EpisodeView
from tui.widgets.ask_card import AskCard
from tui.widgets.call_block import CallBlock
from tui.widgets.notice import Level, Notice
from tui.widgets.turn_block import TurnBlock

# soon enough that scrolling a page finds the next one awake, seldom enough to cost nothing
_REST_SECONDS = 0.1


class EmptyState(Static):
    """What to do when nothing has been said yet."""

    def __init__(self, workspace: str) -> None:
        hints = (
            ("/", "commands"),
            ("@", "attach a file"),
            ("?", "keys and help"),
            ("ctrl+t", "see where it is unsure"),
        )
        text = Content.assemble(
            ("☾  Night School\n", "bold $text-primary"),
            ("works by day, learns by night\n\n", "$dim"),
            ("Ask something, or give it a task in ", ""),
            (workspace, "$text-accent"),
            "\n\n",
            *[
                piece
                for key, words in hints
                for piece in ((f"{key:>7}", "bold"), (f"  {words:<23}\n", "$dim"))
            ],
        )
        super().__init__(text, markup=False)


class Transcript(VerticalScroll, can_focus=False):
    """Turns and notices, oldest first."""

    def __init__(self, workspace: str) -> None:
        super().__init__()
        self._workspace = workspace
        self._turns: list[TurnBlock] = []
        self._rest_timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield EmptyState(self._workspace)
        # as high as the window at least: Textual would scroll a short anchored page below zero
        yield Vertical(id="page")

    def on_mount(self) -> None:
        self._show_page(False)
        self.anchor()

    def _show_page(self, shown: bool) -> None:
        self.query_one(EmptyState).display = not shown
        self.query_one("#page").display = shown

    async def show(self, episode: EpisodeView | None, tint: bool) -> None:
        """Bring it up to date with the episode."""
        turns = episode.turns if episode else ()
        for number, turn in enumerate(turns):
            if number == len(self._turns):
                block = TurnBlock(turn)
                self._turns.append(block)
                await self.add(block)
            last = number == len(turns) - 1
            await self._turns[number].show(turn, episode.asks if episode and last else (), tint)
        self._rest_soon()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._rest_soon()

    def on_resize(self) -> None:
        # what rests kept a height that no longer fits
        for turn in self._turns:
            for widget in turn.can_rest():
                widget.wake()
        self._rest_soon()

    def _rest_soon(self) -> None:
        if self._rest_timer is None and self.is_mounted:
            self._rest_timer = self.set_timer(_REST_SECONDS, self.rest_far)

    def rest_far(self) -> None:
        """Let rest what is more than a window away from what is seen, and wake the others."""
        self._rest_timer = None
        if not self.is_attached:
            return
        height = self.size.height
        top, bottom = self.region.y - height, self.region.bottom + height
        for turn in self._turns:
            for widget in turn.can_rest():
                if not widget.region.height:
                    continue
                if widget.region.bottom < top or widget.region.y > bottom:
                    widget.rest()
                else:
                    widget.wake()

    async def add(self, widget: Widget) -> None:
        """Put something at the end."""
        self._show_page(True)
        await self.query_one("#page").mount(widget)

    async def say(self, text: str, level: Level = "info", title: str = "") -> None:
        """Put a notice at the end."""
        await self.add(Notice(text, level, title))
        if level != "info":
            self.anchor()

    async def clear(self) -> None:
        """Start with an empty page."""
        self._turns.clear()
        await self.query("TurnBlock, Notice, AskCard").remove()
        self._show_page(False)

    def waiting_card(self) -> AskCard | None:
        """The oldest thing that waits for a person."""
        return self._turns[-1].waiting_card() if self._turns else None

    def toggle_outputs(self) -> None:
        """Open or close every call of the newest turn that has calls."""
        for turn in reversed(self._turns):
            blocks = [block for block in turn.query(CallBlock) if block.display]
            if blocks:
                opened = not all(block.opened for block in blocks)
                for block in blocks:
                    block.opened = opened
                return
