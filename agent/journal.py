"""The journal: every durable event as one JSON line, on disk before anyone else sees it.

What it promises: when `append` returns, the event survives a crash and a power cut; a failed `append`
leaves nothing behind that could harm the next one; a line that a crash cut short is moved aside when the
journal is next opened, and no finished line goes with it. Damage anywhere is noticed by checksum: it is
reported with file and line and skipped when reading, and its bytes are kept.

After a rollback only the positions that it names, and later ones, count: everything that reads here sees
those alone, unless it asks for `everything`. `purge` is the one exception to append-only.

What it does not promise: protection against two writers. The owner of the home writes; anyone may read
(`writable=False`), also while it is being written.

Files are named by the first sequence number they may hold (`events-0000000001.jsonl`) and rotate by size.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from pydantic import ValidationError

from agent.disk import sync, sync_folder, write_all
from agent.errors import HomeError
from agent.events import Event, RolledBack, is_durable, parse_event
from agent.history import Range
from agent.journal_index import Index, Place, View
from agent.journal_line import Head, dump, head, seal, unseal
from agent.journal_purge import Change, mentions, purge_file, remove_leftovers

_log = logging.getLogger(__name__)

_FILE_BYTES = 64 * 1024**2
_FILE_NAME = re.compile(r"events-(\d{10,})\.jsonl")


@dataclass(frozen=True)
class Damage:
    """One place where the journal could not be read as it was written."""

    file: Path
    """The journal file."""
    line: int
    """Line number, from 1."""
    reason: str
    """What is wrong with it."""
    kept: Path
    """Where its bytes are now: the same file, or the file a torn last line was moved to."""

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}; the bytes are kept in {self.kept}"


@dataclass(frozen=True)
class _Tail:
    """What a crash left at the end of the newest file: a whole event without newline, or part of one."""

    file: Path
    offset: int
    line: int
    content: bytes
    head: Head | None


class Journal:
    """The append-only record of a home. Safe to use from several threads.

    Opening reads every file once, to check it and to index it by episode. Raises HomeError when the
    folder cannot be read.
    """

    def __init__(self, folder: Path, *, writable: bool = True, file_bytes: int = _FILE_BYTES) -> None:
        self.folder = folder
        self._writable = writable
        self._file_bytes = file_bytes
        self._lock = threading.RLock()
        self._files: list[Path] = []
        self._index = Index()
        self._damage: list[Damage] = []
        self._next = 1
        self._purges = 0
        """Counts rewritings of the files: lines read before one lie elsewhere after it."""
        self._tail: _Tail | None = None
        self._handle: int | None = None
        self._end = 0
        """Bytes of the newest file up to the end of its last whole line."""
        self._overhang = False
        """True while bytes of a failed append may lie behind `_end`."""
        try:
            self._open()
        except OSError as error:
            raise HomeError(
                f"Cannot read the journal in {folder}: {error.strerror}. Choose another home with --home."
            ) from error

    def __len__(self) -> int:
        """Number of readable events, those that do not count included."""
        return len(self._index)

    @property
    def last_seq(self) -> int:
        """Sequence number of the newest event; 0 when there is none."""
        return self._index.last

    @property
    def history(self) -> tuple[Range, ...]:
        """The positions that count now, as ranges with both ends included: what a snapshot names."""
        with self._lock:
            return self._index.history.ranges(self._index.last)

    @property
    def lesson_seqs(self) -> dict[str, int]:
        """For each lesson the sequence number of its newest event."""
        with self._lock:
            return dict(self._index.view.lessons)

    @property
    def knowledge_seqs(self) -> list[int]:
        """The events that changed what is known, oldest first."""
        with self._lock:
            return list(self._index.view.knowledge)

    @property
    def damage(self) -> tuple[Damage, ...]:
        """Everything found unreadable so far, in the order it was found."""
        return tuple(self._damage)

    def append(self, event: Event) -> Event:
        """Keep an event for good and return it as it will be read back, with its `seq`.

        Raises HomeError when it cannot be written (disk full, read-only); nothing of it is kept then.
        """
        if not is_durable(event):
            raise ValueError(f"a passing event ({event.kind}) does not belong in the journal")
        with self._lock:
            try:
                handle = self._ready()
                body = dump(event.model_copy(update={"seq": self._next}))
                kept = parse_event(body)
                line = seal(body)
                self._write(handle, line)
            except OSError as error:
                raise HomeError(
                    f"Cannot write the journal in {self.folder}: {error.strerror}. "
                    "Free some space, or choose another home with --home."
                ) from error
            place = Place(len(self._files) - 1, self._end - len(line), len(line) - 1)
            found = head(body)
            assert found is not None
            self._add(found, place, body)
            return kept

    def read(
        self, after: int = 0, episode_id: str | None = None, *, everything: bool = False
    ) -> Iterator[Event]:
        """Events with seq > `after`, oldest first, of one episode or of all.

        `everything` adds those that a rollback hid. Covers what was appended before the call. Damaged
        lines are added to `damage` and left out. Raises HomeError when a file cannot be read.
        """
        with self._lock:
            seqs: Sequence[int]
            if episode_id is None:
                seqs = self._index.seqs(after, everything)
            else:
                view = self._index.view_of([(1, self._index.last)]) if everything else self._index.view
                seqs = [seq for seq in view.episodes.get(episode_id, ()) if seq > after]
        return self._read(seqs)

    def read_at(self, seqs: Iterable[int]) -> Iterator[Event]:
        """The events at these positions, in the order given; what is not there is left out."""
        return self._read(list(seqs))

    def mentioning(self, names: Sequence[str]) -> Iterator[Event]:
        """Every event that mentions one of these ids, those that do not count included, oldest first."""
        with self._lock:
            files = list(self._files)
        try:
            for file in files:
                yield from mentions(file, names)
        except OSError as error:
            raise HomeError(f"Cannot read the journal in {self.folder}: {error.strerror}.") from error

    def view_at(self, history: Sequence[Range]) -> View:
        """Which episodes and lessons there are when only these positions count."""
        with self._lock:
            return self._index.view_of(history)

    def episode_ids(self) -> list[str]:
        """Every episode that has events, oldest first."""
        with self._lock:
            return list(self._index.view.newest)

    def episode_seq(self, episode_id: str) -> int:
        """Sequence number of the newest event that shapes an episode, lessons made from it left aside;
        0 when it has none."""
        with self._lock:
            return self._index.view.newest.get(episode_id, 0)

    def interrupted(self) -> list[str]:
        """Episodes whose last accepted message has no `run_finished` yet: running now, or cut off."""
        with self._lock:
            return list(self._index.view.unfinished)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is appended by another thread meanwhile; for a few quick steps."""
        with self._lock:
            yield

    def extent(self) -> list[tuple[Path, int]]:
        """The journal's files with the bytes that are written of each: what a copy of it takes. Raises
        HomeError."""
        with self._lock:
            try:
                sizes = [(file, file.stat().st_size) for file in self._files]
            except OSError as error:
                raise HomeError(f"Cannot read the journal in {self.folder}: {error.strerror}.") from error
            if sizes and self._overhang:
                # bytes of an append that failed lie behind
                sizes[-1] = (sizes[-1][0], self._end)
            return sizes

    def running(self) -> list[str]:
        """Those of `interrupted` that were accepted since the last rollback: one that a rollback brought
        back unfinished is nobody's work any more."""
        with self._lock:
            since = self._index.history.since
            return [name for name, seq in self._index.view.unfinished.items() if seq >= since]

    def purge(self, names: Sequence[str], change: Change) -> None:
        """Rewrite the events that mention one of these ids: `change` gives what stays of an event, None
        takes it out whole. Events keep their positions.

        A crash leaves some files rewritten and others not; the same call again does the rest. Raises
        HomeError.
        """
        with self._lock:
            try:
                self._ready()
                self.close()
                try:
                    for file in self._files:
                        purge_file(file, names, change)
                    remove_leftovers(self.folder, names)
                finally:
                    self._purges += 1
                    self._index_anew()
            except OSError as error:
                raise HomeError(
                    f"Cannot rewrite the journal in {self.folder}: {error.strerror}. "
                    "Free some space, then forget again."
                ) from error

    def close(self) -> None:
        """Let go of the file. Appending again opens it again."""
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    def _read(self, seqs: Iterable[int]) -> Iterator[Event]:
        purges, file, lines = -1, -1, None
        try:
            for seq in seqs:
                with self._lock:
                    place = self._index.place(seq)
                    if place is None:
                        continue
                    if lines is None or purges != self._purges or file != place.file:
                        if lines is not None:
                            lines.close()
                        purges, file = self._purges, place.file
                        lines = self._files[file].open("rb")
                    line = _line(lines, place)
                    path = self._files[file]
                event = self._parse(line, path, place)
                if event is not None:
                    yield event
        except OSError as error:
            raise HomeError(f"Cannot read the journal in {self.folder}: {error.strerror}.") from error
        finally:
            if lines is not None:
                lines.close()

    def _parse(self, line: bytes, file: Path, place: Place) -> Event | None:
        body = unseal(line)
        try:
            if body is not None:
                return parse_event(body)
            reason = "its checksum does not match"
        except ValidationError as error:
            reason = f"not an event this version knows ({error.errors()[0]['msg'].lower()})"
        with file.open("rb") as content:
            number = content.read(place.offset).count(b"\n") + 1
        self._report(Damage(file, number, reason, file))
        return None

    def _index_anew(self) -> None:
        """Read the files again; when that fails, what was known of them stays."""
        before = self._index, self._files, self._damage, self._next
        self._index, self._damage = Index(), []
        try:
            self._open()
        except OSError:
            self._index, self._files, self._damage, self._next = before
            raise

    def _report(self, found: Damage) -> None:
        if found not in self._damage:
            self._damage.append(found)
            _log.warning("damaged journal: %s", found)

    def _open(self) -> None:
        if not self.folder.is_dir():
            return
        numbered = {
            int(match[1]): path
            for path in self.folder.iterdir()
            if (match := _FILE_NAME.fullmatch(path.name)) is not None
        }
        self._files = [numbered[number] for number in sorted(numbered)]
        for place, number in enumerate(sorted(numbered)):
            self._next = max(self._next, number)
            self._scan(place)
        if self._tail is not None and self._writable:
            try:
                self._mend(self._tail)
            except OSError as error:
                # a read-only home can still be read; `append` tries again before it writes
                reason = f"a crash cut it short, and it cannot be moved aside: {error.strerror}"
                self._report(Damage(self._tail.file, self._tail.line, reason, self._tail.file))

    def _scan(self, place: int) -> None:
        file = self._files[place]
        offset = number = 0
        with file.open("rb") as lines:
            for line in lines:
                number += 1
                content = line.removesuffix(b"\n")
                body = unseal(content)
                found = head(body) if body is not None else None
                in_order = found is not None and found.seq > self._index.last
                if content == line and place == len(self._files) - 1:
                    self._tail = _Tail(file, offset, number, content, found if in_order else None)
                elif found is not None and in_order:
                    assert body is not None
                    self._add(found, Place(place, offset, len(content)), body)
                elif found is not None:
                    self._report(Damage(file, number, f"its seq {found.seq} is out of order", file))
                else:
                    reason = "its checksum does not match" if body is None else "it is not an event"
                    self._report(Damage(file, number, reason, file))
                    # the lost event may have had this number, and someone may have seen it
                    self._next += 1
                offset += len(line)

    def _mend(self, tail: _Tail) -> None:
        """End the newest file with a whole line again. Raises OSError and can be tried again."""
        handle = os.open(tail.file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            if tail.head is not None:
                # the crash came between the event's last byte and its newline: keep it
                write_all(handle, b"\n")
                sync(handle)
                body = unseal(tail.content)
                assert body is not None
                self._add(tail.head, Place(len(self._files) - 1, tail.offset, len(tail.content)), body)
            else:
                kept = self._set_aside(tail)
                os.ftruncate(handle, tail.offset)
                sync(handle)
                self._report(Damage(tail.file, tail.line, "a crash cut it short", kept))
        finally:
            os.close(handle)
        self._tail = None

    def _set_aside(self, tail: _Tail) -> Path:
        count = 1
        kept = tail.file.with_name(f"{tail.file.name}.torn-{tail.offset}")
        while kept.exists() and kept.read_bytes() != tail.content:
            count += 1
            kept = tail.file.with_name(f"{tail.file.name}.torn-{tail.offset}-{count}")
        handle = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_all(handle, tail.content)
            sync(handle)
        finally:
            os.close(handle)
        sync_folder(self.folder)
        return kept

    def _add(self, found: Head, place: Place, body: bytes) -> None:
        self._index.add(found, place)
        self._next = max(self._next, found.seq + 1)
        if found.kind == "rolled_back":
            self._index.roll_back(found.seq, _rolled_back(body).history)

    def _write(self, handle: int, line: bytes) -> None:
        # set first and cleared last: whatever comes between, Ctrl+C too, what was written is taken back
        self._overhang = True
        try:
            write_all(handle, line)
            sync(handle)
            self._end += len(line)
            self._overhang = False
        finally:
            if self._overhang:
                self._take_back(handle)

    def _take_back(self, handle: int) -> None:
        try:
            os.ftruncate(handle, self._end)
            self._overhang = False
        except OSError as error:
            _log.warning("cannot take back a failed write in %s: %s", self.folder, error.strerror)

    def _ready(self) -> int:
        """The newest file, open, ending after a whole line, and not over its size."""
        if not self._writable:
            raise PermissionError(1, "it was opened for reading only")
        if self._tail is not None:
            self._mend(self._tail)
        if self._handle is None and self._files:
            self._handle = os.open(self._files[-1], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            if not self._overhang:
                self._end = os.fstat(self._handle).st_size
        if self._handle is not None and self._overhang:
            os.ftruncate(self._handle, self._end)
            self._overhang = False
        if self._handle is None or self._end >= self._file_bytes:
            self._start_file()
        assert self._handle is not None
        return self._handle

    def _start_file(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self.folder / f"events-{self._next:010d}.jsonl"
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            sync_folder(self.folder)
            sync_folder(self.folder.parent)
        except OSError:
            os.close(handle)
            raise
        self.close()
        self._handle, self._end = handle, os.fstat(handle).st_size
        if file not in self._files:
            self._files.append(file)


def _rolled_back(body: bytes) -> RolledBack:
    try:
        return RolledBack.model_validate_json(body)
    except ValidationError as error:
        # to go on without it would bring back what was rolled back
        raise HomeError(
            "The journal has a rollback that this version of Night School does not know. Upgrade, or choose "
            "another home with --home."
        ) from error


def _line(lines: BufferedReader, place: Place) -> bytes:
    lines.seek(place.offset)
    return lines.read(place.length)
