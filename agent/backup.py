"""Writing everything that a home keeps into one file, while the agent works.

A backup holds one moment, at which nothing can be journalled: the lengths of the journal's files,
`state.sqlite` and the settings are taken then (milliseconds), everything else is copied afterwards. That is
sound because the journal only grows, and because whatever it or the state names (adapters, texts, outputs)
was written before and never changes; nothing is taken away for good meanwhile. What the agent has in hand
comes as it is found: files of workspaces do, and a night that is under way is left out.

Left out too: weights, what is made again from the rest (the tables, caches), logs, and links.

The file appears whole or not at all, and only its owner may read it.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import stat
import tarfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import IO

from agent.backup_manifest import NAME, BackupFile, BackupManifest, is_safe, program_version
from agent.disk import sync, sync_folder
from agent.errors import HomeError, NightSchoolError, UsageError
from agent.home import LEFT_OUT, Home
from agent.journal import Journal
from agent.keeping_calls import BackupMade
from agent.sleep.folder import NightFolder
from memory.record import now
from memory.state import State

# most of a large home are adapters, which hardly get smaller: 5 times as fast as the default level
_LEVEL = 1
_PARTIAL = ".partial"


class Stopped(NightSchoolError):
    """A backup was told to stop."""

    def __init__(self) -> None:
        super().__init__("The backup was stopped. Nothing of it is left.")


@dataclass(frozen=True)
class _Moment:
    """The state at one moment, as far as it would change under the copy."""

    journal: dict[Path, int]
    """Bytes of each of its files."""
    fixed: dict[str, bytes]
    """Content of the files that are written again and again."""
    adapter: str | None
    digest: str
    at: datetime


@dataclass
class _Found:
    """What there is to copy."""

    files: list[tuple[str, Path]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, what: str) -> None:
        self.left_out[what] = self.left_out.get(what, 0) + 1


class Backup:
    """Writes backups of one home, in the calling thread."""

    def __init__(
        self,
        home: Home,
        journal: Journal,
        state: State,
        taking_away: threading.RLock | None = None,
        elsewhere: Sequence[Path] = (),
    ) -> None:
        """`taking_away` is held while anything goes for good; folders `elsewhere` belong to no home, even
        where they lie inside it."""
        self._home = home
        self._journal = journal
        self._state = state
        self._taking_away = taking_away or threading.RLock()
        self._elsewhere = [folder.resolve() for folder in elsewhere]

    def write(self, target: Path, replace: bool = False, stop: threading.Event | None = None) -> BackupMade:
        """Write a backup. Raises UsageError for a place where none can be, HomeError when something cannot
        be read or written, StoreError, and Stopped once `stop` is set; nothing of it is left then."""
        self._check(target, replace)
        partial = target.with_name(f".{target.name}{_PARTIAL}")
        try:
            with self._taking_away:
                moment, found = self._moment(), self._found()
                with _private(partial) as file:
                    manifest = self._write(file, moment, found, stop or threading.Event())
                    size = file.tell()
                    sync(file.fileno())
            partial.replace(target)
            sync_folder(target.parent)
        except OSError as error:
            raise _failed(target, error) from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        return BackupMade(
            path=str(target),
            bytes=size,
            files=len(manifest.files),
            adapter=manifest.adapter,
            left_out=dict(sorted(found.left_out.items())),
        )

    def _check(self, target: Path, replace: bool) -> None:
        if not target.parent.is_dir():
            raise UsageError(f"The folder {target.parent} does not exist. Make it, or choose another place.")
        if target.parent.resolve().is_relative_to(self._home.root.resolve()):
            raise UsageError(
                f"{target} lies in the home that is to be backed up. Choose a place outside of it."
            )
        if target.is_dir():
            raise UsageError(f"{target} is a folder. Name a file in it.")
        if target.exists() and not replace:
            raise UsageError(f"{target} is there already. Choose another name, or pass --replace.")

    def _moment(self) -> _Moment:
        with self._journal.held():
            return _Moment(
                journal=dict(self._journal.extent()),
                fixed={
                    self._home.state.name: self._state.copy(),
                    self._home.settings.name: _content(self._home.settings),
                },
                adapter=self._state.active,
                digest=self._state.active_digest,
                at=now(),
            )

    def _found(self) -> _Found:
        """Every file of the home but those that `_Moment` holds, by its name in the archive."""
        found = _Found()
        for entry in sorted(self._home.root.iterdir()):
            name = entry.name
            if name in LEFT_OUT or name.startswith(self._home.state.name) or _is_unfinished(name):
                continue
            # a part of the home may lie on another disk, behind a link
            if entry.is_dir():
                self._look_into(entry, name, found)
            elif entry.is_file() and entry != self._home.settings:
                found.files.append((name, entry))
        return found

    def _look_into(self, folder: Path, name: str, found: _Found) -> None:
        if folder.resolve() in self._elsewhere or self._is_training(folder):
            return
        if folder.parent == self._home.nights and not NightFolder(folder.parent, folder.name).is_over:
            found.leave_out("nights under way")
            return
        try:
            entries = [(entry, entry.lstat().st_mode) for entry in sorted(folder.iterdir())]
        except FileNotFoundError:
            # tidied away just now; what is left of it is not what anybody wants to keep
            return
        except PermissionError:
            if not _in_workspace(name):
                raise
            found.leave_out("folders that may not be read")
            return
        found.folders.append(name)
        for entry, mode in entries:
            path = f"{name}/{entry.name}"
            if _is_unfinished(entry.name) and not _in_workspace(path):
                continue
            if stat.S_ISLNK(mode):
                found.leave_out("links")
            elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                found.leave_out("sockets, pipes and devices")
            elif not is_safe(path):
                found.leave_out("names that are no text")
            elif stat.S_ISDIR(mode):
                self._look_into(entry, path, found)
            else:
                found.files.append((path, entry))

    def _is_training(self, folder: Path) -> bool:
        """Whether it holds what a night trained with; what came of that is an adapter."""
        return folder == NightFolder(self._home.nights, folder.parent.name).train

    def _write(
        self, file: IO[bytes], moment: _Moment, found: _Found, stop: threading.Event
    ) -> BackupManifest:
        with (
            gzip.GzipFile("", "wb", _LEVEL, file) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
        ):
            writer = _Writer(archive, stop)
            for name in found.folders:
                writer.folder(name)
            for name, content in moment.fixed.items():
                if content or name != self._home.settings.name:
                    writer.add(name, BytesIO(content), len(content), modified=int(moment.at.timestamp()))
            for name, path in found.files:
                self._copy(name, path, moment, writer, found)
            manifest = BackupManifest(
                nightschool=program_version(),
                made_at=moment.at,
                adapter=moment.adapter,
                adapter_digest=moment.digest,
                files=tuple(writer.files),
                folders=tuple(found.folders),
            )
            content = manifest.model_dump_json(indent=1).encode()
            writer.add(NAME, BytesIO(content), len(content))
        return manifest

    def _copy(self, name: str, path: Path, moment: _Moment, writer: _Writer, found: _Found) -> None:
        is_journal = path.parent == self._home.journal and path.suffix == ".jsonl"
        if is_journal and path not in moment.journal:
            # begun since
            return
        try:
            content = path.open("rb")
        except FileNotFoundError:
            if is_journal:
                raise
            # tidied away since, as a task does it in its workspace
            return
        except PermissionError:
            if not _in_workspace(name):
                raise
            found.leave_out("files that may not be read")
            return
        with content:
            about = os.fstat(content.fileno())
            size = moment.journal.get(path, about.st_size)
            writer.add(name, content, size, about.st_mode, int(about.st_mtime))


class _Writer:
    """Puts files into an archive and keeps what the manifest says of them."""

    def __init__(self, archive: tarfile.TarFile, stop: threading.Event) -> None:
        self.files: list[BackupFile] = []
        self._archive = archive
        self._stop = stop

    def folder(self, name: str) -> None:
        """A folder, empty so far."""
        about = tarfile.TarInfo(name)
        about.type, about.mode = tarfile.DIRTYPE, 0o700
        self._archive.addfile(about)

    def add(self, name: str, content: IO[bytes], size: int, mode: int = 0, modified: int = 0) -> None:
        """A file; `size` bytes of it. Raises HomeError when it has fewer."""
        about = tarfile.TarInfo(name)
        about.size, about.mtime = size, modified
        about.mode = 0o600 | (mode & stat.S_IXUSR)
        watched = _Watched(content, self._stop)
        self._archive.addfile(about, watched)  # type: ignore[arg-type]
        if watched.count != size:
            raise HomeError(f"{name} became shorter while it was copied. Back up again.")
        self.files.append(BackupFile(path=name, size=size, sha256=watched.digest.hexdigest()))


class _Watched:
    """A file that is read once: takes its digest, and fills up what is not there, which is said later."""

    def __init__(self, content: IO[bytes], stop: threading.Event) -> None:
        self.digest = hashlib.sha256()
        self.count = 0
        self._content = content
        self._stop = stop

    def read(self, size: int) -> bytes:
        """So many bytes."""
        if self._stop.is_set():
            raise Stopped
        data = self._content.read(size)
        self.digest.update(data)
        self.count += len(data)
        return data.ljust(size, b"\0")


def _private(path: Path) -> IO[bytes]:
    """A new file that only its owner may read, in place of what a crash left there."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return os.fdopen(handle, "wb")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _is_unfinished(name: str) -> bool:
    """What a crash leaves of a file or folder that was being written or removed."""
    return name.startswith(".") and name.endswith((".new", ".old"))


def _in_workspace(path: str) -> bool:
    return path.startswith("workspaces/")


def _failed(target: Path, error: OSError) -> HomeError:
    fact = (error.strerror or str(error)).lower()
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HomeError(
            f"Cannot write the backup {target}: {fact}. Free some space, or choose another place."
        )
    where = str(error.filename or target)
    if where.endswith(_PARTIAL):
        return HomeError(f"Cannot write the backup {target}: {fact}. Choose another place.")
    return HomeError(f"Cannot back up {where}: {fact}. Mend that, then back up again.")
