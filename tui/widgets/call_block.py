"""A tool call: status, name, what it is about, how long it took; opens into its diff and output."""

from __future__ import annotations

from textual.content import Content, Span

from tui.state import CallStatus, CallView
from tui.widgets.fold_block import FoldBlock, spread
from tui.wording import call_diff, clean, diff_counts, duration, is_diff, one_line, plural, summary

_GLYPHS: dict[CallStatus, tuple[str, str]] = {
    "planned": ("○", "$dim"),
    "waiting": ("?", "$text-warning bold"),
    "running": ("●", "$text-primary"),
    "done": ("✓", "$text-success"),
    "failed": ("✗", "$text-error"),
    "refused": ("⊘", "$text-warning"),
}
_WORDS: dict[CallStatus, str] = {
    "planned": "",
    "waiting": "waits for you",
    "running": "running",
    "done": "",
    "failed": "failed",
    "refused": "refused",
}
# an edit this small is worth seeing without opening it
_SMALL_DIFF = 12
_MOST_LINES = 400


def diff_content(diff: str) -> Content:
    """A unified diff, coloured by line."""
    lines = []
    for line in diff.splitlines():
        if line.startswith("@@"):
            lines.append(Content.styled(line, "$dim"))
        elif line.startswith("+"):
            lines.append(Content.styled(line, "$text-success"))
        elif line.startswith("-"):
            lines.append(Content.styled(line, "$text-error"))
        else:
            lines.append(Content(line))
    return Content("\n").join(lines)


class CallBlock(FoldBlock):
    """One call."""

    def __init__(self, view: CallView) -> None:
        super().__init__()
        self._view = view
        self._diff = ""
        self._take(view)

    @property
    def view(self) -> CallView:
        """The call as shown."""
        return self._view

    def show(self, view: CallView) -> None:
        """Show a newer state of the call."""
        if view is not self._view:
            self._take(view)
            self.redraw()

    def _take(self, view: CallView) -> None:
        self._view = view
        result = view.result.content if view.result else ""
        self._diff = call_diff(view.call.arguments, view.preview, result)
        if not self._diff and is_diff(view.preview):
            self._diff = clean(view.preview)
        small = bool(self._diff) and self._diff.count("\n") < _SMALL_DIFF
        if small and view.status == "done" and "content" not in view.call.arguments:
            self.set_reactive(CallBlock.opened, True)

    def head(self, width: int) -> Content:
        view = self._view
        glyph, shade = _GLYPHS[view.status]
        marker = "▾" if self.opened else "▸"
        left = [(f"{glyph} ", shade), (view.call.name, "bold"), ("  ", "")]
        left.append((summary(view.call.arguments), "$dim"))
        right: list[tuple[str, str]] = []
        if self._diff and view.status in ("done", "waiting", "running", "planned"):
            added, removed = diff_counts(self._diff)
            right += [(f"+{added}  ", "$text-success")] if added else []
            right += [(f"−{removed}  ", "$text-error")] if removed else []
        if word := _WORDS[view.status]:
            right.append((f"{word}  ", shade.removesuffix(" bold")))
        if view.result is not None and view.result.seconds >= 0.05:
            right.append((f"{duration(view.result.seconds)} ", "$dim"))
        right.append((marker, "$dim" if self.body_text() else "$faint"))
        return spread(Content.assemble(*left), Content.assemble(*right), width)

    def peek(self) -> Content | None:
        result = self._view.result
        if result is None or (self._diff and result.ok):
            return None
        lines = [line for line in clean(result.content).splitlines() if line.strip()]
        if not lines:
            return None
        shade = "$dim" if result.ok else "$text-warning" if result.refused else "$text-error"
        more = f"  … {plural(len(lines) - 1, 'more line')}" if len(lines) > 1 else ""
        text = one_line(lines[0], 160)
        return Content(text + more, [Span(0, len(text), shade), Span(len(text), len(text + more), "$faint")])

    def body_text(self) -> bool:
        """Whether opening it shows anything."""
        return bool(self._diff or self._view.result or self._view.call.arguments)

    def body(self) -> Content | None:
        view = self._view
        sections: list[Content] = []
        if self._diff:
            sections.append(diff_content(self._diff))
        else:
            sections.extend(self._arguments())
        if view.note and view.result is None:
            sections.append(Content.styled(clean(view.note), "$text-warning"))
        if view.result is not None and not (self._diff and view.result.ok):
            sections.append(self._output())
        return Content("\n\n").join(sections) if sections else None

    def _arguments(self) -> list[Content]:
        arguments = self._view.call.arguments
        if not any("\n" in str(value) or len(str(value)) > 60 for value in arguments.values()):
            return []
        return [
            Content.assemble((f"{name}\n", "$dim"), clean(str(value))) for name, value in arguments.items()
        ]

    def _output(self) -> Content:
        result = self._view.result
        assert result is not None
        lines = clean(result.content).rstrip().splitlines()
        shown = Content("\n".join(lines[:_MOST_LINES]) or "no output")
        if not result.ok:
            shown = shown.stylize("$text-warning" if result.refused else "$text-error")
        elif not lines:
            shown = shown.stylize("$dim")
        if len(lines) > _MOST_LINES:
            shown += Content.styled(f"\n… {plural(len(lines) - _MOST_LINES, 'more line')}", "$dim")
        if result.full_output:
            shown += Content.styled(f"\nwhole output: {result.full_output}", "$dim")
        return shown
