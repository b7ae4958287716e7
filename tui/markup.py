"""What of the model's raw text is for people: answer, thought, or the making of a tool call.

Works on unfinished text too: the parts only ever grow while tokens arrive, and a tag that has just
begun is held back, so nothing that was shown has to be taken away. Which calls were really made is
the runtime's to say; this only keeps their markup out of sight.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

PartKind = Literal["text", "thought", "call"]

_OPENING = {
    "<think>": ("thought", "</think>"),
    "<tool_call>": ("call", "</tool_call>"),
    "<tools>": ("call", "</tools>"),
    "<function=": ("call", "</function>"),
}
_OPEN = re.compile("|".join(re.escape(tag) for tag in _OPENING))
# a call in bare or fenced JSON, and what may still become one
_BARE = re.compile(r"\s*(?:```(?:json)?\s*)?[\[{]\s*(?:\{\s*)?\"name\"\s*:")
_BARE_BEGUN = re.compile(
    r"\s*(?:`{1,3}(?:j|js|jso|json)?\s*)?(?:[\[{]\s*(?:\{\s*)?(?:\"(?:n|na|nam|name|name\")?\s*)?)?"
)

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_CHUNK_CHARACTERS = 400
# a line that begins with one of these may belong to what stands above it
_UNSAFE_TO_CUT = " \t\n\r-*+0123456789|>[`~"


@dataclass(frozen=True)
class Part:
    """A stretch of the raw text."""

    kind: PartKind
    start: int
    """First character of its text within the raw text, tags left out."""
    end: int
    """One past the last."""
    text: str
    """The characters between."""
    open: bool = False
    """More of it is still coming."""


def parts(raw: str, finished: bool) -> tuple[Part, ...]:
    """Split raw text; empty stretches of text are left out."""
    found: list[Part] = []
    at = 0
    thought_end = raw.find("</think>")
    first_open = _OPEN.search(raw)
    if thought_end >= 0 and (first_open is None or first_open.start() > thought_end):
        # the template opened the thought before the first token
        found.append(Part("thought", 0, thought_end, raw[:thought_end]))
        at = thought_end + len("</think>")
    if _BARE.match(raw, at):
        return (*found, Part("call", at, len(raw), raw[at:], not finished))
    if not finished and _BARE_BEGUN.fullmatch(raw, at):
        return tuple(found)
    while at < len(raw):
        opening = _OPEN.search(raw, at)
        if opening is None:
            end = len(raw) if finished else _before_half_a_tag(raw, at)
            _add_text(found, raw, at, end, not finished)
            break
        _add_text(found, raw, at, opening.start(), False)
        kind, closing = _OPENING[opening.group()]
        start = opening.end()
        end = raw.find(closing, start)
        if end < 0:
            found.append(_part(kind, start, len(raw), raw, not finished))
            break
        found.append(_part(kind, start, end, raw, False))
        at = end + len(closing)
    return tuple(found)


def chunks(text: str) -> tuple[str, ...]:
    """Markdown cut into stretches of some hundred characters that can be laid out one by one.

    Cuts only between plain paragraphs or headings, never inside lists, tables, quotes or code. Where
    text was once cut stays the same while it grows.
    """
    cuts = [0]
    at = 0
    fence = ""
    blank = False
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if not fence and blank and at - cuts[-1] >= _CHUNK_CHARACTERS and line[0] not in _UNSAFE_TO_CUT:
            cuts.append(at)
        if mark is not None and (not fence or mark.group(1).startswith(fence)):
            fence = "" if fence else mark.group(1)
        blank = not line.strip()
        at += len(line)
    return tuple(text[start:end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True))


def visible_text(raw: str) -> str:
    """The part of finished text that is an answer."""
    return "\n\n".join(part.text.strip() for part in parts(raw, True) if part.kind == "text")


def _part(kind: str, start: int, end: int, raw: str, still_open: bool) -> Part:
    known: PartKind = "thought" if kind == "thought" else "call"
    return Part(known, start, end, raw[start:end], still_open)


def _add_text(found: list[Part], raw: str, start: int, end: int, still_open: bool) -> None:
    stretch = raw[start:end]
    if stretch.strip():
        start += len(stretch) - len(stretch.lstrip())
        found.append(Part("text", start, end, raw[start:end], still_open))


def _before_half_a_tag(raw: str, at: int) -> int:
    begun = raw.rfind("<", at)
    if begun >= 0 and any(tag.startswith(raw[begun:]) for tag in _OPENING):
        return begun
    return len(raw)
