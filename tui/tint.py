"""Tokens coloured by how unsure the model was, so that people see what the gate sees.

Four levels, told apart by colour and by text style, so that they survive 16 colours and both themes.
The thresholds are for reading, not for deciding: the gate has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content, Span

if TYPE_CHECKING:
    from memory.types import TokenSignal

# (entropy in nats, log-probability): at least as unsure as this on either count
_LEVELS = ((0.4, -0.5), (1.2, -1.6), (2.2, -3.0))
NAMES = ("sure", "likely", "unsure", "guessing")
STYLES = ("$foreground", "$text-success", "$text-warning", "$text-error bold underline")
FORCED = "$dim italic"


def level(signal: TokenSignal) -> int:
    """0 (sure) to 3 (guessing)."""
    found = 0
    for number, (entropy, logprob) in enumerate(_LEVELS, 1):
        if signal.entropy >= entropy or signal.logprob <= logprob:
            found = number
    return found


def style(signal: TokenSignal) -> str:
    """The style of one token; one that a grammar forced says nothing about the model."""
    return FORCED if signal.forced else STYLES[level(signal)]


def tinted(tokens: Sequence[TokenSignal], start: int = 0, end: int | None = None) -> Content:
    """Characters `start` to `end` of the tokens' joined text, coloured token by token."""
    text = "".join(token.text for token in tokens)
    end = len(text) if end is None else min(end, len(text))
    spans: list[Span] = []
    at = 0
    for token in tokens:
        begin, at = at, at + len(token.text)
        if at > start and begin < end:
            span = Span(max(begin, start) - start, min(at, end) - start, style(token))
            if spans and spans[-1].style == span.style and spans[-1].end == span.start:
                span = Span(spans.pop().start, span.end, span.style)
            spans.append(span)
    return Content(text[start:end], spans)


def legend() -> Content:
    """What the colours mean."""
    pieces: list[tuple[str, str] | str] = [("uncertainty  ", "$dim")]
    for name, shade in zip(NAMES, STYLES, strict=True):
        pieces += [(name, shade), "  "]
    pieces += [("forced by the grammar", FORCED)]
    return Content.assemble(*pieces)
