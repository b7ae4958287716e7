"""Adding documents to what is known, and finding them again, in the calling thread.

A file is read and cut in a process of its own, its text is stored, its chunks are embedded and put, and only
then is its version journalled: what is cut short before that leaves nothing behind, and what comes after can
be made again from the text.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import NightSchoolError, UsageError
from agent.events import Event, KnowledgeChanged
from agent.knowledge_calls import FileRead, FileState, KnowledgeAdded, KnownDocument
from agent.knowledge_log import BATCH, KnowledgeLog, chunks_of
from agent.reading.decoding import looks_like_text
from agent.reading.errors import Unreadable
from agent.reading.files import Listing, digest_of, list_files, why
from agent.reading.kinds import kind_of
from agent.reading.pieces import Reading
from agent.reading.process import ReadingProcess
from memory.chunks import ChunkStore
from memory.errors import StoreError
from memory.knowledge import DOMAIN, Chunk, Document, KnowledgeHit, Version, document_id
from memory.record import now
from memory.texts import TextStore

_log = logging.getLogger(__name__)
# files of one journal event: more would make a crash cost more
_FILES = 64
# chunks between two looks at whether to stop: a second of work on two cores
_SLICE = 64
_MIB = 1024**2
Tell = Callable[[str, int, int], None]
"""Told what is being read, how many files are done, and of how many."""


class Stopped(NightSchoolError):
    """Adding was told to stop."""

    def __init__(self) -> None:
        super().__init__("Adding was stopped. What was added is kept; add the same again to go on.")


@dataclass
class _Batch:
    """Versions that become known together."""

    versions: list[Version] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    files: list[FileRead] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return len(self.chunks) >= BATCH or len(self.versions) >= _FILES


class Library:
    """The documents of one home."""

    def __init__(
        self,
        home: Path,
        log: KnowledgeLog,
        texts: TextStore,
        chunks: ChunkStore,
        file_mb: int,
        deliver: Callable[[Event], None] = lambda event: None,
    ) -> None:
        """`file_mb`: MiB of text read of one file; `deliver` hands on what was journalled, from any
        thread."""
        self._home = home
        self._log = log
        self._texts = texts
        self._chunks = chunks
        self._limit = file_mb * _MIB
        self._deliver = deliver

    def add(
        self,
        paths: tuple[str, ...],
        domain: str,
        tell: Tell = lambda path, done, total: None,
        going_on: Callable[[], None] = lambda: None,
    ) -> KnowledgeAdded:
        """Read what is new or has changed. `going_on` is called all the while and may raise Stopped.

        Raises UsageError, StoreError and HomeError; what was journalled before stays.
        """
        check_domain(domain)
        listing = list_files(paths, self._home)
        done = [FileRead(path=path, state="failed", reason=reason) for path, reason in listing.problems]
        batch = _Batch()
        with ReadingProcess() as process:
            for count, path in enumerate(listing.files):
                going_on()
                tell(str(path), count, len(listing.files))
                if path not in listing.named and kind_of(path) is None and not _is_text(path):
                    listing.left_out["of other kinds"] += 1
                    continue
                done += self._read(path, domain, process, going_on, batch)
                if batch.full:
                    done += self._keep(batch, tell, count + 1, len(listing.files), going_on)
                    batch = _Batch()
            done += self._keep(batch, tell, len(listing.files), len(listing.files), going_on)
        if sum(file.chunks for file in done) >= _SLICE:
            self._tidy()
        return KnowledgeAdded(
            domain=domain,
            files=tuple(sorted(done, key=lambda file: file.path)),
            left_out=dict(listing.left_out.most_common()),
            gone=tuple(self._gone(domain, listing)),
        )

    def documents(self, domain: str | None = None) -> list[Document]:
        """Documents that are known now, by domain and path."""
        found = (document for document in self._log.documents().values() if not document.removed)
        fitting = [document for document in found if domain in (None, document.domain)]
        return sorted(fitting, key=lambda document: (document.domain, document.path))

    def show(self, name: str, folder: str, domain: str | None, number: int | None) -> KnownDocument:
        """One version of a document that is or was known. Raises UsageError and StoreError."""
        known = [found for found in self._log.documents().values() if domain in (None, found.domain)]
        document = _the_one(name, folder, known)
        last = len(document.versions)
        if number is not None and not 1 <= number <= last:
            raise UsageError(f"{document.path} has versions 1 to {last}, not {number}.")
        version = document.versions[(number or last) - 1]
        text = self._texts.get(version.text)
        return KnownDocument(
            document=document,
            version=version,
            number=number or last,
            text="\n".join(part.text for part in text.parts),
            current=version.id == document.newest.id and not document.removed,
        )

    def remove(self, names: tuple[str, ...], folder: str, domain: str | None) -> list[Document]:
        """Take documents out of what is known now. Raises UsageError, StoreError and HomeError."""
        known = self.documents(domain)
        going: dict[str, Document] = {}
        for name in names:
            top = f"{_absolute(name, folder)}/".replace("//", "/")
            below = [document for document in known if document.path.startswith(top)]
            for document in below or [_the_one(name, folder, known)]:
                going[document.id] = document
        if going:
            self._deliver(self._log.commit(KnowledgeChanged(removed=tuple(going))))
        return list(going.values())

    def search(self, text: str, limit: int, domain: str | None, every_version: bool) -> list[KnowledgeHit]:
        """Best first. Raises UsageError and StoreError."""
        if not text.strip():
            raise UsageError("There is nothing to search for. Give some words.")
        return self._chunks.search(text, limit, domain, every_version)

    def domains(self) -> list[str]:
        """The areas that anything is known in now."""
        return sorted({document.domain for document in self.documents()})

    def find(self, text: str, limit: int, domains: Sequence[str]) -> list[KnowledgeHit]:
        """What is known now of these domains, best first. Raises StoreError."""
        return self._chunks.search(text, limit, tuple(domains))

    def likeness(self, text: str) -> dict[str, float]:
        """How near a text is to each domain. Raises StoreError."""
        return self._chunks.likeness(text)

    def _read(
        self,
        path: Path,
        domain: str,
        process: ReadingProcess,
        going_on: Callable[[], None],
        batch: _Batch,
    ) -> list[FileRead]:
        """Put a file that is new or has changed into the batch; any other is done with at once."""
        name = document_id(domain, str(path))
        before = self._log.documents().get(name)
        try:
            if before is not None and not before.removed and before.newest.text in self._texts:
                cut = before.newest.left_out and before.newest.limit < self._limit
                if not cut and digest_of(path, going_on)[0] == before.newest.digest:
                    return [_outcome(path, "unchanged", before)]
            reading = process.read(path, self._limit, going_on)
        except Unreadable as error:
            return [_outcome(path, "failed", before, reason=str(error))]
        version = self._version(path, domain, name, reading)
        chunks = chunks_of(version, reading.pieces)
        batch.versions.append(version)
        batch.chunks += chunks
        batch.files.append(
            FileRead(
                path=str(path),
                state="added" if before is None or before.removed else "changed",
                document=name,
                version=len(before.versions) + 1 if before else 1,
                chunks=len(chunks),
                left_out=reading.left_out,
            )
        )
        return []

    def _version(self, path: Path, domain: str, document: str, reading: Reading) -> Version:
        at = now()
        return Version(
            id=f"ve_{at:%Y%m%dT%H%M%S}_{uuid.uuid4().hex[:8]}",
            document=document,
            domain=domain,
            path=str(path),
            kind=reading.text.kind,
            digest=reading.digest,
            text=self._texts.put(reading.text),
            size=reading.size,
            limit=self._limit,
            left_out=reading.left_out,
            at=at,
        )

    def _keep(
        self, batch: _Batch, tell: Tell, done: int, total: int, going_on: Callable[[], None]
    ) -> list[FileRead]:
        """Put the chunks, then journal the versions: from then on they are known."""
        if not batch.versions:
            return []
        with self._log.lock:
            try:
                for start in range(0, len(batch.chunks), _SLICE):
                    going_on()
                    tell(batch.chunks[start].path, done, total)
                    self._chunks.put_all(batch.chunks[start : start + _SLICE])
                self._deliver(self._log.commit(KnowledgeChanged(kept=tuple(batch.versions))))
            except BaseException:
                self._take_back(batch)
                raise
        return batch.files

    def _take_back(self, batch: _Batch) -> None:
        """Take the rows of versions that did not become known out of the table again."""
        known = {version.id for found in self._log.documents().values() for version in found.versions}
        try:
            self._chunks.drop([version.id for version in batch.versions if version.id not in known])
        except StoreError:
            # the next start does it; nothing finds them meanwhile
            return

    def _tidy(self) -> None:
        """Merge what was written: 0.3 s for 2,500 chunks, and a search takes 25 ms instead of 80."""
        try:
            self._chunks.optimize()
        except StoreError as error:
            # everything is kept; only speed suffers
            _log.warning("%s", error)

    def _gone(self, domain: str, listing: Listing) -> Iterable[str]:
        folders = {str(folder) for folder in listing.folders}
        for document in self.documents(domain):
            path = Path(document.path)
            if any(str(parent) in folders for parent in path.parents) and not path.exists():
                yield document.path


def check_domain(domain: str) -> None:
    """Raises UsageError for what cannot be a domain's name."""
    if not DOMAIN.fullmatch(domain):
        raise UsageError(f"`{domain[:80]}` cannot be a domain's name. Use up to 64 letters, digits, - and _.")


def _is_text(path: Path) -> bool:
    try:
        return looks_like_text(path)
    except (OSError, Unreadable):
        # reading it says what is wrong
        return True


def _outcome(path: Path, state: FileState, document: Document | None, reason: str = "") -> FileRead:
    return FileRead(
        path=str(path),
        state=state,
        document=document.id if document else None,
        version=len(document.versions) if document else None,
        reason=reason,
    )


def _absolute(name: str, folder: str) -> str:
    path = Path(folder, name)
    try:
        # as it was resolved when it was added; the file may be gone by now
        return str(path.resolve())
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"{name}: {why(error)}") from error


def _the_one(name: str, folder: str, known: list[Document]) -> Document:
    """The document meant by an id or a beginning of it, a path, or the end of a path."""
    path = _absolute(name, folder)
    for found in (
        [document for document in known if name in (document.id, document.path) or path == document.path],
        [document for document in known if name and document.path.endswith(f"/{name.strip('/')}")],
        [document for document in known if name.startswith("do_") and document.id.startswith(name)],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            where = ", ".join(
                f"{document.path} in {document.domain} ({document.id})" for document in found[:3]
            )
            more = ", …" if len(found) > 3 else ""
            raise UsageError(f"`{name}` fits {len(found)} documents: {where}{more}. Give an id.")
    raise UsageError(f"No document `{name}` is known. `nightschool knowledge list` shows them.")
