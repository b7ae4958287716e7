"""A scan of a whole workspace before a command, with copies of its files, so that what the command
changes can be put back.

Copies go into one pack file, smallest files first, up to a bound; a file that has not changed since the
scan before is not read again. What did not fit is known by its stamp only: that it changed will be seen,
its old content will not be there.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from skills.file_states import State, digest_of_chunks, open_at, state_of

MOST_BYTES = 64 * 1024**2
MOST_ENTRIES = 200_000
# file systems stamp with the clock of the last timer tick; within this time of a scan a file can change
# without its stamp changing
_RACY_NS = 50_000_000


@dataclass(frozen=True)
class Seen:
    """One path of a scan."""

    state: State
    """As it stood; a file without a digest was not copied."""
    stamp: tuple[int, ...] = ()
    """Inode, size, mode, mtime, ctime: unchanged means the content is unchanged too, unless `racy`."""
    offset: int = -1
    """Where the copy starts in the scan's pack; -1 when there is none."""
    racy: bool = False
    """The file changed so shortly before the scan that its stamp proves nothing."""


@dataclass
class Scan:
    """A whole workspace at one time."""

    workspace: Path
    """Absolute, resolved."""
    seen: dict[str, Seen] = field(default_factory=dict)
    """By absolute path."""
    unlisted: list[str] = field(default_factory=list)
    """Folders that could not be listed; nothing is known about what is in them."""
    complete: bool = True
    """False when there were too many entries to look at them all."""

    def knows(self, path: str) -> bool:
        """Whether a path that was not seen was really absent."""
        return self.complete and not any(path.startswith(folder + os.sep) for folder in self.unlisted)

    @property
    def uncopied(self) -> int:
        """Files whose content was not kept."""
        return sum(1 for seen in self.seen.values() if seen.state.kind == "file" and seen.offset < 0)

    def to_json(self) -> dict[str, Any]:
        """Plain data; see `from_json`."""
        return {
            "workspace": str(self.workspace),
            "unlisted": self.unlisted,
            "complete": self.complete,
            "seen": {
                path: [asdict(seen.state), seen.stamp, seen.offset, seen.racy]
                for path, seen in self.seen.items()
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scan:
        """What `to_json` gave."""
        return cls(
            Path(data["workspace"]),
            {
                path: Seen(State(**state), tuple(stamp), offset, racy)
                for path, (state, stamp, offset, racy) in data["seen"].items()
            },
            data["unlisted"],
            data["complete"],
        )


def scan(workspace: Path, skip: Collection[str] = (), open_except: Collection[str] | None = None) -> Scan:
    """Look at everything in a workspace, reading no content, leaving out the folders in `skip`.

    With `open_except`, a folder that cannot be listed is opened to its owner for as long as the scan
    takes, unless it is one of these.
    """
    result = Scan(workspace)
    racy_from = time.time_ns() - _RACY_NS
    folders = [str(workspace)]
    opened: list[tuple[str, int]] = []
    try:
        while folders:
            here = folders.pop()
            try:
                try:
                    entries = _entries(here)
                except PermissionError:
                    if open_except is None or here in open_except:
                        raise
                    mode = stat.S_IMODE(Path(here).stat().st_mode)
                    Path(here).chmod(mode | 0o700)
                    opened.append((here, mode))
                    entries = _entries(here)
            except FileNotFoundError:
                continue
            except OSError:
                result.unlisted.append(here)
                continue
            for path, found, target in entries:
                if path in skip:
                    continue
                if len(result.seen) >= MOST_ENTRIES:
                    result.complete = False
                    return result
                racy = found.st_ctime_ns >= racy_from
                result.seen[path] = Seen(state_of(found, target), _stamp(found), racy=racy)
                if stat.S_ISDIR(found.st_mode):
                    folders.append(path)
    finally:
        for path, mode in reversed(opened):
            Path(path).chmod(mode)
    return result


def _entries(folder: str) -> list[tuple[str, os.stat_result, str]]:
    """(path, stat of the entry itself, target of a link) for everything in a folder."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                seen = entry.stat(follow_symlinks=False)
                # a Path would write the target anew (`./a` as `a`)
                target = os.readlink(entry.path) if stat.S_ISLNK(seen.st_mode) else ""  # noqa: PTH115
                found.append((entry.path, seen, target))
    return found


def copy_contents(fresh: Scan, before: Scan | None, pack: Path, skip: Mapping[str, object]) -> None:
    """Copy the files of a scan into its pack, except those in `skip`, and note in the scan where they are.

    `before` is the scan the pack was last used for. Returns with the pack on the disk.
    """
    old = before.seen if before is not None else {}
    places = {seen.state.digest: seen.offset for seen in old.values() if seen.offset >= 0}
    files = sorted((seen.state.size, path) for path, seen in fresh.seen.items() if seen.state.kind == "file")
    with pack.open("ab") as out:
        room = MOST_BYTES - out.tell()
        wrote = False
        for size, path in files:
            if path in skip:
                continue
            seen, known = fresh.seen[path], old.get(path)
            if known is not None and known.offset >= 0 and known.stamp == seen.stamp and not known.racy:
                fresh.seen[path] = Seen(known.state, seen.stamp, known.offset, seen.racy)
                continue
            if size > room:
                # the rest is larger still, but some of it may be known already
                continue
            copied = _copied(path, room)
            if copied is None:
                continue
            found, data = copied
            state = state_of(found, digest=digest_of_chunks([data]))
            offset = places.get(state.digest, -1)
            if offset < 0:
                offset = places[state.digest] = out.tell()
                out.write(data)
                room -= len(data)
                wrote = True
            fresh.seen[path] = Seen(state, _stamp(found), offset, seen.racy)
        out.flush()
        if wrote:
            os.fsync(out.fileno())


def changed(before: Scan, after: Scan) -> Iterator[tuple[str, Seen | None]]:
    """Paths that differ, with what was seen there before (None: nothing)."""
    for path in sorted(before.seen.keys() | after.seen.keys()):
        old, new = before.seen.get(path), after.seen.get(path)
        if old is None:
            if before.knows(path):
                yield path, None
        elif new is None:
            if after.knows(path):
                yield path, old
        elif _differs(path, old, new):
            yield path, old


def _differs(path: str, old: Seen, new: Seen) -> bool:
    one, two = old.state, new.state
    if (one.kind, one.mode, one.target) != (two.kind, two.mode, two.target):
        return True
    if one.kind != "file":
        return False
    if old.stamp == new.stamp and not old.racy:
        return False
    if not one.digest:
        return old.stamp != new.stamp
    copied = _copied(path, max(one.size, two.size))
    return copied is None or digest_of_chunks([copied[1]]) != one.digest


def _copied(path: str, most: int) -> tuple[os.stat_result, bytes] | None:
    """A file's content, None when it cannot be read, is no file any more, or is larger than `most`."""
    folder, name = os.path.split(path)
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with open_at(descriptor, name) as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    return None
                data = file.read(most + 1)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    return None if len(data) > most else (found, data)


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    if stat.S_ISDIR(found.st_mode):
        # a folder's times change with its content, which is seen path by path
        return (found.st_ino, 0, found.st_mode, 0, 0)
    return (found.st_ino, found.st_size, found.st_mode, found.st_mtime_ns, found.st_ctime_ns)
