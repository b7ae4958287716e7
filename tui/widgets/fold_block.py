"""A line that opens into more: focus it and press Enter or Space, or click it."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult, RenderResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from tui.widgets.resting import Resting


class FoldHead(Widget):
    """The line itself, as wide as there is room."""

    ALLOW_SELECT = False

    def __init__(self, block: FoldBlock) -> None:
        super().__init__()
        self._block = block

    def render(self) -> RenderResult:
        return self._block.head(max(self.size.width, 10))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self._block.action_open_or_close()


class FoldBlock(Resting, Vertical, can_focus=True):
    """Base: subclasses say what the line, the peek below it and the opened body are."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "open_or_close", "Open or close")]

    opened: reactive[bool] = reactive(False)

    def compose(self) -> ComposeResult:
        yield FoldHead(self)
        yield Static(classes="fold-peek", markup=False)
        yield Static(classes="fold-body", markup=False)

    def head(self, width: int) -> Content:
        """The line."""
        raise NotImplementedError

    def peek(self) -> Content | None:
        """One more line while closed; None for nothing."""
        return None

    def body(self) -> Content | None:
        """What opens; None when there is nothing to open."""
        return None

    def on_mount(self) -> None:
        self.redraw()

    def action_open_or_close(self) -> None:
        """Open or close."""
        self.opened = not self.opened

    def watch_opened(self) -> None:
        if self.is_mounted:
            self.redraw()

    def redraw(self) -> None:
        """Bring all three up to date."""
        self.wake()
        peek_box, body_box = self.query_one(".fold-peek", Static), self.query_one(".fold-body", Static)
        body = self.body() if self.opened else None
        peek = None if self.opened else self.peek()
        for box, content in ((peek_box, peek), (body_box, body)):
            box.display = content is not None
            if content is not None:
                box.update(content)
        self.query_one(FoldHead).refresh()


def spread(left: Content, right: Content, width: int) -> Content:
    """Left and right at the two ends of a line; the left one gives way."""
    room = width - right.cell_length - (2 if right else 0)
    left = left.truncate(max(room, 1), ellipsis=True)
    return Content.assemble(left, " " * max(width - left.cell_length - right.cell_length, 1), right)
