"""Taking events out of the journal's files: the one exception to append-only, for forgetting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

from pydantic import ValidationError

from agent.disk import replace_file, sync_folder
from agent.events import Event, parse_event
from agent.journal_line import dump, seal, unseal

Change = Callable[[Event], Event | None]
"""What stays of an event; None takes it out whole."""


def mentions(file: Path, names: Sequence[str]) -> Iterator[Event]:
    """The readable events of a file whose line holds one of these ids. Only those lines are parsed."""
    needles = [name.encode() for name in names]
    with file.open("rb") as lines:
        for line in lines:
            event = _event(line) if any(needle in line for needle in needles) else None
            if event is not None:
                yield event


def purge_file(file: Path, names: Sequence[str], change: Change) -> None:
    """Rewrite the lines that hold one of these ids, the file whole or not at all. Raises OSError.

    Lines too damaged to be read go, for nobody could say what is in them. Every other line stays byte
    for byte.
    """
    needles = [name.encode() for name in names]
    content = file.read_bytes()
    if not any(needle in content for needle in needles):
        return
    kept: list[bytes] = []
    for line in BytesIO(content):
        stays = _changed(line, change) if any(needle in line for needle in needles) else line
        if stays is not None:
            kept.append(stays)
    if (rewritten := b"".join(kept)) != content:
        replace_file(file, rewritten)


def remove_leftovers(folder: Path, names: Sequence[str]) -> None:
    """Remove what crashes left beside the journal's files and what mentions one of these ids: torn ends of
    lines that were kept aside, and replacements that were never finished. Raises OSError."""
    for path in folder.glob(".events-*"):
        path.unlink()
    for path in folder.glob("events-*.torn-*"):
        content = path.read_bytes()
        if any(name.encode() in content for name in names):
            path.unlink()
    sync_folder(folder)


def _event(line: bytes) -> Event | None:
    """The event of a line; None of one that cannot be read."""
    body = unseal(line.removesuffix(b"\n"))
    try:
        return parse_event(body) if body is not None else None
    except ValidationError:
        return None


def _changed(line: bytes, change: Change) -> bytes | None:
    event = _event(line)
    changed = change(event) if event is not None else None
    if changed is None:
        return None
    return line if changed == event else seal(dump(changed))
