"""Completions for `/` and `@`, shown above the prompt; the prompt keeps the focus."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option


@dataclass(frozen=True)
class Completion:
    """One offer."""

    label: str
    """What is shown."""
    detail: str
    """More about it."""
    replacement: str
    """What replaces the text from `start` to the cursor."""
    start: int
    """Column, in the cursor's line, where the replaced text begins."""
    complete: bool
    """Whether Enter may send right away."""


class CompletionList(OptionList, can_focus=False):
    """Offers, best first; hidden when there are none."""

    class Clicked(Message):
        """An offer was clicked."""

    def __init__(self) -> None:
        super().__init__(compact=True, markup=False)
        self._offers: list[Completion] = []
        self.display = False

    def offer(self, offers: list[Completion]) -> None:
        """Show these."""
        self._offers = offers
        self.display = bool(offers)
        self.clear_options()
        width = max((len(offer.label) for offer in offers), default=0)
        self.add_options(
            Option(Content.assemble(offer.label.ljust(width), (f"  {offer.detail}", "$dim")))
            for offer in offers
        )
        if offers:
            self.highlighted = 0

    def move(self, by: int) -> None:
        """Highlight another offer; goes round."""
        if self._offers:
            self.highlighted = ((self.highlighted or 0) + by) % len(self._offers)

    @property
    def chosen(self) -> Completion | None:
        """The highlighted offer."""
        return self._offers[self.highlighted or 0] if self._offers else None

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Clicked())
