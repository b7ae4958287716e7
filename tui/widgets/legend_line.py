"""What the colours of tinted tokens mean."""

from __future__ import annotations

from textual.widgets import Static

from tui.tint import legend


class LegendLine(Static):
    """Shown while tokens are tinted."""

    def __init__(self) -> None:
        super().__init__(legend(), markup=False)
