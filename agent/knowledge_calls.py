"""What a face may ask about knowledge: documents handed over, listed, shown, taken out, searched.

A part of `agent.calls.RuntimeCalls`, which says how calls travel and fail.
"""

from __future__ import annotations

from typing import Literal, Protocol

from memory.knowledge import Document, KnowledgeHit, Version
from memory.record import Record

FileState = Literal["added", "changed", "unchanged", "failed"]


class FileRead(Record):
    """What became of one file."""

    path: str
    """Absolute, or as it was given when there is no such file."""
    state: FileState
    """`added` and `changed` made a version."""
    document: str | None = None
    """Its document, if it has one."""
    version: int | None = None
    """Number of its current version."""
    chunks: int = 0
    """Chunks of a new version."""
    left_out: str = ""
    """What of it was not read."""
    reason: str = ""
    """Why it failed: what is wrong and what to do."""


class KnowledgeAdded(Record):
    """What adding files and folders came to."""

    domain: str
    """The area of knowledge they went to."""
    files: tuple[FileRead, ...]
    """Every file that was looked at, and every path that could not be used."""
    left_out: dict[str, int]
    """How many entries of the folders were passed over, by what they are."""
    gone: tuple[str, ...]
    """Files of these folders that are known and are not there any more; they stay known until removed."""


class KnownDocument(Record):
    """A document with the text of one of its versions."""

    document: Document
    """The document."""
    version: Version
    """The version that was asked for."""
    number: int
    """Its number, from 1."""
    text: str
    """What was read of it."""
    current: bool
    """Whether it is what is known now."""


class KnowledgeCalls(Protocol):
    """Knowledge as every face sees it."""

    async def knowledge_add(self, paths: tuple[str, ...], domain: str) -> KnowledgeAdded:
        """Read absolute paths of files and folders; what has not changed is not read again. One bad file
        does not keep the others out. Progress comes as events without an episode. Raises UsageError."""

    async def knowledge(self, domain: str | None = None) -> list[Document]:
        """Documents that are known now, by domain and path."""

    async def knowledge_show(
        self, name: str, folder: str, domain: str | None = None, version: int | None = None
    ) -> KnownDocument:
        """A document by id, by path (relative ones to `folder`), or by the end of its path. Raises
        UsageError."""

    async def knowledge_remove(
        self, names: tuple[str, ...], folder: str, domain: str | None = None
    ) -> list[Document]:
        """Take documents, or all below a folder, out of what is known now; versions are kept. Returns those
        it took out. Raises UsageError when a name means nothing, and takes nothing out then."""

    async def knowledge_search(
        self, text: str, limit: int = 10, domain: str | None = None, every_version: bool = False
    ) -> list[KnowledgeHit]:
        """Chunks by meaning and by words, best first; `every_version` searches what is past as well."""
