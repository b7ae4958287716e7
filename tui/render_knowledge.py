"""Knowledge for a person: documents, versions, passages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from memory.episode_text import shorten
from memory.hits import shared_words
from tui.wording import clean, plural

if TYPE_CHECKING:
    from agent.knowledge_calls import KnownDocument, Source, SourcedAnswer
    from memory.knowledge import Document, KnowledgeHit

_LINES = 6
_EPISODE_CHARS = 80


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


def source_lines(answer: SourcedAnswer) -> list[str]:
    """Below an answer: the sources it rests on, or those that were nearest, and how it came about."""
    lines = []
    cited = [source for source in answer.sources if source.cited]
    if answer.sources and not cited:
        lines.append("Nearest to it, and without an answer:")
    lines += [_source_line(source) for source in cited or answer.sources]
    if cited and answer.unsupported:
        lines.append("In none of them: " + clean(" ".join(answer.unsupported)))
    if answer.cached:
        when = f"{answer.at.astimezone():%Y-%m-%d %H:%M}"
        lines.append(f"Answered {when} from the same knowledge and kept; --fresh answers anew.")
    return lines


def _source_line(source: Source) -> str:
    if source.kind == "episode":
        return f"[{source.number}] episode {source.name}: {clean(shorten(source.text, _EPISODE_CHARS))}"
    where = clean(_home_short(source.path)).replace("\n", " ")
    if source.first_line is not None and source.last_line is not None:
        last = f"-{source.last_line}" if source.last_line != source.first_line else ""
        where += f":{source.first_line}{last}"
    elif source.place:
        where += f", {source.place}"
    added = f", added {source.at.astimezone():%Y-%m-%d}" if source.at else ""
    return f"[{source.number}] {where}  {source.domain}{added}"


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
