"""Knowledge: documents that the user handed over, their versions, and the chunks that are searched.

Everything here was written by others. It is quoted with its source and never becomes a lesson.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Literal

from pydantic import Field

from memory.record import Record, now

DocumentKind = Literal["text", "markdown", "html", "pdf", "code", "json", "csv"]
Source = Literal["file", "web"]
"""Where a document came from, in the words that messages use for their provenance."""

DOMAIN = re.compile(r"[\w-]{1,64}")
"""What a domain may be called."""


class Part(Record):
    """A stretch of a document's text."""

    text: str
    """Line ends are `\\n`."""
    page: int | None = None
    """Page of the document, from 1; None where it has none."""


class DocumentText(Record):
    """What was read of one version: enough to make its chunks again."""

    kind: DocumentKind
    """How it is cut into chunks."""
    parts: tuple[Part, ...]
    """In order. Without pages there is one."""


class Version(Record):
    """One state of a document's content."""

    id: str
    """Unique, for example `ve_20260101T120000_3f9a1b2c`."""
    document: str
    """Id of its document."""
    domain: str
    """The area of knowledge it belongs to."""
    path: str
    """Absolute path of the file it was read from."""
    kind: DocumentKind
    """What was found in it."""
    digest: str
    """SHA-256 of the file, in hex."""
    text: str
    """Names what was read of it in `memory.texts.TextStore`."""
    size: int
    """Bytes of the file."""
    limit: int
    """Bytes of text that were read at most."""
    left_out: str = ""
    """What was not read, for a person; empty when everything was."""
    source: Source = "file"
    """Where it came from; never `user`: no lesson is made of it."""
    at: datetime = Field(default_factory=now)
    """When it was added, UTC."""


class Document(Record):
    """A file of one domain with all versions that were added."""

    id: str
    """The same for the same file in the same domain, for example `do_5f2c81aa90b3`."""
    domain: str
    """The area of knowledge it belongs to."""
    path: str
    """Absolute path of the file."""
    versions: tuple[Version, ...]
    """Oldest first, at least one; their numbers count from 1."""
    removed: bool = False
    """True once it was taken out of what is known now."""

    @property
    def newest(self) -> Version:
        """The version added last."""
        return self.versions[-1]


class Chunk(Record):
    """A passage of one version: what a search finds."""

    id: str
    """The version's id and the position."""
    version: str
    """Id of its version."""
    document: str
    """Id of its document."""
    domain: str
    """The area of knowledge it belongs to."""
    path: str
    """Absolute path of the file."""
    position: int
    """Place in the version, from 0."""
    of: int
    """Number of chunks in the version."""
    text: str
    """The passage as it stands in what was read."""
    heading: str = ""
    """The headings above it, outermost first, joined by ` › `."""
    page: int | None = None
    """Page of the document, from 1."""
    first_line: int | None = None
    """Line of the file where it begins, from 1; None where the text is not the file's own lines."""
    last_line: int | None = None
    """Line where it ends."""
    source: Source = "file"
    """As its version's."""
    at: datetime
    """When its version was added, UTC."""

    @property
    def place(self) -> str:
        """Where in the file, for a person: `lines 3-9`, `page 2`; empty when it cannot be said."""
        if self.page is not None:
            return f"page {self.page}"
        if self.first_line is None or self.last_line is None:
            return ""
        if self.first_line == self.last_line:
            return f"line {self.first_line}"
        return f"lines {self.first_line}-{self.last_line}"


class KnowledgeHit(Record):
    """A chunk found by a search."""

    chunk: Chunk
    """The chunk."""
    score: float
    """Higher is closer; comparable within one search only."""
    reason: str
    """Why it was found, for a person."""
    similarity: float | None
    """Cosine of the embeddings, in [-1, 1]; None when there is no vector to compare."""
    current: bool
    """False when its version was followed by another one or its document was removed."""


def document_id(domain: str, path: str) -> str:
    """The id of a file in a domain."""
    digest = hashlib.sha256(f"{domain}\0{path}".encode())
    return f"do_{digest.hexdigest()[:12]}"
