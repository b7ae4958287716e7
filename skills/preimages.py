"""What an episode changed in its workspace, kept so that it can be taken back.

File tools call `keep` before they change a path; commands stand between `before_command` and
`after_command`, which compare the whole workspace. What is kept is on the disk before the change, so a
crash in the middle of a command loses none of it. `undo` may be cut off and started again.

Not kept: owners, extended attributes, hard links, modification times of folders; the content of pipes,
sockets and devices; and file content beyond the bounds of `tree_scan` (64 MiB for commands), which
`changes` then says.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from skills.change_diff import describe
from skills.file_states import (
    ABSENT,
    State,
    digest_of_chunks,
    look,
    put_file,
    put_folder,
    put_link,
    remove,
    set_mode,
)
from skills.threads import to_the_end
from skills.tree import shown
from skills.tree_scan import Scan, Seen, changed, copy_contents, scan

# one file that a file tool changes; larger than any the tools can edit
_LARGEST_KEPT = 256 * 1024**2
_CHUNK = 1024**2


@dataclass(frozen=True)
class Change:
    """One path that an undo would change."""

    path: str
    """Relative to the workspace."""
    action: Literal["restore", "remove", "lost"]
    """`restore` what was there, `remove` what was not, or `lost`: it changed and cannot be put back."""
    diff: str
    """From now to then, for a person."""


@dataclass(frozen=True)
class Kept:
    """The first state of a path that the episode changed."""

    state: State
    """As it stood before."""
    offset: int = -1
    """Where a file's content starts in its pack; -1 when it was not kept."""
    scanned: bool = False
    """The content is still in the scan's pack: the command that changed the path was not settled."""


class Preimages:
    """The pre-images of one episode, in its own folder. One user at a time."""

    def __init__(self, folder: Path, skip: Sequence[Path] = ()) -> None:
        """`skip` are folders that scans leave out, such as the agent's own home inside a workspace."""
        self._folder = folder
        self._skip = frozenset(str(path.resolve()) for path in (folder, *skip))
        self._log = folder / "log.jsonl"
        self._pack = folder / "kept.pack"
        self._scan_pack = folder / "scan.pack"
        self._scan_file = folder / "scan.json"
        self._pending_file = folder / "pending.json"
        self._first: dict[str, Kept] = {}
        self._left: dict[str, State] = {}
        self._unsettled: set[str] = set()
        self._last_scan: Scan | None = None
        self._loaded = False
        self._log_is_whole = True

    def keep(self, path: Path) -> None:
        """Keep what stands at an absolute, resolved path before it is changed or created.

        Folders that are missing on the way count as created. Raises OSError when it cannot be kept.
        """
        self._load()
        missing = [path]
        while not os.path.lexists(missing[-1].parent):
            missing.append(missing[-1].parent)
        known = [str(one) for one in missing if str(one) in self._first]
        fresh = {str(one): self._read(one) for one in reversed(missing) if str(one) not in self._first}
        self._keep_first(fresh)
        self._append({"touched": name} for name in known)
        for name in (*known, *fresh):
            self._left.pop(name, None)
            self._unsettled.add(name)

    async def before_command(self, workspace: Path) -> Scan:
        """Scan the workspace; hand the result to `after_command`."""
        try:
            return await to_the_end(self.snapshot, workspace)
        except asyncio.CancelledError:
            # the command will not run, so what changes from now on is not its doing
            await to_the_end(self.settle, workspace)
            raise

    async def after_command(self, before: Scan) -> None:
        """Note what the command changed."""
        await to_the_end(self.settle, before.workspace)

    def snapshot(self, workspace: Path) -> Scan:
        """Be ready for anything to change. Raises OSError when nothing can be kept."""
        self._load()
        self.settle(workspace)
        fresh = scan(workspace.resolve(), self._skip)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy_contents(fresh, self._last_scan, self._scan_pack, skip=self._first)
        _write_durably(self._pending_file, json.dumps(fresh.to_json()).encode("ascii"))
        self._last_scan = fresh
        return fresh

    def settle(self, workspace: Path) -> None:
        """Note how the episode's changes so far left things; what changes later is not its doing."""
        self._load()
        root = workspace.resolve()
        pending = self._pending()
        if pending is not None and pending.workspace == root:
            changed_now = list(changed(pending, scan(root, self._skip, open_except=pending.unlisted)))
            self._keep_first(
                {path: self._scanned(old) for path, old in changed_now if path not in self._first}
            )
            self._unsettled |= {path for path, _ in changed_now}
            self._pending_file.replace(self._scan_file)
        here = {path for path in self._unsettled if Path(path).is_relative_to(root)}
        for path in sorted(here):
            with contextlib.suppress(OSError):
                self._left[path] = look(root, Path(path))
        self._unsettled -= here
        # without waiting for the disk: only the remark that somebody else changed a path depends on it
        self._append(
            (
                {"left": path, "state": asdict(self._left[path])}
                for path in sorted(here)
                if path in self._left
            ),
            durable=False,
        )

    def close(self) -> None:
        """Free the room that only a running episode needs. What was settled stays undoable."""
        if not self._pending_file.exists():
            for file in (self._scan_file, self._scan_pack):
                file.unlink(missing_ok=True)
            self._last_scan = None

    def changes(self, workspace: Path) -> list[Change]:
        """What `undo` would do now, sorted by path; empty when everything is as before the episode."""
        return list(self._changes(workspace.resolve()))

    def undo(self, workspace: Path) -> list[str]:
        """Put everything back as it was before the episode; returns the changed paths, relative to the
        workspace. What cannot be put back stays, and `changes` still tells it afterwards."""
        root = workspace.resolve()
        self._load()
        self.settle(root)
        self._keep_first({str(path): (look(root, path), None) for path in self._shut_parents(root)})
        return _Undo(root, self._wanted(root), self._content, self._is_lost).run()

    def _changes(self, root: Path) -> Iterator[Change]:
        self._load()
        for path, kept in sorted(self._wanted(root).items()):
            name = shown(path, root)
            gone = self._is_lost(kept)
            action: Literal["restore", "remove", "lost"] = (
                "lost" if gone else "remove" if kept.state.kind == "absent" else "restore"
            )
            try:
                now = look(root, path)
            except OSError as error:
                # in a folder that was shut, most likely; undo opens those it may open
                yield Change(name, action, f"[cannot be looked at now: {(error.strerror or '').lower()}]")
                continue
            if now.same_as(kept.state):
                continue
            left = self._left.get(str(path))
            later = left is not None and left.key != now.key
            old = b"".join(self._content(kept)) if kept.offset >= 0 and not gone else None
            yield Change(name, action, describe(root, path, now, kept.state, old, later))

    def _is_lost(self, kept: Kept) -> bool:
        """Whether a state cannot be put back: a special file, or content not kept or damaged since."""
        if kept.state.kind != "file":
            return kept.state.kind == "other"
        try:
            digest = digest_of_chunks(self._content(kept))
        except OSError:
            return True
        return digest != kept.state.digest

    def _wanted(self, root: Path) -> dict[Path, Kept]:
        """What stood at each path that is or may be changed. Writes nothing: the episode may be running."""
        wanted = dict(self._first)
        pending = self._pending()
        if pending is not None and pending.workspace == root:
            for path, old in changed(pending, scan(root, self._skip)):
                wanted.setdefault(path, Kept(old.state, old.offset, True) if old else Kept(ABSENT))
        return {
            Path(path): kept
            for path, kept in wanted.items()
            if Path(path).is_relative_to(root) and Path(path) != root
        }

    def _shut_parents(self, root: Path) -> set[Path]:
        """Unchanged folders in which nothing can be put back before they are opened. They are kept like
        changed ones, so that their mode comes back even when the undo is cut off."""
        parents = {parent for path in self._first for parent in Path(path).parents}
        shut = set()
        for parent in parents:
            if parent != root and parent.is_relative_to(root) and str(parent) not in self._first:
                with contextlib.suppress(OSError):
                    now = look(root, parent)
                    if now.kind == "folder" and now.mode & 0o700 != 0o700:
                        shut.add(parent)
        return shut

    def _content(self, kept: Kept) -> Iterator[bytes]:
        """A kept file's bytes, in pieces. Raises OSError when they are damaged."""
        if kept.offset < 0:
            raise OSError(errno.ENODATA, "the content was not kept", str(self._folder))
        with (self._scan_pack if kept.scanned else self._pack).open("rb") as pack:
            pack.seek(kept.offset)
            left = kept.state.size
            while left and (chunk := pack.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk
        if left:
            raise OSError(errno.EIO, "the kept content is damaged", str(self._folder))

    def _read(self, path: Path) -> tuple[State, bytes | None]:
        """A path's state and content before a file tool changes it."""
        state = look(path.parent, path) if path.parent.is_dir() else ABSENT
        if state.kind != "file" or not state.digest or state.size > _LARGEST_KEPT:
            return replace(state, digest=""), None
        data = path.read_bytes()
        return replace(state, digest=digest_of_chunks([data]), size=len(data)), data

    def _scanned(self, seen: Seen | None) -> tuple[State, bytes | None]:
        """The same from a scan, before a command changed the path."""
        if seen is None or seen.state.kind != "file" or seen.offset < 0:
            return (seen.state if seen else ABSENT), None
        return seen.state, b"".join(self._content(Kept(seen.state, seen.offset, True)))

    def _keep_first(self, states: Mapping[str, tuple[State, bytes | None]]) -> None:
        """Record the first state of paths: contents on the disk first, then the lines that point to them."""
        if not states:
            return
        kept: dict[str, Kept] = {}
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._pack.open("ab") as pack:
            for path, (state, content) in states.items():
                kept[path] = Kept(state, -1 if content is None else pack.tell())
                pack.write(content or b"")
            pack.flush()
            os.fsync(pack.fileno())
        self._append(
            {"first": path, "state": asdict(one.state), "offset": one.offset} for path, one in kept.items()
        )
        self._first |= kept

    def _pending(self) -> Scan | None:
        """The scan of a command that was not settled; it may be of an earlier process."""
        if not self._pending_file.exists():
            return None
        if self._last_scan is None:
            self._last_scan = Scan.from_json(json.loads(self._pending_file.read_bytes()))
        return self._last_scan

    def _append(self, lines: Iterable[dict[str, Any]], durable: bool = True) -> None:
        text = b"".join(json.dumps(line).encode("ascii") + b"\n" for line in lines)
        if not text:
            return
        with self._log.open("ab") as log:
            if not self._log_is_whole:
                # a line torn by a crash must not swallow the one written after it
                log.write(b"\n")
                self._log_is_whole = True
            log.write(text)
            if durable:
                log.flush()
                os.fsync(log.fileno())

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        with contextlib.suppress(FileNotFoundError):
            written = self._log.read_bytes()
            self._log_is_whole = written.endswith(b"\n") or not written
            for line in written.splitlines():
                # a torn line told of something that had not happened yet
                with contextlib.suppress(ValueError):
                    self._replay(json.loads(line))
        with contextlib.suppress(FileNotFoundError):
            if not self._pending_file.exists():
                self._last_scan = Scan.from_json(json.loads(self._scan_file.read_bytes()))

    def _replay(self, line: dict[str, Any]) -> None:
        if "first" in line:
            self._first[line["first"]] = Kept(State(**line["state"]), line["offset"])
        elif "left" in line:
            self._left[line["left"]] = State(**line["state"])
        else:
            self._left.pop(line["touched"], None)


class _Undo:
    """One undo under way: out of the way what should not be there, then back what should."""

    def __init__(
        self,
        root: Path,
        wanted: dict[Path, Kept],
        content: Callable[[Kept], Iterator[bytes]],
        is_lost: Callable[[Kept], bool],
    ) -> None:
        self._root = root
        self._wanted = wanted
        self._content = content
        self._is_lost = is_lost
        self._changed: set[Path] = set()

    def run(self) -> list[str]:
        shallow_first = sorted(self._wanted, key=lambda path: (len(path.parts), path))
        for path in shallow_first:
            self._try(path, self._enter)
        for path in reversed(shallow_first):
            self._try(path, self._clear)
        for path in shallow_first:
            self._try(path, self._put)
        for path in reversed(shallow_first):
            self._try(path, self._set_mode)
        if self._changed:
            # a power cut before this is mended by undoing again: contents are compared, not times
            os.sync()
        return [shown(path, self._root) for path in sorted(self._changed)]

    def _try(self, path: Path, what: Callable[[Path, State, State], bool]) -> None:
        # one path that cannot be put back must not keep the others from it; `changes` tells it afterwards
        with contextlib.suppress(OSError):
            if what(path, look(self._root, path), self._wanted[path].state):
                self._changed.add(path)

    def _enter(self, path: Path, now: State, then: State) -> bool:
        """A folder made inaccessible must be opened before what is in it can be put back."""
        if now.kind == "folder":
            set_mode(self._root, path, 0o700, add=True)
        return False

    def _clear(self, path: Path, now: State, then: State) -> bool:
        if now.kind in ("absent", then.kind) or self._is_lost(self._wanted[path]):
            return False
        remove(self._root, path)
        return True

    def _put(self, path: Path, now: State, then: State) -> bool:
        if now.same_as(then) or self._is_lost(self._wanted[path]):
            return False
        if then.kind == "folder" and now.kind == "absent":
            put_folder(self._root, path)
        elif then.kind == "link":
            put_link(self._root, path, then.target)
        elif then.kind == "file" and now.digest != then.digest:
            put_file(self._root, path, then, self._content(self._wanted[path]))
        else:
            return False
        return True

    def _set_mode(self, path: Path, now: State, then: State) -> bool:
        if now.kind != then.kind or now.kind not in ("file", "folder") or now.mode == then.mode:
            return False
        set_mode(self._root, path, then.mode)
        return True


def _write_durably(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
