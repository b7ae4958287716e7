"""Bringing a backup back, into a home that is empty.

The archive is read to its end and every file in it compared with its digest before anything is written. It
is not trusted beyond that: only regular files and folders whose names stay inside the home are taken, and no
links. Files are written beside their places and moved there once all are on the disk; until the last move a
marker keeps every other command out of the home, and restoring again starts from nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from agent.backup_manifest import FORMAT, NAME, BackupFile, BackupManifest, is_safe
from agent.disk import sync_folder, write_all
from agent.errors import HomeError, UsageError
from agent.home import VERSION, Home, OwnerLock, cannot_write, owner_pid

_BLOCK = 1 << 20
_MANIFEST_BYTES = 256 * 1024**2
# seconds since 1970 that every file system can keep
_LATEST = 2**31
# what an empty home may hold: a command looked at it, or it was being restored
_NOTHING = frozenset({"version", "lock", "host.sock"})


class DamagedBackup(HomeError):
    """The file is no backup, or not a whole one."""

    def __init__(self, archive: Path, fact: str) -> None:
        super().__init__(f"{archive} cannot be restored: {fact}. Nothing was changed; use another backup.")


def verify(archive: Path) -> BackupManifest:
    """Read a backup to its end and compare everything in it with what it says of itself. Raises UsageError
    when there is no such file, HomeError when it is damaged, holds what no backup holds, or is of a newer
    version."""
    seen: dict[str, BackupFile] = {}
    folders: list[str] = []
    content: bytes | None = None
    with _damage_named(archive):
        for member, data in _members(archive):
            if content is not None:
                raise DamagedBackup(archive, "something follows its manifest")
            if member.name == NAME:
                content = _manifest_bytes(archive, member, data)
            elif member.isdir():
                folders.append(member.name)
            else:
                seen[member.name] = _described(member.name, data)
    if content is None:
        raise DamagedBackup(archive, "it is not whole, or no backup of Night School")
    manifest = _manifest(archive, content)
    told = {file.path: file for file in manifest.files}
    if told.keys() != seen.keys() or sorted(manifest.folders) != sorted(folders):
        raise DamagedBackup(archive, "it does not hold the files that its manifest names")
    for name, file in told.items():
        if seen[name] != file:
            raise DamagedBackup(archive, f"{name} in it is damaged")
    return manifest


def restore(archive: Path, home: Home) -> BackupManifest:
    """Bring a backup back. Raises UsageError for a home that is not empty, and as `verify` does; HomeError
    when the home cannot be written."""
    refuse_unless_empty(home)
    manifest = verify(archive)
    try:
        home.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        home.root.chmod(0o700)
        lock = OwnerLock.acquire(home)
        if lock is None:
            raise HomeError(f"The home {home.root} is owned by process {owner_pid(home)}. End that process.")
        try:
            # another process may have been quicker
            refuse_unless_empty(home)
            _clear(home)
            _room_for(manifest, home)
            _unpack(archive, manifest, home)
            _move_in(home)
        finally:
            lock.release()
    except OSError as error:
        raise cannot_write(home.root, error) from error
    return manifest


def refuse_unless_empty(home: Home) -> None:
    """Raise UsageError when there is anything in the home that restoring would mix with."""
    if home.root.exists() and not home.root.is_dir():
        raise UsageError(f"{home.root} is a file. Choose another home with --home.")
    if home.restoring.exists() or not home.root.is_dir():
        return
    found = sorted(entry.name for entry in home.root.iterdir() if entry.name not in _NOTHING)
    if found:
        shown = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
        raise UsageError(
            f"The home {home.root} is not empty ({shown}). Move it away, or choose another one with --home."
        )


def _members(archive: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Every member with its content, in order; each must be a file or a folder with a safe name of its
    own. Raises UsageError and DamagedBackup. To be read under `_damage_named`."""
    names: set[str] = set()
    with _opened(archive) as packed, tarfile.open(fileobj=packed, mode="r|") as members:
        for member in members:
            if member.name in names or not (is_safe(member.name) or member.name == NAME):
                raise DamagedBackup(archive, f"it holds a file named {member.name[:100]!a}")
            names.add(member.name)
            if member.isdir():
                yield member, BytesIO()
            elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse():
                content = members.extractfile(member)
                assert content is not None
                yield member, content
            else:
                raise DamagedBackup(archive, f"{member.name[:100]!a} in it is a link or no plain file")
        while packed.read(_BLOCK):
            # the checksum is at the very end
            pass


def _opened(archive: Path) -> gzip.GzipFile:
    try:
        return gzip.GzipFile(archive, "rb")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UsageError(
            f"{archive}: {(error.strerror or str(error)).lower()}. Name a backup's file."
        ) from error
    except OSError as error:
        raise UsageError(f"Cannot read {archive}: {(error.strerror or str(error)).lower()}.") from error


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    """Whatever reading a damaged archive raises, as DamagedBackup."""
    try:
        yield
    except (gzip.BadGzipFile, tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise DamagedBackup(archive, "it is damaged, not whole, or no backup of Night School") from error


def _described(name: str, data: IO[bytes]) -> BackupFile:
    digest, size = hashlib.sha256(), 0
    while block := data.read(_BLOCK):
        digest.update(block)
        size += len(block)
    return BackupFile(path=name, size=size, sha256=digest.hexdigest())


def _manifest_bytes(archive: Path, member: tarfile.TarInfo, data: IO[bytes]) -> bytes:
    if member.isdir() or member.size > _MANIFEST_BYTES:
        raise DamagedBackup(archive, "its manifest is damaged")
    return data.read()


def _manifest(archive: Path, content: bytes) -> BackupManifest:
    try:
        about = json.loads(content)
        if about["format"] > FORMAT or about["home_version"] > VERSION:
            raise HomeError(
                f"{archive} was written by a newer Night School ({about['nightschool']}; home format "
                f"{about['home_version']}, this one knows {VERSION}). Upgrade, then restore it."
            )
        return BackupManifest.model_validate(about)
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise DamagedBackup(archive, "its manifest is damaged") from error


def _room_for(manifest: BackupManifest, home: Home) -> None:
    needed, free = sum(file.size for file in manifest.files), shutil.disk_usage(home.root).free
    if needed > free:
        raise HomeError(
            f"The backup needs {needed / 1e6:,.0f} MB in {home.root} and {free / 1e6:,.0f} MB are free. "
            "Free some space, or choose another home with --home."
        )


def _clear(home: Home) -> None:
    """Remove what a restoring that was cut off left: the home was empty before it."""
    if not home.restoring.exists():
        return
    for entry in home.root.iterdir():
        if entry not in (home.restoring, home.lock):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    # the marker last
    shutil.rmtree(home.restoring)


def _unpack(archive: Path, manifest: BackupManifest, home: Home) -> None:
    told = {file.path: file for file in manifest.files}
    home.restoring.mkdir(mode=0o700)
    sync_folder(home.root)
    try:
        with _damage_named(archive):
            for member, data in _members(archive):
                place = home.restoring / member.name
                if member.isdir():
                    place.mkdir(mode=0o700, parents=True, exist_ok=True)
                elif member.name != NAME:
                    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    if member.name not in told or _write(place, member, data) != told[member.name].sha256:
                        raise DamagedBackup(archive, "it changed while it was read")
        # one wait for all of them
        os.sync()
    except BaseException:
        shutil.rmtree(home.restoring, ignore_errors=True)
        raise


def _write(place: Path, member: tarfile.TarInfo, data: IO[bytes]) -> str:
    """Write a file; returns the digest of what was written."""
    digest = hashlib.sha256()
    mode = 0o600 | (member.mode & 0o100)
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        while block := data.read(_BLOCK):
            write_all(handle, block)
            digest.update(block)
        modified = member.mtime if 0 <= member.mtime < _LATEST else 0
        os.utime(handle, (modified, modified))
    finally:
        os.close(handle)
    return digest.hexdigest()


def _move_in(home: Home) -> None:
    for entry in sorted(home.restoring.iterdir()):
        entry.rename(home.root / entry.name)
    sync_folder(home.root)
    home.restoring.rmdir()
    sync_folder(home.root)
