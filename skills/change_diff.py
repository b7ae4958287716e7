"""What putting a path back would do, for a person: a unified diff from now to then, or a sentence."""

from __future__ import annotations

import difflib
from pathlib import Path

from skills.file_states import State
from skills.outputs import visible
from skills.text_files import TextFile, TextFileError, opened
from skills.tree import shown

_LARGEST = 256 * 1024


def describe(root: Path, path: Path, now: State, then: State, old: bytes | None, later: bool) -> str:
    """`old` is the kept content, None when there is none; `later` says that the path changed again after
    the episode."""
    name = shown(path, root)
    notes = ["[changed again after the task; undoing loses that change too]"] if later else []
    if then.kind == "file" and old is None:
        notes.append("[the old content was too large to keep or could not be read; it stays as it is]")
        return "\n".join(notes)
    if then.kind == "other":
        notes.append("[a pipe, socket or device; it cannot be put back]")
        return "\n".join(notes)
    if now.kind == then.kind and now.mode != then.mode:
        notes.append(f"[mode {now.mode:04o} back to {then.mode:04o}]")
    if now.kind in ("file", "absent") and then.kind in ("file", "absent"):
        notes += _file_diff(root, path, name, now, old)
    elif now.kind != then.kind or now.target != then.target:
        notes.append(f"[{_word(now)} now, {_word(then)} before]")
    return visible("\n".join(notes))


def _file_diff(root: Path, path: Path, name: str, now: State, old: bytes | None) -> list[str]:
    if max(now.size, len(old or b"")) > _LARGEST:
        return [f"[{now.size:,} bytes now, {len(old or b''):,} before; too large to show]"]
    try:
        new = b""
        if now.kind == "file":
            with opened(root, path) as file:
                new = file.read()
        texts = [TextFile.decode(data).text.splitlines() for data in (new, old or b"")]
    except (TextFileError, OSError) as error:
        return [f"[{now.size:,} bytes now, {len(old or b''):,} before; {error}]"]
    there = "/dev/null" if old is None else name
    here = "/dev/null" if now.kind == "absent" else name
    return list(difflib.unified_diff(texts[0], texts[1], here, there, lineterm=""))


def _word(state: State) -> str:
    if state.kind == "link":
        return f"a link to {state.target}"
    return {"absent": "nothing", "file": "a file", "folder": "a folder"}.get(state.kind, "a special file")
