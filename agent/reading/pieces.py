"""What a reader hands on: the text of a file and the pieces it is cut into."""

from __future__ import annotations

from memory.knowledge import DocumentText
from memory.record import Record


class Piece(Record):
    """A passage of a text, small enough for the sentence embedder to read whole."""

    text: str
    """As it stands in the text."""
    heading: str = ""
    """The headings above it, outermost first, joined by ` › `."""
    page: int | None = None
    """Page of the document, from 1."""
    first_line: int | None = None
    """Line of the file where it begins, from 1; None where the text is not the file's own lines."""
    last_line: int | None = None
    """Line where it ends."""


class Reading(Record):
    """One file, read."""

    digest: str
    """SHA-256 of the file, in hex."""
    size: int
    """Bytes of the file."""
    text: DocumentText
    """What was read."""
    left_out: str
    """What was not, for a person; empty when everything was."""
    pieces: tuple[Piece, ...]
    """At least one."""
