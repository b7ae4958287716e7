"""The home folder: where a user's data lives, and the lock that gives it one owner.

The lock is the kernel's (`flock`), so it goes with its process however that ends; the file only names
the owner for people.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import IO

from agent.disk import replace_file
from agent.errors import HomeError

VERSION = 1
# sun_path holds 108 bytes on Linux and 104 on macOS, terminator included
_LONGEST_SOCKET_PATH = 100
LEFT_OUT = frozenset({"lancedb", "answers", "sleep_cache", "logs", "lock", "host.sock", ".restoring"})
"""What a home holds and no backup takes along: made again from the rest, or this process's own."""


class Home:
    """Paths of one home folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journal = root / "journal"
        self.lancedb = root / "lancedb"
        self.outputs = root / "outputs"
        self.preimages = root / "preimages"
        self.workspaces = root / "workspaces"
        self.logs = root / "logs"
        self.knowledge = root / "knowledge"
        self.answers = root / "answers"
        self.adapters = root / "adapters"
        self.nights = root / "nights"
        self.sleep_cache = root / "sleep_cache"
        self.state = root / "state.sqlite"
        self.settings = root / "config.toml"
        self.lock = root / "lock"
        self.restoring = root / ".restoring"
        """There while a backup is being restored: nothing in the home counts yet."""

    @property
    def socket(self) -> Path:
        """The owner's Unix socket; in the temporary folder when the home's path is too long for one."""
        path = self.root / "host.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"nightschool-{os.getuid()}-{digest}" / "host.sock"

    def create(self) -> None:
        """Make the folder (0700) if it is not there and check that this version can use it.

        Others lose whatever rights they have to it. Raises HomeError when it cannot be written or is of a
        newer version.
        """
        if not str(self.root).isprintable():
            # as a name that is not UTF-8 or holds a line break, which the tables cannot take
            raise HomeError(
                f"The home folder {str(self.root)!a} has a name with unprintable characters. "
                "Choose another home with --home."
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            mode = stat.S_IMODE(self.root.stat().st_mode)
            if mode & 0o077:
                # only ever tightened: a home made read-only is meant to be
                self.root.chmod(mode & 0o700)
            if self.restoring.exists():
                raise HomeError(
                    f"A backup was being restored into {self.root}, and that was cut off. Restore it again, "
                    "or choose another home with --home."
                )
            self.socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            marker = self.root / "version"
            # a power cut may leave a name without its text
            if not marker.exists() or not marker.read_bytes().strip():
                replace_file(marker, f"{VERSION}\n".encode())
            found = int(marker.read_text(encoding="ascii"))
        except ValueError as error:
            raise HomeError(
                f"{self.root / 'version'} is damaged; write the number {VERSION} into it."
            ) from error
        except OSError as error:
            raise cannot_write(self.root, error) from error
        if found > VERSION:
            raise HomeError(
                f"The home {self.root} was written by a newer Night School (format {found}, this one knows "
                f"{VERSION}). Upgrade, or choose another home with --home."
            )


class OwnerLock:
    """The right to write in a home. Held until `release` or the end of the process."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @classmethod
    def acquire(cls, home: Home) -> OwnerLock | None:
        """The lock, or None when another process holds it. Raises HomeError when there can be none."""
        try:
            file = home.lock.open("a+", encoding="ascii")
        except OSError as error:
            raise cannot_write(home.root, error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return None
            raise cannot_write(home.root, error) from error
        try:
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        except OSError as error:
            file.close()
            raise cannot_write(home.root, error) from error
        return cls(file)

    def release(self) -> None:
        """Let the home go."""
        self._file.close()


def owner_pid(home: Home) -> int | None:
    """Process id in the lock file, None when it says nothing."""
    try:
        return int(home.lock.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def cannot_write(path: Path, error: OSError) -> HomeError:
    """One sentence for a home that cannot be written."""
    reason = error.strerror or str(error)
    mend = (
        "Free some space"
        if error.errno in (errno.ENOSPC, errno.EDQUOT)
        else "Choose another home with --home"
    )
    return HomeError(f"Cannot write in the home folder {path}: {reason.lower()}. {mend}.")
