"""Workspace files for `@` in the prompt: listing, matching, and what a message attaches."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

_SKIPPED = {"node_modules", "__pycache__", "venv", "dist", "build", "target"}
_MOST_FILES = 20_000
_MENTION = re.compile(r"(?:^|(?<=\s))@(\"[^\"]+\"|\S+)")


def list_files(workspace: Path) -> list[str]:
    """Files below a folder, relative, hidden and generated folders left out; at most 20,000.

    Reads the disk: call it in a thread. Folders that cannot be read are left out.
    """
    found: list[str] = []
    for folder, folders, names in os.walk(workspace):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in _SKIPPED)
        inside = os.path.relpath(folder, workspace)
        for name in sorted(names):
            if not name.startswith("."):
                found.append(name if inside == "." else f"{inside}/{name}")
        if len(found) >= _MOST_FILES:
            break
    return found[:_MOST_FILES]


def match(files: Iterable[str], begun: str, limit: int = 8) -> list[str]:
    """Files for what was typed after `@`, best first: begins with it, holds it, letters in order."""
    wanted = begun.strip('"').lower()
    ranked: list[tuple[int, int, str]] = []
    for file in files:
        low = file.lower()
        name = low.rsplit("/", 1)[-1]
        if name.startswith(wanted) or low.startswith(wanted):
            rank = 0
        elif wanted in name:
            rank = 1
        elif wanted in low:
            rank = 2
        elif _in_order(wanted, low):
            rank = 3
        else:
            continue
        ranked.append((rank, len(file), file))
    return [file for _, _, file in sorted(ranked)[:limit]]


def attached(text: str, workspace: Path) -> tuple[str, ...]:
    """Files a message mentions with `@` that exist, each once, as written."""
    found: list[str] = []
    for mention in _MENTION.findall(text):
        name = mention.strip('"')
        for candidate in (name, name.rstrip(".,;:!?)")):
            if candidate and (workspace / candidate).is_file():
                if candidate not in found:
                    found.append(candidate)
                break
    return tuple(found)


def _in_order(letters: str, text: str) -> bool:
    rest = iter(text)
    return all(letter in rest for letter in letters)
