"""Walking a folder tree, nearest first, never through a symlink and not into folders nobody means."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SKIPPED = frozenset(
    {".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", "venv", ".tox", ".mypy_cache",
     ".pytest_cache", ".ruff_cache", ".hypothesis"}
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One name found."""

    path: Path
    """Absolute."""
    kind: str
    """`file`, `folder`, `skipped` (a folder not walked into), `link`, or `other`."""


def walk(folder: Path, hidden: Sequence[Path] = ()) -> Iterator[Entry]:
    """Everything below `folder`, sorted by name, a level at a time. What cannot be listed or is in
    `hidden` (resolved paths) is left out."""
    waiting = deque([folder])
    while waiting:
        here = waiting.popleft()
        try:
            with os.scandir(here) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if hidden and here / entry.name in hidden:
                continue
            kind = _kind(entry)
            yield Entry(here / entry.name, kind)
            if kind == "folder":
                waiting.append(here / entry.name)


def shown(path: Path, root: Path) -> str:
    """A path relative to the workspace, as text that can always be encoded."""
    relative = path.relative_to(root) if path.is_relative_to(root) else path
    return os.fsencode(relative).decode("utf-8", errors="backslashreplace")


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "skipped" if entry.name in SKIPPED else "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "other"
