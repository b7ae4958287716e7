"""Where the user types: several lines, Enter sends, history at the edges, completion above."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.widgets import TextArea

_NEW_LINE_KEYS = {"shift+enter", "ctrl+j", "alt+enter"}


class Prompt(TextArea):
    """The prompt. It decides what a key means here; the screen decides what to do about it."""

    class Sent(Message):
        """Enter was pressed on some text."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class CompletionMoved(Message):
        """The highlighted completion should move."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    class CompletionTaken(Message):
        """The highlighted completion was chosen."""

        def __init__(self, send: bool) -> None:
            super().__init__()
            self.send = send

    class CompletionClosed(Message):
        """Completion is not wanted."""

    class TakeBack(Message):
        """Up in an empty prompt: the newest queued message, if there is one, comes back."""

    class Scrolled(Message):
        """A page key: the conversation scrolls, not the prompt."""

        def __init__(self, pages: int) -> None:
            super().__init__()
            self.pages = pages

    class HelpAsked(Message):
        """`?` in an empty prompt."""

    def __init__(self) -> None:
        super().__init__(
            compact=True,
            highlight_cursor_line=False,
            placeholder="Ask, or give a task",
            show_line_numbers=False,
            tab_behavior="focus",
        )
        self.completing = False
        """Whether completions are shown; set by the screen."""
        self._history: list[str] = []
        self._place: int | None = None
        self._draft = ""

    def fill(self, text: str) -> None:
        """Replace the text; the cursor goes to its end."""
        self.load_text(text)
        self.move_cursor(self.document.end)

    def remember(self, text: str) -> None:
        """Add to the history."""
        if text and (not self._history or self._history[-1] != text):
            self._history.append(text)
        self._place = None

    async def _on_key(self, event: events.Key) -> None:
        # Textual runs TextArea's own handler after this one, unless it is prevented here
        if self._handle(event.key, event.character):
            event.stop()
            event.prevent_default()

    def _handle(self, key: str, character: str | None) -> bool:
        if self.completing and self._handle_completion(key):
            return True
        if key == "enter":
            self.send()
        elif key in _NEW_LINE_KEYS:
            self.insert("\n")
        elif key == "up" and self._on_first_line():
            self._earlier()
        elif key == "down" and self._on_last_line():
            self._later()
        elif key in ("pageup", "pagedown"):
            self.post_message(self.Scrolled(-1 if key == "pageup" else 1))
        elif character == "?" and not self.text:
            self.post_message(self.HelpAsked())
        else:
            return False
        return True

    def _handle_completion(self, key: str) -> bool:
        if key in ("up", "down"):
            self.post_message(self.CompletionMoved(-1 if key == "up" else 1))
        elif key in ("tab", "enter"):
            self.post_message(self.CompletionTaken(send=key == "enter"))
        elif key == "escape":
            self.post_message(self.CompletionClosed())
        else:
            return False
        return True

    def send(self) -> None:
        """Send what is there, if it is more than blanks."""
        text = self.text.strip()
        if text:
            self.remember(text)
            self.fill("")
            self.post_message(self.Sent(text))

    def _on_first_line(self) -> bool:
        return self.wrapped_document.location_to_offset(self.cursor_location).y == 0

    def _on_last_line(self) -> bool:
        offset = self.wrapped_document.location_to_offset(self.cursor_location)
        return offset.y >= self.wrapped_document.height - 1

    def _earlier(self) -> None:
        if not self.text and self._place is None:
            self.post_message(self.TakeBack())
            return
        self.recall(-1)

    def _later(self) -> None:
        self.recall(1)

    def recall(self, by: int) -> None:
        """Go back (-1) or forth (1) in the history; past its end is the draft again."""
        if not self._history:
            return
        if self._place is None:
            if by > 0:
                return
            self._draft, self._place = self.text, len(self._history)
        place = max(self._place + by, 0)
        if place >= len(self._history):
            self._place = None
            self.fill(self._draft)
        else:
            self._place = place
            self.fill(self._history[place])
