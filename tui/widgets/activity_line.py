"""The line above the prompt: what is being done right now, else what can be done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from textual.app import RenderResult
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget

from tui.markup import parts
from tui.state import EpisodeView
from tui.widgets.fold_block import spread
from tui.wording import duration

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_HINTS = (("enter", "send"), ("ctrl+j", "new line"), ("/", "commands"), ("@", "files"), ("?", "help"))


def doing(episode: EpisodeView) -> str:
    """What the agent does, in two or three words."""
    if episode.asks:
        return "waiting for you"
    activity = episode.activity
    if activity is not None and activity.stage == "prefill" and activity.total:
        return f"reading {activity.done:,.0f} of {activity.total:,.0f} tokens"
    step = episode.turns[-1].steps[-1] if episode.turns and episode.turns[-1].steps else None
    if step is not None and step.calls and not step.finished:
        for call in step.calls:
            if call.status == "running":
                return f"running {call.call.name}"
        return "about to run " + step.calls[-1].call.name
    if activity is not None and activity.stage == "tool":
        return f"running {activity.text}"
    if step is not None and step.writing and step.text:
        found = parts(step.text, False)
        last = found[-1].kind if found else "text"
        return {"text": "writing", "thought": "thinking", "call": "writing"}[last]
    return "thinking"


class ActivityLine(Widget):
    """One line, always there, so that nothing jumps."""

    ALLOW_SELECT = False

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._clock = clock
        self._episode: EpisodeView | None = None
        self._starting = False
        self._frame = 0
        self._timer: Timer | None = None

    def on_mount(self) -> None:
        self._timer = self.set_interval(1 / 10, self._advance, pause=True)

    def show(self, episode: EpisodeView | None, starting: bool) -> None:
        """`starting`: a message was sent but not taken on yet."""
        self._episode, self._starting = episode, starting
        if self._timer is not None:
            if self._busy and self.app.animation_level != "none":
                self._timer.resume()
            else:
                self._timer.pause()
        self.refresh()

    @property
    def _busy(self) -> bool:
        return self._starting or (self._episode is not None and self._episode.running)

    def _advance(self) -> None:
        self._frame += 1
        self.refresh()

    def render(self) -> RenderResult:
        width = max(self.size.width, 10)
        episode = self._episode
        if not self._busy:
            pieces = [p for key, words in _HINTS for p in ((key, "$dim bold"), (f" {words}   ", "$faint"))]
            return Content.assemble(*pieces).truncate(width)
        waiting = episode is not None and bool(episode.asks)
        glyph = "?" if waiting else _FRAMES[self._frame % len(_FRAMES)]
        shade = "$text-accent bold" if waiting else "$text-primary"
        words = doing(episode) if episode is not None and episode.running else "starting"
        left: list[tuple[str, str]] = [(f"{glyph} ", shade), (words, "$dim")]
        started = episode.turns[-1].started if episode is not None and episode.running else None
        if started is not None:
            elapsed = max((self._clock() - started).total_seconds(), 0.0)
            left.append((f"  {duration(float(int(elapsed)))}" if elapsed >= 1 else "", "$faint"))
        right = Content.assemble(("esc", "$dim bold"), (" interrupts", "$faint"))
        return spread(Content.assemble(*left), right, width)
