"""Widgets that cost nothing while they are far from what is seen.

Textual lays out every shown widget of a page whenever one of them changes; with the 400 widgets of a
long answer that took 120 ms a frame. A resting widget keeps its place by a fixed height and hides
what is in it, so that a page costs what is near the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.widget import Widget

    _Base = Widget
else:
    # Textual looks for styles along the first base that is a widget: this must not be one
    _Base = object


class Resting(_Base):
    """Mixed into a widget whose height follows from its children."""

    _slept: list[Widget] | None = None

    @property
    def resting(self) -> bool:
        """Whether its children are hidden."""
        return self._slept is not None

    def rest(self) -> None:
        """Hide the children and keep the height."""
        if self._slept is None and self.size.height:
            self._slept = [child for child in self.children if child.display]
            self.styles.height = self.outer_size.height
            for child in self._slept:
                child.display = False

    def wake(self) -> None:
        """Show the children again."""
        if self._slept is not None:
            slept, self._slept = self._slept, None
            for child in slept:
                child.display = True
            self.styles.height = "auto"
