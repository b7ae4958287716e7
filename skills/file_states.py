"""What stands at a path: its kind, mode, content digest or link target; and putting that back.

Nothing here follows a symlink below the workspace, neither when looking nor when putting back. Owner,
extended attributes and hard links are not part of a state; pipes, sockets and devices are seen but
cannot be put back. Nothing waits for the disk: that took 43 s for 5,000 files, file by file; whoever puts
much back calls `os.sync` once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from sandbox.paths import open_folder

Kind = Literal["absent", "file", "folder", "link", "other"]
_CHUNK = 1024**2


@dataclass(frozen=True)
class State:
    """What stood at one path at one time."""

    kind: Kind
    """`other` is a pipe, socket or device."""
    mode: int = 0
    """Permission bits; 0 for links and absent paths."""
    digest: str = ""
    """BLAKE2b of a file's content; empty when it was not read."""
    target: str = ""
    """Where a link leads, as written in it."""
    mtime_ns: int = 0
    """Modification time of a file, to put back with its content; no part of equality."""
    size: int = 0
    """Bytes of a file."""

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What makes two states different."""
        return self.kind, self.mode, self.digest, self.target

    def same_as(self, other: State) -> bool:
        """Whether both are the same to whoever reads the tree. A file that was not read equals none."""
        return self.key == other.key and not (self.kind == "file" and not self.digest)


ABSENT = State("absent")


def state_of(found: os.stat_result, target: str = "", digest: str = "") -> State:
    """The state behind a stat that did not follow links."""
    mode = found.st_mode
    if stat.S_ISREG(mode):
        return State("file", stat.S_IMODE(mode), digest, "", found.st_mtime_ns, found.st_size)
    if stat.S_ISDIR(mode):
        return State("folder", stat.S_IMODE(mode))
    if stat.S_ISLNK(mode):
        return State("link", target=target)
    return State("other", stat.S_IMODE(mode))


def look(root: Path, path: Path) -> State:
    """What stands at `path` now, content read. A file that may not be read has no digest.

    A path whose parent is missing or no folder is absent. Raises OSError (ELOOP when a parent is a link).
    """
    try:
        folder = open_folder(root, path.parent)
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    try:
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            return state_of(found, target=os.readlink(path.name, dir_fd=folder))
        if not stat.S_ISREG(found.st_mode):
            return state_of(found)
        try:
            with open_at(folder, path.name) as file:
                return state_of(
                    os.fstat(file.fileno()), digest=digest_of_chunks(iter(lambda: file.read(_CHUNK), b""))
                )
        except PermissionError:
            return state_of(found)
    except FileNotFoundError:
        return ABSENT
    finally:
        os.close(folder)


def open_at(folder: int, name: str) -> IO[bytes]:
    """A file in an opened folder, for reading; a link is an error and a pipe does not block."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.fdopen(os.open(name, flags, dir_fd=folder), "rb")


def digest_of_chunks(chunks: Iterable[bytes]) -> str:
    """The digest of content that comes in pieces."""
    digest = hashlib.blake2b(digest_size=20)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def remove(root: Path, path: Path) -> None:
    """Remove what stands at `path`: anything but a folder that still holds something (OSError)."""
    with _parent(root, path) as folder:
        if stat.S_ISDIR(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.rmdir(path.name, dir_fd=folder)
        else:
            os.unlink(path.name, dir_fd=folder)


def put_folder(root: Path, path: Path) -> None:
    """Make a folder, open to its owner only until its mode is set. Missing parents are made too."""
    with _parent(root, path, create=True) as folder:
        os.mkdir(path.name, 0o700, dir_fd=folder)


def put_link(root: Path, path: Path, target: str) -> None:
    """Put a link in place of whatever file or link is there."""
    with _parent(root, path, create=True) as folder:
        temporary = _temporary()
        os.symlink(target, temporary, dir_fd=folder)
        os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)


def put_file(root: Path, path: Path, state: State, content: Iterator[bytes]) -> None:
    """Put a file with this content, mode and modification time in place, all at once for
    whoever looks."""
    with _parent(root, path, create=True) as folder:
        temporary = _temporary()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=folder), "wb") as file:
                for chunk in content:
                    file.write(chunk)
                file.flush()
                os.fchmod(file.fileno(), state.mode)
                os.utime(file.fileno(), ns=(state.mtime_ns, state.mtime_ns))
            os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise


def set_mode(root: Path, path: Path, mode: int, add: bool = False) -> None:
    """Set (or with `add`, widen) the mode of a file or folder, never of what a link leads to."""
    with _parent(root, path) as folder:
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            return
        # a descriptor would be safer still, but a file without read permission gives none
        wanted = stat.S_IMODE(found.st_mode) | mode if add else mode
        if wanted != stat.S_IMODE(found.st_mode):
            os.chmod(path.name, wanted, dir_fd=folder)


@contextlib.contextmanager
def _parent(root: Path, path: Path, create: bool = False) -> Iterator[int]:
    folder = open_folder(root, path.parent, create=create)
    try:
        yield folder
    finally:
        os.close(folder)


def _temporary() -> str:
    return f".{secrets.token_hex(8)}.tmp"
