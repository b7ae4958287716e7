"""A word from the app itself: information, a warning, or an error with its mend. Never a traceback."""

from __future__ import annotations

import re
from typing import Literal

from textual.content import Content
from textual.widgets import Static

from tui.wording import clean

Level = Literal["info", "warning", "error"]
_CODE = re.compile(r"`([^`\n]+)`")


class Notice(Static):
    """One block between the turns."""

    def __init__(self, text: str, level: Level = "info", title: str = "") -> None:
        super().__init__(notice_content(text, title), classes=f"-{level}", markup=False)
        self.text = text


def notice_content(text: str, title: str) -> Content:
    """Title in bold, `code` in the accent colour."""
    pieces: list[str | tuple[str, str]] = []
    if title:
        pieces.append((f"{title}\n", "bold"))
    at = 0
    text = clean(text)
    for found in _CODE.finditer(text):
        pieces += [text[at : found.start()], (found.group(1), "$text-accent")]
        at = found.end()
    pieces.append(text[at:])
    return Content.assemble(*pieces)
