"""Keys and commands, on one page."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
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


def help_content() -> Content:
    """The page."""
    pieces: list[tuple[str, str]] = []
    for title, keys in KEYS:
        pieces.append((f"{title}\n", "bold $text-primary"))
        for key, words in keys:
            pieces += [(f"  {key:<21}", "bold"), (f"{words}\n", "$dim")]
        pieces.append(("\n", ""))
    pieces.append(("Commands\n", "bold $text-primary"))
    for command in COMMANDS:
        usage = f"/{command.name} {command.arguments}".strip()
        pieces += [(f"  {usage:<21}", "bold"), (f"{command.summary}\n", "$dim")]
    return Content.assemble(*pieces).rstrip()


class HelpScreen(ModalScreen[None]):
    """Over whatever is shown; any of the closing keys goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f1,question_mark,enter", "dismiss", "Close"),
        Binding("up", "page.scroll_up", show=False),
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog") as page:
            page.border_title = "Help"
            page.border_subtitle = "esc closes"
            yield Static(help_content(), markup=False)

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()
