"""What a backup says about itself: versions, and the digest of every file in it.

A backup is a tar archive, compressed with gzip (what every Python and every system reads; Zstandard is in
Python's own library only from 3.14 on). It holds regular files and folders under the names they have in the
home, and as its last member the manifest: an archive that was cut off has none.
"""

from __future__ import annotations

import re
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from agent.home import LEFT_OUT, VERSION
from memory.record import Record

FORMAT = 1
"""Of the archive; a newer one is refused."""
NAME = "nightschool-backup.json"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class BackupFile(Record):
    """One file of the home."""

    path: str
    """Relative to the home, with `/` between its parts."""
    size: int
    """Bytes."""
    sha256: str
    """Of its content, in hex."""


class BackupManifest(Record):
    """The last member of every backup."""

    format: int = FORMAT
    """Of the archive."""
    home_version: int = VERSION
    """Format of the home."""
    nightschool: str
    """The version that wrote it."""
    made_at: datetime
    """The moment whose state it holds, UTC."""
    adapter: str | None
    """The adapter that serves; None is the base model alone."""
    adapter_digest: str
    """Its digest; empty for the base model."""
    files: tuple[BackupFile, ...]
    """Every file."""
    folders: tuple[str, ...]
    """Every folder."""


def program_version() -> str:
    """Version of the installed program."""
    try:
        return version("nightschool")
    except PackageNotFoundError:
        return "unknown"


def is_safe(path: str) -> bool:
    """Whether a member may have this name: text, inside the home, and no part of what a backup leaves out."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    parts = path.split("/")
    return (
        not path.startswith("/")
        and not any(part in ("", ".", "..") for part in parts)
        and not _CONTROL.search(path)
        and parts[0] not in LEFT_OUT
        and path != NAME
    )
