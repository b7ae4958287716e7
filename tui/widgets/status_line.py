"""The bottom line: model and its state, context, speed, queue, sandbox, folder. Narrow terminals lose
the least important first."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import RenderResult
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget

from tui.wording import short_count, short_path


@dataclass(frozen=True)
class Standing:
    """What the line says."""

    model: str
    """Name of the model."""
    state: str = "connecting"
    """`connecting`, `starting`, `loading`, `ready`, `failed` or `lost`."""
    loaded: float | None = None
    """How much of the model is loaded, in [0, 1]."""
    context_used: int = 0
    """Tokens."""
    context_total: int = 0
    """Tokens; 0 when unknown."""
    speed: float | None = None
    """Tokens a second, while it writes."""
    sandbox: str = ""
    """Backend; empty when unknown."""
    sandbox_error: str = ""
    """Why it does not work."""
    workspace: str = ""
    """Folder."""
    queued: int = 0
    """Messages that wait."""
    tinted: bool = False
    """Whether uncertainty is shown."""


_DOTS = {
    "connecting": ("◌", "$dim", "connecting"),
    "starting": ("◌", "$text-warning", "starting"),
    "loading": ("◌", "$text-warning", "loading"),
    "ready": ("●", "$text-success", "ready"),
    "failed": ("●", "$text-error", "not ready"),
    "lost": ("●", "$text-error", "no connection"),
}


class StatusLine(Widget):
    """One line."""

    ALLOW_SELECT = False

    def __init__(self, standing: Standing) -> None:
        super().__init__()
        self._standing = standing
        self._flash = ""
        self._flash_timer: Timer | None = None

    def show(self, standing: Standing) -> None:
        """Say this."""
        if standing != self._standing:
            self._standing = standing
            self.refresh()

    def flash(self, text: str, seconds: float = 2.0) -> None:
        """Say something else for a moment."""
        self._flash = text
        if self._flash_timer is not None:
            self._flash_timer.stop()
        self._flash_timer = self.set_timer(seconds, self._end_flash)
        self.refresh()

    def _end_flash(self) -> None:
        self._flash = ""
        self.refresh()

    def render(self) -> RenderResult:
        width = max(self.size.width, 10)
        if self._flash:
            return Content.styled(self._flash, "$text-accent").truncate(width, ellipsis=True)
        return status_content(self._standing, width)


def status_content(standing: Standing, width: int) -> Content:
    """The line at this width."""
    dot, shade, word = _DOTS[standing.state]
    if standing.loaded is not None and standing.state == "loading":
        word = f"{word} {standing.loaded:.0%}"
    # (side, importance, content); 0 always stays
    fields: list[tuple[str, int, Content]] = [
        ("left", 0, Content.assemble((f"{dot} ", shade), (standing.model, "$foreground"))),
        ("left", 0 if standing.state != "ready" else 5, Content.styled(word, shade)),
    ]
    if standing.context_used and standing.context_total:
        used = f"{short_count(standing.context_used)}/{short_count(standing.context_total)}"
        full = standing.context_used > 0.8 * standing.context_total
        fields.append(("left", 2, Content.styled(used, "$text-warning" if full else "$dim")))
    if standing.speed is not None:
        fields.append(("left", 3, Content.styled(f"{standing.speed:.0f} tok/s", "$dim")))
    if standing.tinted:
        fields.append(("left", 6, Content.styled("tinted", "$text-accent")))
    if standing.queued:
        fields.append(("right", 1, Content.styled(f"{standing.queued} queued", "$text-accent")))
    if standing.sandbox_error:
        fields.append(("right", 0, Content.styled("no sandbox", "bold $text-error")))
    elif standing.sandbox == "none":
        fields.append(("right", 0, Content.styled("unprotected", "bold $text-error")))
    elif standing.sandbox:
        fields.append(("right", 4, Content.styled(standing.sandbox, "$dim")))
    if standing.workspace:
        fields.append(("right", 2, Content.styled(short_path(standing.workspace, 32), "$dim")))
    while True:
        gap = Content("  ")
        left = gap.join(content for side, _, content in fields if side == "left")
        right = gap.join(content for side, _, content in fields if side == "right")
        if left.cell_length + right.cell_length + 2 <= width:
            break
        least = max(importance for _, importance, _ in fields)
        if least == 0:
            break
        fields = [field for field in fields if field[1] != least]
    space = max(width - left.cell_length - right.cell_length, 1)
    return Content.assemble(left, " " * space, right).truncate(width, ellipsis=True)
