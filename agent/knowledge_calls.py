"""What a face may ask about knowledge: documents handed over, listed, shown, taken out, searched.

A part of `agent.calls.RuntimeCalls`, which says how calls travel and fail.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

from pydantic import Field

from memory.knowledge import Document, KnowledgeHit, Version
from memory.record import Record, now
from memory.types import SignalSummary, TokenUsage

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


class DomainScore(Record):
    """How near a question is to a domain."""

    domain: str
    """Its name."""
    score: float
    """Cosine between the question and the middle of the domain's chunks, in [-1, 1]."""


class Route(Record):
    """Where a question belongs."""

    domain: str | None
    """The nearest domain; None when the question is unlike all of them."""
    scores: tuple[DomainScore, ...]
    """Of every domain that was looked in, nearest first; empty without a sentence embedder."""
    adapter: str | None
    """What answered: the domain's own adapter where there is one, else the serving one."""


class Source(Record):
    """A quotation that the model was shown."""

    number: int
    """As in the answer: what is cited comes first."""
    kind: Literal["document", "episode"]
    """What it was taken from."""
    name: str
    """Id of the document or episode."""
    path: str = ""
    """Of the file; empty for an episode."""
    place: str = ""
    """Where in the file, for a person."""
    first_line: int | None = None
    """Line of the file where it begins, from 1; None where it has no lines of its own."""
    last_line: int | None = None
    """Line where it ends."""
    heading: str = ""
    """The headings above it."""
    domain: str = ""
    """The area of knowledge; empty for an episode."""
    version: str = ""
    """Id of the document's version."""
    at: datetime | None = None
    """When that version was added, UTC."""
    text: str
    """As it was quoted."""
    reason: str = ""
    """Why it was found."""
    similarity: float | None = None
    """Cosine between question and passage."""
    cited: bool = False
    """Whether the answer rests on it."""


class SourcedAnswer(Record):
    """An answer from what is known, with the sources that hold it."""

    answer: str
    """For a person: with the numbers of the sources, or that nothing was found."""
    found: bool
    """Whether at least one source holds what was answered."""
    said: str = ""
    """The model's own words; empty when it was not asked because nothing fits."""
    unsupported: tuple[str, ...] = ()
    """Sentences of them that no source holds."""
    sources: tuple[Source, ...] = ()
    """What the model was shown; the cited first."""
    searches: tuple[str, ...] = ()
    """What was searched for."""
    route: Route
    """Which domain it belongs to."""
    recalled: tuple[str, ...] = ()
    """Ids of the episodes among the sources."""
    signals: SignalSummary = SignalSummary()
    """Uncertainty over the model's tokens."""
    tokens: TokenUsage = TokenUsage()
    """What it cost."""
    model: str
    """Catalogue name of the model."""
    knowledge: str
    """Names the state of what is known that it was made from."""
    at: datetime = Field(default_factory=now)
    """When it was made, UTC."""
    seconds: float = 0.0
    """Wall-clock time of this call."""
    cached: bool = False
    """Whether it was made before, from the same question, model, adapter, knowledge and settings."""


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

    async def knowledge_ask(
        self, question: str, memory: bool = True, domains: tuple[str, ...] = (), fresh: bool = False
    ) -> SourcedAnswer:
        """An answer from documents, of all domains or of these, and from what is recalled where `memory`
        is; it leaves no episode. `fresh` takes none that was kept. Raises UsageError and ModelError."""
