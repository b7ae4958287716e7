"""One step: thoughts, answer text, and the calls it led to. Only what changed is laid out again."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Markdown, Static

from tui.markup import Part, chunks, parts
from tui.state import StepView
from tui.tint import tinted
from tui.widgets.call_block import CallBlock
from tui.widgets.fold_block import FoldBlock, spread
from tui.widgets.resting import Resting
from tui.wording import clean, plural, short_count


class Chunk(Resting, Markdown):
    """A stretch of Markdown."""

    def __init__(self) -> None:
        super().__init__(open_links=False)
        self.written = ""

    async def write(self, text: str) -> None:
        """Show this text."""
        if text == self.written:
            return
        self.wake()
        if self.written and text.startswith(self.written):
            await self.append(text[len(self.written) :])
        else:
            await self.update(text)
        self.written = text


class TextPart(Vertical):
    """Answer text: Markdown that grows, or the same text tinted by uncertainty."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: list[Chunk] = []

    def compose(self) -> ComposeResult:
        yield Vertical(classes="chunks")
        yield Static(classes="tinted", markup=False)

    @property
    def chunks(self) -> list[Chunk]:
        """The stretches of the text, in order."""
        return self._chunks

    @property
    def written(self) -> str:
        """The Markdown shown."""
        return "".join(chunk.written for chunk in self._chunks)

    async def show(self, text: str, tint: Content | None) -> None:
        """Bring it up to date; Markdown is only ever appended to while text grows."""
        page, static = self.query_one(".chunks", Vertical), self.query_one(".tinted", Static)
        page.display, static.display = tint is None, tint is not None
        if tint is not None:
            static.update(tint)
            return
        stretches = chunks(clean(text))
        for number, stretch in enumerate(stretches):
            if number == len(self._chunks):
                self._chunks.append(Chunk())
                await page.mount(self._chunks[number])
            await self._chunks[number].write(stretch)
        for stale in self._chunks[len(stretches) :]:
            await stale.remove()
        del self._chunks[len(stretches) :]


class ThoughtPart(FoldBlock):
    """What the model thought before it answered; closed until asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._part = Part("thought", 0, 0, "", open=True)
        self._tint: Content | None = None

    async def show(self, part: Part, tint: Content | None) -> None:
        """Bring it up to date."""
        if part != self._part or tint is not self._tint:
            self._part, self._tint = part, tint
            self.redraw()

    def head(self, width: int) -> Content:
        words = plural(len(self._part.text.split()), "word")
        state = "thinking" if self._part.open else "thought"
        left = Content.assemble(("∴ ", "$text-accent"), (state, "italic $dim"))
        right = Content.styled(f"{words} {'▾' if self.opened else '▸'}", "$dim")
        return spread(left, right, width)

    def body(self) -> Content | None:
        return self._tint or Content.styled(clean(self._part.text).strip(), "$dim")


class CallPart(Static):
    """A call while it is written: never its markup, unless tokens are being looked at."""

    def __init__(self) -> None:
        super().__init__(markup=False)

    async def show(self, part: Part, tint: Content | None, step: StepView) -> None:
        """Once the step is over, its calls stand for this; without any, it says what became of it."""
        lost = step.finished and not step.calls
        self.display = part.open or lost or tint is not None
        if tint is not None:
            self.update(tint)
        elif lost and step.cut:
            self.update(Content.styled("○ a call, cut off", "$dim"))
        elif lost:
            self.update(Content.styled("✗ a call that could not be read", "$text-error"))
        else:
            self.update(Content.styled("○ preparing a call …", "$dim"))


class StepBlock(Vertical):
    """One step."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[StepView, bool, bool] | None = None
        self._parts: list[tuple[str, Widget]] = []
        self._calls: list[CallBlock] = []

    async def show(self, step: StepView, tint: bool, hide_finish: bool = False) -> None:
        """Bring it up to date. `hide_finish` leaves out a `finish` call whose text is the answer below."""
        wanted = (step, tint, hide_finish)
        if self._shown is not None and self._shown[0] is step and self._shown[1:] == wanted[1:]:
            return
        self._shown = wanted
        await self._show_note(step)
        await self._show_parts(step, tint)
        await self._show_calls(step, hide_finish)
        self.display = any(child.display for child in self.children)

    def space(self, tight: bool) -> None:
        """Blank lines around it; `tight` for calls right after calls."""
        # inline, because a class would style everything in it anew: 50 ms for a long answer
        first = next((child for child in self.children if child.display), None)
        above = 0 if tight or isinstance(first, TextPart) else 1
        self.styles.margin = (above, 0, 0, 0)
        for _, part in self._parts:
            if isinstance(part, TextPart):
                part.styles.margin = (0, 0, 1 if self.ends_in_calls else 0, 0)

    def can_rest(self) -> Iterator[Resting]:
        """What may rest while it is far from the window."""
        for _, part in self._parts:
            if isinstance(part, TextPart):
                yield from part.chunks
            elif isinstance(part, ThoughtPart):
                yield part
        yield from self._calls

    @property
    def ends_in_calls(self) -> bool:
        """Whether its last line is a call's."""
        return any(call.display for call in self._calls)

    @property
    def only_calls(self) -> bool:
        """Whether it shows nothing but calls; such steps stand close together."""
        return bool(self._calls) and not any(part.display for _, part in self._parts)

    async def _show_note(self, step: StepView) -> None:
        if step.compacted and not self.query(".compacted"):
            before, after = step.compacted
            text = f"older tool results shortened to fit: {short_count(before)} → {short_count(after)} tokens"
            await self.mount(Static(text, classes="compacted", markup=False), before=0)

    async def _show_parts(self, step: StepView, tint: bool) -> None:
        found = parts(step.text, step.finished or bool(step.calls))
        for number, part in enumerate(found):
            if number < len(self._parts) and self._parts[number][0] != part.kind:
                for _, stale in self._parts[number:]:
                    await stale.remove()
                del self._parts[number:]
            if number == len(self._parts):
                widget = _new_part(part)
                self._parts.append((part.kind, widget))
                await self.mount(widget, before=self._calls[0] if self._calls else None)
            colours = tinted(step.tokens, part.start, part.end) if tint else None
            widget = self._parts[number][1]
            if isinstance(widget, TextPart):
                await widget.show(part.text, colours)
            elif isinstance(widget, ThoughtPart):
                await widget.show(part, colours)
            elif isinstance(widget, CallPart):
                await widget.show(part, colours, step)

        for _, stale in self._parts[len(found) :]:
            await stale.remove()
        del self._parts[len(found) :]

    async def _show_calls(self, step: StepView, hide_finish: bool) -> None:
        for number, call in enumerate(step.calls):
            if number == len(self._calls):
                block = CallBlock(call)
                self._calls.append(block)
                await self.mount(block)
            block = self._calls[number]
            block.show(call)
            block.display = not (hide_finish and call.call.name == "finish")
        for stale in self._calls[len(step.calls) :]:
            await stale.remove()
        del self._calls[len(step.calls) :]


def _new_part(part: Part) -> Widget:
    if part.kind == "text":
        return TextPart()
    return ThoughtPart() if part.kind == "thought" else CallPart()
