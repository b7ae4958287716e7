"""Limits on memory and processes for all of a command together: cgroups version 1 and delegated version 2.

Rlimits cannot do this: RLIMIT_NPROC does not bind root, and no rlimit counts the memory of several
processes. A group is always made below a group this process is already under, so whatever limits we were
given hold for the command too, and is removed when its last process is gone.

Not done: asking systemd for a group. A login over ssh has no delegated group; started as
`systemd-run --user --scope nightschool`, it has one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "nightschool-"
_counter = itertools.count()


@dataclass(frozen=True)
class Place:
    """A folder of one controller's hierarchy where we may make groups."""

    version: int
    """1 or 2."""
    folder: Path
    """The parent of the groups to be made."""


@dataclass(frozen=True)
class Cgroups:
    """Where the groups of commands are made."""

    memory: Place
    """For the memory controller."""
    pids: Place
    """For the process controller."""

    @property
    def description(self) -> str:
        """For a person: `cgroup v1` or `cgroup v2`."""
        return f"cgroup v{max(self.memory.version, self.pids.version)}"

    def create(self, memory_bytes: int, processes: int) -> Group:
        """A new empty group with these limits. Raises OSError when it cannot be made."""
        name = f"{_PREFIX}{os.getpid()}-{next(_counter)}"
        group = Group(
            Place(self.memory.version, self.memory.folder / name),
            Place(self.pids.version, self.pids.folder / name),
        )
        try:
            for folder in group.folders:
                folder.mkdir()
            group.limit(memory_bytes, processes)
        except OSError:
            group.remove()
            raise
        return group

    def remove_stale(self) -> None:
        """Removes empty groups left by a process of ours that no longer lives."""
        for parent in {self.memory.folder, self.pids.folder}:
            for folder in parent.glob(f"{_PREFIX}*-*"):
                owner = folder.name.removeprefix(_PREFIX).split("-")[0]
                if owner.isdigit() and not Path(f"/proc/{owner}").exists():
                    with contextlib.suppress(OSError):
                        folder.rmdir()


@dataclass(frozen=True)
class Group:
    """The group of one command."""

    memory: Place
    """Its folder in the memory controller's hierarchy."""
    pids: Place
    """Its folder in the process controller's hierarchy; the same one for version 2."""

    @property
    def folders(self) -> list[Path]:
        """Its folders, each once."""
        return list(dict.fromkeys((self.memory.folder, self.pids.folder)))

    @property
    def join_files(self) -> list[Path]:
        """Files into which a process writes 0 to join."""
        return [folder / "cgroup.procs" for folder in self.folders]

    def limit(self, memory_bytes: int, processes: int) -> None:
        """Sets the limits; swap counts as memory where the kernel can count it."""
        if self.memory.version == 1:
            (self.memory.folder / "memory.limit_in_bytes").write_text(str(memory_bytes))
            swap = self.memory.folder / "memory.memsw.limit_in_bytes"
            amount = memory_bytes
        else:
            (self.memory.folder / "memory.max").write_text(str(memory_bytes))
            swap = self.memory.folder / "memory.swap.max"
            amount = 0
        if swap.exists():
            swap.write_text(str(amount))
        (self.pids.folder / "pids.max").write_text(str(processes))

    def out_of_memory(self) -> bool:
        """True when the kernel killed a process for the memory limit."""
        name = "memory.oom_control" if self.memory.version == 1 else "memory.events"
        return _count(self.memory.folder / name, "oom_kill") > 0

    def out_of_processes(self) -> bool:
        """True when a fork was refused for the process limit."""
        return _count(self.pids.folder / "pids.events", "max") > 0

    def members(self) -> set[int]:
        """Processes still in it."""
        found: set[int] = set()
        for file in self.join_files:
            with contextlib.suppress(OSError):
                found.update(int(line) for line in file.read_text().split())
        found.discard(0)
        return found

    def kill(self) -> None:
        """Sends SIGKILL to every member; call again until `members` is empty."""
        with contextlib.suppress(OSError):
            # no member can fork any more, so the killing comes to an end
            (self.pids.folder / "pids.max").write_text("0")
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def remove(self) -> bool:
        """Removes it; False while the kernel still holds on to a dying member."""
        for folder in self.folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return False
        return True


def find_cgroups(proc: Path = Path("/proc")) -> Cgroups | None:
    """Where this process can make groups that limit memory and processes, or None.

    Every candidate is tried for real: a group is made, limited and removed again.
    """
    for memory in _places("memory", proc):
        for pids in _places("pids", proc):
            candidate = Cgroups(memory, pids)
            try:
                group = candidate.create(64 * 1024**2, 8)
            except OSError:
                continue
            group.remove()
            candidate.remove_stale()
            return candidate
    return None


def _places(controller: str, proc: Path) -> Iterator[Place]:
    """Candidates for one controller, the nearest to our own group first."""
    own = _own_groups(proc)
    for root, mount_point, kind, options in _cgroup_mounts(proc):
        if kind == "cgroup" and controller in options and controller in own:
            # version 1 allows processes and groups side by side, so our own group is the place
            folder = _below(mount_point, own[controller], root)
            if folder.is_dir():
                yield Place(1, folder)
        elif kind == "cgroup2" and "" in own:
            yield from _delegated(controller, mount_point, _below(mount_point, own[""], root))


def _delegated(controller: str, mount_point: Path, own: Path) -> Iterator[Place]:
    """Version 2: groups at and above ours that hand this controller down and that we may write.

    A group with processes cannot hand controllers down, so this is usually the parent of our own.
    """
    for folder in (own, *own.parents):
        if not folder.is_relative_to(mount_point):
            return
        with contextlib.suppress(OSError):
            handed_down = (folder / "cgroup.subtree_control").read_text().split()
            if controller in handed_down and os.access(folder, os.W_OK):
                yield Place(2, folder)


def _own_groups(proc: Path) -> dict[str, str]:
    """Controller to our own group's path; the key of version 2 is empty."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            found.update(dict.fromkeys(controllers.split(","), path))
    return found


def _cgroup_mounts(proc: Path) -> Iterator[tuple[str, Path, str, list[str]]]:
    """Mounted hierarchies: root within the hierarchy, mount point, kind, options."""
    text = ""
    with contextlib.suppress(OSError):
        text = (proc / "self/mountinfo").read_text()
    for line in text.splitlines():
        head, _, tail = line.partition(" - ")
        fields, kind = head.split(), tail.split()
        if kind and kind[0] in ("cgroup", "cgroup2"):
            yield _unescape(fields[3]), Path(_unescape(fields[4])), kind[0], kind[-1].split(",")


def _below(mount_point: Path, own: str, root: str) -> Path:
    try:
        return mount_point / Path(own).relative_to(root)
    except ValueError:
        return mount_point


def _unescape(text: str) -> str:
    """Spaces and the like are octal in mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _count(file: Path, key: str) -> int:
    with contextlib.suppress(OSError):
        for line in file.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == key:
                return int(value)
    return 0
