"""Past episodes, newest first; choosing one goes on with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui.wording import one_line

if TYPE_CHECKING:
    from memory.types import Episode

_GLYPHS = {
    "success": ("✓", "$text-success"),
    "failure": ("✗", "$text-error"),
    "interrupted": ("◼", "$text-warning"),
    "out_of_budget": ("◔", "$text-warning"),
    "refused": ("⊘", "$text-warning"),
}


def episode_line(episode: Episode) -> Content:
    """One episode on one line."""
    glyph, shade = _GLYPHS[episode.outcome]
    when = episode.started_at.astimezone().strftime("%d %b %H:%M")
    rating = {"good": " +", "bad": " −"}.get(episode.feedback[-1].rating, "") if episode.feedback else ""
    return Content.assemble(
        (f"{glyph} ", shade),
        (f"{when}  ", "$dim"),
        one_line(episode.task, 120),
        (rating, "$text-accent"),
        (f"  {episode.kind}", "$faint"),
    )


class EpisodesScreen(ModalScreen["str | None"]):
    """Returns the id of the chosen episode."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "close", "Close")]

    def __init__(self, episodes: Sequence[Episode]) -> None:
        super().__init__()
        self._episodes = episodes

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Episodes"
            dialog.border_subtitle = "enter goes on with it · esc closes"
            if not self._episodes:
                yield Static(
                    Content.styled("No episodes yet. Every conversation and task becomes one.", "$dim")
                )
            else:
                options = [Option(episode_line(episode), id=episode.id) for episode in self._episodes]
                yield OptionList(*options, compact=True, markup=False)

    def on_mount(self) -> None:
        if self._episodes:
            self.query_one(OptionList).focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id)

    def action_close(self) -> None:
        """Choose none."""
        self.dismiss(None)
