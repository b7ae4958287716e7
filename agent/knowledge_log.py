"""From events to documents, and the table of chunks brought to what they say.

The journal says which versions of which files count; the text store holds what was read of each. Chunks are
made from those two at any time: after a rollback, a crash, or by `nightschool episodes rebuild`.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Sequence

from agent.events import Event, KnowledgeChanged
from agent.journal import Journal
from agent.reading.errors import Unreadable
from agent.reading.pieces import Piece
from agent.reading.process import ReadingProcess
from memory.chunks import ChunkStore
from memory.errors import StoreError
from memory.knowledge import Chunk, Document, Version
from memory.texts import TextStore

_log = logging.getLogger(__name__)
# chunks that are embedded and written at once: 5 seconds of work on two cores
BATCH = 256


class KnowledgeLog:
    """What is known in one home. Safe to use from several threads."""

    def __init__(
        self,
        journal: Journal,
        texts: TextStore,
        chunks: ChunkStore,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`changed` is called whenever what is known may have become something else."""
        self._journal = journal
        self._texts = texts
        self._chunks = chunks
        self._changed = changed
        self._folding = threading.Lock()
        self._folded: list[int] = []
        self._documents: dict[str, Document] = {}
        self.lock = threading.RLock()
        """Held while the table and the journal are changed together."""

    def documents(self) -> dict[str, Document]:
        """Every document with the versions that count, by id, removed ones included."""
        with self._folding:
            seqs = self._journal.knowledge_seqs
            if seqs[: len(self._folded)] != self._folded:
                # a rollback took something away
                self._folded, self._documents = [], {}
            new = seqs[len(self._folded) :]
            self._documents = fold(self._journal.read_at(new), self._documents)
            self._folded = seqs
            return dict(self._documents)

    def commit(self, event: KnowledgeChanged) -> Event:
        """Journal a change whose chunks are in the table, and search what it says. Raises HomeError."""
        with self.lock:
            kept = self._journal.append(event)
            self._changed()
            self._chunks.set_current(self._current())
            return kept

    def state(self) -> str:
        """Names what is known now: another name after anything was added, changed or taken out, the same
        one again after that is taken back."""
        return hashlib.sha256("\n".join(sorted(self._current())).encode()).hexdigest()

    def follow(self) -> None:
        """Make the table hold exactly the chunks of the versions that count. Cheap when nothing differs.
        Raises StoreError."""
        with self.lock:
            self._changed()
            self._follow()

    def _follow(self) -> None:
        documents = self.documents()
        if not documents and not self._chunks.exists:
            return
        wanted = {version.id: version for found in documents.values() for version in found.versions}
        there = self._chunks.versions()
        self._chunks.drop([name for name, rows in there.items() if name not in wanted or not rows.whole])
        whole = {name for name, rows in there.items() if rows.whole}
        self._put([version for name, version in wanted.items() if name not in whole])
        self._chunks.set_current(self._current())

    def rebuild(self) -> None:
        """Make the table anew from the journal and the texts. Raises StoreError."""
        with self.lock:
            documents = self.documents()
            if not documents and not self._chunks.exists:
                return
            versions = [version for found in documents.values() for version in found.versions]
            with ReadingProcess() as process:
                self._chunks.rebuild(
                    (chunk, 0) for version in versions for chunk in self._chunks_again(version, process)
                )
            self._chunks.set_current(self._current())

    def embed_missing(self) -> None:
        """Make the vectors that rows lack. Raises StoreError."""
        self._chunks.embed_missing()

    def _current(self) -> set[str]:
        return {found.newest.id for found in self.documents().values() if not found.removed}

    def _put(self, versions: Sequence[Version]) -> None:
        with ReadingProcess() as process:
            for version in versions:
                chunks = self._chunks_again(version, process)
                for start in range(0, len(chunks), BATCH):
                    self._chunks.put_all(chunks[start : start + BATCH])

    def _chunks_again(self, version: Version, process: ReadingProcess) -> list[Chunk]:
        try:
            return chunks_of(version, process.cut(self._texts.get(version.text)))
        except (StoreError, Unreadable) as error:
            # the other documents are known all the same
            _log.warning("%s is not searched: %s", version.path, error)
            return []


def fold(events: Iterable[Event], before: dict[str, Document] | None = None) -> dict[str, Document]:
    """Documents as these events leave them, in the order in which they were first added."""
    documents = dict(before or {})
    for event in events:
        if not isinstance(event, KnowledgeChanged):
            continue
        for version in event.kept:
            old = documents.get(version.document)
            documents[version.document] = Document(
                id=version.document,
                domain=version.domain,
                path=version.path,
                versions=(*(old.versions if old else ()), version),
            )
        for name in event.removed:
            if name in documents:
                documents[name] = documents[name].model_copy(update={"removed": True})
    return documents


def chunks_of(version: Version, pieces: Sequence[Piece]) -> list[Chunk]:
    """The chunks that a version's pieces make."""
    return [
        Chunk(
            id=f"{version.id}-{position}",
            version=version.id,
            document=version.document,
            domain=version.domain,
            path=version.path,
            position=position,
            of=len(pieces),
            source=version.source,
            at=version.at,
            **piece.model_dump(),
        )
        for position, piece in enumerate(pieces)
    ]
