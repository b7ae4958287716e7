"""Keys and commands, on one page."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.slash import COMMANDS

KEYS = (
    (
        "Writing",
        (
            ("enter", "send; waits in a queue while something runs"),
            ("ctrl+j, shift+enter", "new line"),
            ("up, down", "what you typed before, at the first and last line"),
            ("@", "attach a file of the working folder"),
            ("/", "commands"),
        ),
    ),
    (
        "Watching",
        (
            ("esc", "interrupt the task"),
            ("pageup, pagedown", "scroll"),
            ("shift+tab, tab", "to the blocks and back; enter opens one"),
            ("ctrl+o", "open or close all outputs of the last turn"),
            ("ctrl+t", "tint tokens by how unsure the model was"),
        ),
    ),
    (
        "When it asks",
        (("y", "allow once"), ("n", "reject"), ("r", "reject with a reason")),
    ),
    (
        "The app",
        (
            ("ctrl+p", "every command, and themes"),
            ("f1, ?", "this page"),
            ("ctrl+c", "copy what is selected; twice: leave"),
        ),
    ),
)


def sections() -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """The page: titles, each with what to press or type and what it does."""
    commands = tuple((f"/{c.name} {c.arguments}".strip(), c.summary) for c in COMMANDS)
    return (*KEYS, ("Commands", commands))


class HelpScreen(ModalScreen[None]):
    """Over whatever is shown; any of the closing keys goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f1,question_mark,enter", "dismiss", "Close"),
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog") as page:
            page.border_title = "Help"
            page.border_subtitle = "esc closes"
            for title, rows in sections():
                yield Static(title, classes="help-title", markup=False)
                for key, words in rows:
                    with Horizontal(classes="help-row"):
                        yield Static(key, classes="help-key", markup=False)
                        yield Static(words, classes="help-words", markup=False)

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()
