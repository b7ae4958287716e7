"""Messages that were typed while nothing could be sent."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from tui.wording import one_line

_MOST_SHOWN = 3


class QueueList(Static):
    """Hidden when nothing waits."""

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.display = False

    def show(self, waiting: list[str], why: str) -> None:
        """`why` says what they wait for."""
        self.display = bool(waiting)
        if not waiting:
            return
        lines = [Content.assemble(("queued", "$text-accent"), (f"  {why}  ·  ↑ takes back", "$dim"))]
        lines += [Content.styled(f"  {one_line(text, 300)}", "$dim") for text in waiting[:_MOST_SHOWN]]
        if len(waiting) > _MOST_SHOWN:
            lines.append(Content.styled(f"  … and {len(waiting) - _MOST_SHOWN} more", "$dim"))
        self.update(Content("\n").join(lines))
