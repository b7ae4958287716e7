"""What waits for a person, answered where it stands: an approval, a question, an undo to confirm."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from tui.state import ApprovalAsk, Ask, QuestionAsk
from tui.widgets.call_block import diff_content
from tui.wording import clean, is_diff, plural, summary

# keys typed in the moment a card takes the focus were meant for the prompt
_DEAF_SECONDS = 0.35
_MOST_PREVIEW_LINES = 24


class KeyHint(Static):
    """A key and what it does; a click does the same."""

    ALLOW_SELECT = False

    def __init__(self, key: str, words: str, action: str) -> None:
        super().__init__(Content.assemble((key, "$text-accent bold"), f" {words}"), markup=False)
        self._action = action

    class Pressed(Message):
        """It was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Pressed(self._action))


class AskCard(Vertical, can_focus=True):
    """Base of the cards."""

    def __init__(self) -> None:
        super().__init__()
        self._deaf_until = 0.0

    def listen_soon(self) -> None:
        """Take the focus, but not the keys that were already on their way."""
        self._deaf_until = asyncio.get_running_loop().time() + _DEAF_SECONDS
        self.focus_target().focus()
        self.call_after_refresh(self.scroll_visible, animate=False)

    def focus_target(self) -> Widget:
        """What gets the focus."""
        return self

    async def on_key_hint_pressed(self, event: KeyHint.Pressed) -> None:
        event.stop()
        await self.run_action(event.action)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return asyncio.get_running_loop().time() >= self._deaf_until


class ApprovalCard(AskCard):
    """May this call run?"""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "decide(True)", "Allow once"),
        Binding("n", "decide(False)", "Reject"),
        Binding("r", "give_reason", "Reject with a reason"),
    ]

    class Decided(Message):
        """The person decided."""

        def __init__(self, request_id: str, allow: bool, reason: str) -> None:
            super().__init__()
            self.request_id, self.allow, self.reason = request_id, allow, reason

    def __init__(self, ask: ApprovalAsk) -> None:
        super().__init__()
        self._ask = ask

    def compose(self) -> ComposeResult:
        ask = self._ask
        title = Content.assemble(
            ("Allow this? ", "bold"),
            (ask.call.name, "bold $text-accent"),
            ("  risk: ", "$dim"),
            (ask.risk, "$text-warning"),
        )
        yield Static(title, classes="card-title", markup=False)
        if ask.reason:
            yield Static(Content.styled(clean(ask.reason), "$dim"), markup=False)
        yield Static(preview_content(ask.preview or _arguments(ask)), classes="card-preview", markup=False)
        with Horizontal(classes="card-keys"):
            yield KeyHint("y", "allow once", "decide(True)")
            yield KeyHint("n", "reject", "decide(False)")
            yield KeyHint("r", "reject with a reason", "give_reason")
        yield Input(placeholder="Why not? Enter rejects, Esc goes back", compact=True, select_on_focus=False)

    def on_mount(self) -> None:
        self.query_one(Input).display = False

    def action_decide(self, allow: bool, reason: str = "") -> None:
        """Answer."""
        self.post_message(self.Decided(self._ask.request_id, allow, reason))

    def action_give_reason(self) -> None:
        """Open the line for the reason."""
        reason = self.query_one(Input)
        reason.display = True
        reason.focus()
        self.call_after_refresh(self.scroll_visible, animate=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_decide(False, event.value.strip())

    def on_key(self, event: events.Key) -> None:
        reason = self.query_one(Input)
        if event.key == "escape" and reason.has_focus:
            event.stop()
            event.prevent_default()
            reason.display = False
            self.focus()


class QuestionCard(AskCard, can_focus=False):
    """What should the agent know?"""

    class Answered(Message):
        """The person answered; None declines."""

        def __init__(self, request_id: str, text: str | None) -> None:
            super().__init__()
            self.request_id, self.text = request_id, text

    def __init__(self, ask: QuestionAsk) -> None:
        super().__init__()
        self._ask = ask

    def compose(self) -> ComposeResult:
        yield Static(Content.styled("It asks", "bold"), classes="card-title", markup=False)
        yield Static(Content(clean(self._ask.question)), classes="card-text", markup=False)
        yield Input(placeholder="Your answer", compact=True)
        with Horizontal(classes="card-keys"):
            yield KeyHint("enter", "answer", "answer")
            yield KeyHint("esc", "no answer", "decline")

    def focus_target(self) -> Widget:
        return self.query_one(Input)

    def action_answer(self) -> None:
        """Send what was typed."""
        text = self.query_one(Input).value.strip()
        if text:
            self.post_message(self.Answered(self._ask.request_id, text))

    def action_decline(self) -> None:
        """Give no answer."""
        self.post_message(self.Answered(self._ask.request_id, None))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_answer()

    def on_key(self, event: events.Key) -> None:
        if event.key == "escape":
            event.stop()
            event.prevent_default()
            self.action_decline()


class UndoCard(AskCard):
    """Take these changes back?"""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "confirm(True)", "Undo"),
        Binding("n,escape", "confirm(False)", "Keep"),
    ]

    class Confirmed(Message):
        """The person decided."""

        def __init__(self, card: UndoCard, episode_id: str, undo: bool) -> None:
            super().__init__()
            self.card, self.episode_id, self.undo = card, episode_id, undo

    def __init__(self, episode_id: str, files: list[tuple[str, str, str]]) -> None:
        """`files` are (path, action, diff)."""
        super().__init__()
        self._episode_id = episode_id
        self._files = files

    def compose(self) -> ComposeResult:
        yield Static(
            Content.styled(f"Take back {plural(len(self._files), 'file')}?", "bold"), classes="card-title"
        )
        for path, action, diff in self._files:
            yield Static(Content.assemble((f"{action} ", "$dim"), clean(path)), markup=False)
            if diff:
                yield Static(preview_content(diff), classes="card-preview", markup=False)
        with Horizontal(classes="card-keys"):
            yield KeyHint("y", "take back", "confirm(True)")
            yield KeyHint("n", "keep", "confirm(False)")

    def action_confirm(self, undo: bool) -> None:
        """Answer."""
        self.post_message(self.Confirmed(self, self._episode_id, undo))


def card_for(ask: Ask) -> AskCard:
    """The card that asks this."""
    return ApprovalCard(ask) if isinstance(ask, ApprovalAsk) else QuestionCard(ask)


def preview_content(text: str) -> Content:
    """A diff in colours, anything else as it is; long ones are cut, and say so."""
    lines = clean(text).rstrip().splitlines()
    shown = "\n".join(lines[:_MOST_PREVIEW_LINES])
    content = diff_content(shown) if is_diff(text) else Content(shown)
    if len(lines) > _MOST_PREVIEW_LINES:
        content += Content.styled(f"\n… {plural(len(lines) - _MOST_PREVIEW_LINES, 'more line')}", "$dim")
    return content


def _arguments(ask: ApprovalAsk) -> str:
    arguments = ask.call.arguments
    if len(arguments) == 1:
        return summary(arguments)
    return "\n".join(f"{name}: {value}" for name, value in arguments.items())
