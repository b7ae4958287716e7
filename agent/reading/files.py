"""Which files a path means, and what their bytes are: nothing is followed, nothing blocks.

In a folder, hidden files, links, and folders that programs fill (`node_modules`, `__pycache__`, …) are left
out. A link inside a folder could lead anywhere, to secrets or round in circles; one that is named itself is
followed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from agent.reading.errors import Unreadable
from agent.reading.kinds import SKIPPED_FOLDERS

_BLOCK = 1024**2


@dataclass
class Listing:
    """What some paths mean."""

    files: list[Path] = field(default_factory=list)
    """Regular files, each once, absolute, links resolved."""
    named: set[Path] = field(default_factory=set)
    """Those of them that were named themselves."""
    folders: list[Path] = field(default_factory=list)
    """Folders that were searched through."""
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Paths that cannot be used, with what is wrong."""
    left_out: Counter[str] = field(default_factory=Counter)
    """How many entries of folders were passed over, by what they are."""


def list_files(paths: tuple[str, ...], forbidden: Path) -> Listing:
    """Every file meant by these paths. Nothing in the folder `forbidden` is taken."""
    found = Listing()
    seen: set[Path] = set()
    for name in paths:
        try:
            path = _resolved(name, forbidden)
            if path.is_dir():
                inside = list(_walk(path, forbidden, found))
                found.folders.append(path)
                if not inside:
                    raise Unreadable("There is no file in this folder that could be read.")
            else:
                _check_regular(path.stat().st_mode)
                inside = [path]
                found.named.add(path)
        except Unreadable as error:
            found.problems.append((shown(Path(name)), str(error)))
            continue
        except (OSError, ValueError) as error:
            found.problems.append((shown(Path(name)), why(error)))
            continue
        found.files += [file for file in inside if file not in seen]
        seen.update(inside)
    return found


def digest_of(path: Path, going_on: Callable[[], None] = lambda: None) -> tuple[str, int]:
    """SHA-256 of a file, in hex, and its bytes. `going_on` is called for every MiB and may raise.

    Raises Unreadable.
    """
    try:
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            return digest_of_open(file, size, going_on), size
    except OSError as error:
        raise Unreadable(why(error)) from error


def digest_of_open(file: IO[bytes], size: int, going_on: Callable[[], None]) -> str:
    """SHA-256 of the first `size` bytes of an open file; one that grows meanwhile has an end so."""
    file.seek(0)
    digest = hashlib.sha256()
    while size > 0 and (block := file.read(min(_BLOCK, size))):
        going_on()
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


def opened(path: Path) -> IO[bytes]:
    """A regular file opened for reading. Raises Unreadable for anything else, or OSError."""
    # not blocking: what was a file a moment ago may be a pipe now
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    file = os.fdopen(handle, "rb")
    try:
        _check_regular(os.fstat(handle).st_mode)
    except Unreadable:
        file.close()
        raise
    return file


def why(error: Exception) -> str:
    """What is wrong with a path, in one sentence."""
    if isinstance(error, OSError):
        match error.errno:
            case errno.ENOENT:
                return "There is no such file."
            case errno.EACCES | errno.EPERM:
                return "You may not read it. Change its permissions, then add it again."
            case errno.ELOOP:
                return "It is a link that leads back to itself."
            case errno.ENAMETOOLONG:
                return "The name is too long."
        return f"It cannot be read: {(error.strerror or str(error)).lower()}."
    return "It is no path."


def _resolved(name: str, forbidden: Path) -> Path:
    if not name:
        raise Unreadable("The path is empty.")
    path = Path(name)
    # resolved strictly, for Python's own resolving takes a circle of links for a file that is not there
    path = Path(os.path.realpath(path, strict=True))
    _check_name(path)
    if path == forbidden or forbidden in path.parents:
        raise Unreadable("It belongs to Night School itself.")
    return path


def _walk(top: Path, forbidden: Path, found: Listing) -> Iterator[Path]:
    """Files below a folder: those of each folder in the order of their names, then its folders'."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            found.problems.append((shown(folder), why(error)))
            continue
        deeper = []
        for entry in inside:
            path = folder / entry.name
            if entry.name.startswith("."):
                found.left_out["hidden"] += 1
            elif entry.is_symlink():
                found.left_out["links"] += 1
            elif entry.is_dir(follow_symlinks=False):
                if entry.name in SKIPPED_FOLDERS:
                    found.left_out[f"in {entry.name}"] += 1
                elif path != forbidden:
                    deeper.append(path)
            elif not entry.is_file(follow_symlinks=False):
                found.left_out["pipes, sockets or devices"] += 1
            else:
                try:
                    _check_name(path)
                except Unreadable as error:
                    found.problems.append((shown(path), str(error)))
                    continue
                yield path
        waiting += reversed(deeper)


def shown(path: Path) -> str:
    """A path as text that can be printed and kept, whatever bytes its name has."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def _check_name(path: Path) -> None:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise Unreadable("Its name is not UTF-8. Rename it, then add it again.") from None


def _check_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kinds = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"))
        kind = next((name for test, name in kinds if test(mode)), "device")
        raise Unreadable(f"It is a {kind}, not a file.")
