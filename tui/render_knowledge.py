"""Knowledge for a person: documents, versions, passages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from memory.hits import shared_words
from tui.wording import clean, plural

if TYPE_CHECKING:
    from agent.knowledge_calls import KnownDocument
    from memory.knowledge import Document, KnowledgeHit

_LINES = 6


def document_lines(documents: Sequence[Document]) -> list[RenderableType]:
    """One line a document, whole, so that a script can take its path."""
    widest = max(len(document.domain) for document in documents)
    lines: list[RenderableType] = []
    for document in documents:
        newest, count = document.newest, len(document.versions)
        line = Text(f"{document.id}  ", style="dim")
        line.append(f"{document.domain:<{widest}}  {newest.kind:<8}  ", style="not dim")
        line.append(f"{newest.at.astimezone():%Y-%m-%d %H:%M}  {plural(count, 'version'):<10}  ")
        line.append(clean(document.path), style="not dim")
        lines.append(line)
    return lines


def document_head(shown: KnownDocument) -> list[RenderableType]:
    """What a document is and which versions there are."""
    document = shown.document
    lines: list[RenderableType] = [
        Text(clean(document.path), style="bold"),
        Text(
            f"{document.id}, {shown.version.kind}, domain {document.domain}"
            + (", removed" if document.removed else ""),
            style="dim",
        ),
    ]
    for number, version in enumerate(document.versions, start=1):
        mark = "→" if number == shown.number else " "
        note = f", left out {version.left_out}" if version.left_out else ""
        lines.append(
            Text(
                f"{mark} version {number}, {version.at.astimezone():%Y-%m-%d %H:%M}, {version.size:,} bytes, "
                f"sha256 {version.digest[:12]}{note}",
                style="dim",
            )
        )
    return [*lines, Text("")]


def passages(hits: Sequence[KnowledgeHit], query: str) -> list[RenderableType]:
    """What a search found, with source, version and reason."""
    shown: list[RenderableType] = []
    for hit in hits:
        chunk = hit.chunk
        place = ", ".join(part for part in (chunk.place, chunk.heading) if part)
        head = Text(clean(_home_short(chunk.path)), style="bold")
        head.append(f"  {clean(place)}" if place else "", style="not bold")
        if not hit.current:
            head.append("  (past version)", style="not bold dim")
        body = Text("\n".join(f"    {line}" for line in _best_lines(clean(chunk.text).split("\n"), query)))
        why = f"  {hit.reason}; {chunk.domain}, {chunk.document}, added {chunk.at.astimezone():%Y-%m-%d}"
        shown += [head, Text(clean(why), style="dim"), body, Text("")]
    return shown[:-1]


def _best_lines(lines: list[str], query: str) -> list[str]:
    """As many lines as are shown of a passage: those with most words of the query."""
    last = max(0, len(lines) - _LINES)
    # of equals the first
    start = max(range(last + 1), key=lambda at: (_shared(lines[at : at + _LINES], query), -at))
    shown = lines[start : start + _LINES]
    return [*(["…"] if start else []), *shown, *(["…"] if start < last else [])]


def _shared(lines: list[str], query: str) -> int:
    return len(shared_words(query, "\n".join(lines)))


def _home_short(path: str) -> str:
    home = str(Path.home())
    return f"~{path[len(home) :]}" if path.startswith(f"{home}/") and home != "/" else path
