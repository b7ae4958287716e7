"""One turn: what the user said, the steps, what waits for a person, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from tui.markup import visible_text
from tui.state import Ask, TurnView
from tui.widgets.ask_card import AskCard, card_for
from tui.widgets.resting import Resting
from tui.widgets.step_block import StepBlock, TextPart
from tui.wording import clean, duration, plural, short_count

_ENDINGS = {
    "failure": ("✗ It failed", "$text-error"),
    "interrupted": ("◼ Interrupted", "$text-warning"),
    "out_of_budget": ("◔ Out of budget", "$text-warning"),
    "refused": ("⊘ Refused", "$text-warning"),
}


class UserMessage(Static):
    """What the user said."""

    def __init__(self, text: str) -> None:
        super().__init__(Content(clean(text)), markup=False)


class TurnBlock(Vertical):
    """One turn."""

    def __init__(self, turn: TurnView) -> None:
        super().__init__()
        self._user = turn.user
        self._steps: list[StepBlock] = []
        self._answer = TextPart()
        self._cards: dict[str, AskCard] = {}
        self._shown: tuple[TurnView, tuple[Ask, ...], bool] | None = None

    def compose(self) -> ComposeResult:
        if self._user is not None:
            yield UserMessage(self._user.content)
        yield Vertical(classes="steps")
        yield self._answer
        yield Vertical(classes="cards")
        yield Static(classes="ending", markup=False)

    async def show(self, turn: TurnView, asks: tuple[Ask, ...], tint: bool) -> None:
        """Bring it up to date."""
        wanted = (turn, asks, tint)
        if self._shown is not None and self._shown[0] is turn and self._shown[1:] == wanted[1:]:
            return
        self._shown = wanted
        closing = closing_text(turn)
        steps = self.query_one(".steps", Vertical)
        for number, step in enumerate(turn.steps):
            if number == len(self._steps):
                block = StepBlock()
                self._steps.append(block)
                await steps.mount(block)
            block = self._steps[number]
            await block.show(step, tint, hide_finish=bool(closing))
            before = self._steps[number - 1] if number else None
            block.space(tight=block.only_calls and before is not None and before.ends_in_calls)
        self._answer.display = bool(closing)
        if closing:
            await self._answer.show(closing, None)
        await self._show_cards(asks)
        ending = self.query_one(".ending", Static)
        ending.display = turn.outcome is not None
        if turn.outcome is not None:
            ending.update(ending_line(turn, tint))
            ending.set_class(turn.outcome != "success", "-unhappy")

    def can_rest(self) -> Iterator[Resting]:
        """What may rest while it is far from the window."""
        for step in self._steps:
            yield from step.can_rest()
        yield from self._answer.chunks

    def waiting_card(self) -> AskCard | None:
        """The oldest thing here that waits for a person."""
        return next(iter(self._cards.values()), None)

    async def _show_cards(self, asks: tuple[Ask, ...]) -> None:
        open_ids = {ask.request_id for ask in asks}
        for request_id in [known for known in self._cards if known not in open_ids]:
            await self._cards.pop(request_id).remove()
        for ask in asks:
            if ask.request_id not in self._cards:
                card = self._cards[ask.request_id] = card_for(ask)
                await self.query_one(".cards", Vertical).mount(card)


def closing_text(turn: TurnView) -> str:
    """The answer, when no step's text already said it."""
    answer = turn.answer.strip()
    if not answer or (turn.steps and answer in visible_text(turn.steps[-1].text)):
        return ""
    return answer


def ending_line(turn: TurnView, tint: bool) -> Content:
    """How the turn ended and what it cost, in one quiet line; loud only when it did not succeed."""
    facts = [duration(turn.seconds)] if turn.seconds >= 0.05 else []
    if len(turn.steps) > 1:
        facts.append(plural(len(turn.steps), "step"))
    if turn.usage is not None and turn.usage.generated:
        facts.append(f"{short_count(turn.usage.generated)} tokens")
    if tint and turn.signals is not None and turn.signals.tokens:
        facts.append(f"mean entropy {turn.signals.mean_entropy:.2f} nats")
    cost = Content.styled(" · ".join(facts), "$faint")
    if turn.outcome is None or turn.outcome == "success":
        return cost
    words, shade = _ENDINGS[turn.outcome]
    reason = clean(turn.reason).strip()
    if reason and reason != "interrupted":
        words += f": {reason}"
    return Content.assemble((words, shade), "\n", cost)
