"""Reading and replacing text files of a workspace: encodings, line ends, atomic writes.

Paths must already be resolved (`sandbox.paths.resolve_inside`). Files are opened without following any
symlink, so one that is swapped in after the check fails instead of leading outside. Devices, pipes and
sockets are never opened. Hard links are not kept: a replaced file is a new one under the same name.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sandbox.paths import open_folder

_SNIFFED = 65_536
# an encoding is guessed from its non-ASCII bytes; with fewer, the commonest one is the best guess
_ENOUGH_TO_TELL = 4
_COMMONEST = "cp1252"
LARGEST = 32 * 1024**2
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class TextFileError(Exception):
    """The file is no text file that can be worked with. The message says what it is instead."""


@dataclass(frozen=True)
class TextFile:
    """A whole text file in memory."""

    text: str
    """Line ends are `\\n`."""
    encoding: str
    """A codec's name; `utf-8` for most."""
    crlf: bool = False
    """Whether the file's lines end in `\\r\\n`."""
    exact: bool = True
    """Whether writing the text back in this encoding gives the same bytes."""

    @classmethod
    def read(cls, root: Path, path: Path) -> TextFile:
        """Raises FileNotFoundError, TextFileError for what is no text or too large, OSError."""
        with opened(root, path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:
                raise TextFileError(f"it is {size:,} bytes large, and {LARGEST:,} is the most at once")
            data = file.read()
        return cls.decode(data)

    @classmethod
    def decode(cls, data: bytes) -> TextFile:
        """The text of these bytes. Raises TextFileError when they are no text."""
        encoding = encoding_of(data[:_SNIFFED], complete=len(data) <= _SNIFFED)
        raw = data.decode(encoding, errors="replace")
        crlf = "\r\n" in raw and raw.count("\r\n") == raw.count("\n")
        text = raw.replace("\r\n", "\n") if crlf else raw
        file = cls(text, encoding, crlf)
        return cls(text, encoding, crlf, exact=file.encode() == data)

    def encode(self) -> bytes:
        """The bytes of the file. Raises TextFileError when the encoding lacks a character."""
        text = self.text.replace("\n", "\r\n") if self.crlf else self.text
        try:
            return text.encode(self.encoding)
        except UnicodeEncodeError as error:
            missing = text[error.start]
            raise TextFileError(
                f"it is written in {self.encoding}, which cannot hold the character {missing!r}"
            ) from error

    @property
    def note(self) -> str:
        """What a reader should know about the encoding; empty for UTF-8."""
        if self.encoding in ("utf-8", "utf-8-sig"):
            return "" if self.exact else "[some bytes are not UTF-8 text and are shown as �]"
        return f"[not UTF-8: read as {self.encoding}]"


def encoding_of(sample: bytes, complete: bool = True) -> str:
    """The encoding of text that starts like this. Raises TextFileError for binary data."""
    for mark, name in _BOMS:
        if sample.startswith(mark):
            return name
    if b"\0" in sample:
        raise TextFileError("it is a binary file")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=complete)
    except UnicodeDecodeError:
        return _guessed(sample)
    return "utf-8"


def _guessed(sample: bytes) -> str:
    # 40 ms to import, and most files are UTF-8
    from charset_normalizer import from_bytes

    if sum(byte >= 0x80 for byte in sample) < _ENOUGH_TO_TELL:
        return _COMMONEST
    matches = from_bytes(sample)
    best = matches.best()
    if best is None:
        return "utf-8"
    # encodings that fit equally well come in alphabetical order, which says nothing
    equal = [m.encoding for m in matches if (m.chaos, m.coherence) == (best.chaos, best.coherence)]
    return _COMMONEST if _COMMONEST in equal else best.encoding


@contextmanager
def opened(root: Path, path: Path) -> Iterator[IO[bytes]]:
    """A regular file opened for reading. Raises TextFileError for anything else, or OSError."""
    try:
        folder = open_folder(root, path.parent)
    except NotADirectoryError:
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from None
    try:
        _check_regular(os.stat(path.name, dir_fd=folder, follow_symlinks=False))
        # not blocking: what was a file a moment ago may be a pipe now
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path.name, flags, dir_fd=folder)
    finally:
        os.close(folder)
    with os.fdopen(descriptor, "rb") as file:
        _check_regular(os.fstat(descriptor))
        yield file


def replace_file(root: Path, path: Path, data: bytes, keep: Callable[[Path], None]) -> bool:
    """Give a file this content, all at once or not at all; missing folders are made. True when the file
    is new. `keep` is called before the first change. Mode and owner of an existing file stay.

    Raises TextFileError for what is no regular or a read-only file, OSError.
    """
    old: os.stat_result | None = None
    with contextlib.suppress(FileNotFoundError):
        old = path.lstat()
    if old is not None:
        _check_regular(old)
        if not old.st_mode & 0o222:
            raise TextFileError("it is read-only")
    keep(path)
    folder = open_folder(root, path.parent, create=True)
    temporary = f".{secrets.token_hex(8)}.tmp"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o666, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if old is not None:
                    _like(old, descriptor)
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)
    finally:
        os.close(folder)
    return old is None


def _like(old: os.stat_result, descriptor: int) -> None:
    """Owner first: changing it clears the set-id bits of the mode."""
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _check_regular(found: os.stat_result) -> None:
    mode = found.st_mode
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise TextFileError("it is a folder")
    kinds = ((stat.S_ISLNK, "link"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"))
    kind = next((name for test, name in kinds if test(mode)), "device")
    raise TextFileError(f"it is a {kind}, not a file")
