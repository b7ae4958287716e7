"""Where a path that a model wrote really leads, and opening it without being led elsewhere.

`resolve_inside` turns text into a real path inside a workspace or says why it is none. `open_folder`
walks there from the workspace without following any symlink, so that nothing swapped in after the check
is followed. Neither decides whether the access is allowed; that is `sandbox.policy`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

_LONGEST_PATH = 4096
_LONGEST_NAME = 255
# the name small models give the working folder when nobody told them another
_ALIAS = "/workspace"


class PathRefused(Exception):
    """The path leads outside or cannot be a path. The message says how to write a right one."""


def resolve_inside(workspace: Path, text: str, readable: Sequence[Path] = ()) -> Path:
    """The real path, symlinks resolved, of what `text` names; it need not exist.

    Relative paths count from the workspace; absolute ones are accepted inside it, and `/workspace/x`
    means `x`. `readable` are further absolute folders that count as inside. Raises PathRefused.
    """
    if not text.strip():
        raise PathRefused(
            "The path is empty. Give a path relative to the working folder, such as `notes.txt`."
        )
    shown = text if len(text) <= 80 else text[:80] + "…"
    if "\0" in text:
        raise PathRefused(f"The path {shown!r} holds a NUL character. Leave it out.")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError as error:
        raise PathRefused(f"The path {shown!r} holds characters no file name can have.") from error
    if len(encoded) > _LONGEST_PATH or any(len(name) > _LONGEST_NAME for name in encoded.split(b"/")):
        raise PathRefused(f"The path `{shown}` is too long; a name has at most {_LONGEST_NAME} bytes.")
    if text == "~" or text.startswith("~/"):
        raise PathRefused(f"`{shown}` is in the home folder. Use a path relative to the working folder.")
    root = Path(os.path.realpath(workspace))
    written = Path(text)
    if ".." in written.parts:
        raise PathRefused(
            f"The path `{shown}` holds `..`. Write it relative to the working folder, without `..`."
        )
    real = Path(os.path.realpath(root / _without_alias(written, (root, workspace.absolute(), *readable))))
    folders = [root, *(Path(os.path.realpath(folder)) for folder in readable)]
    if not any(real.is_relative_to(folder) for folder in folders):
        if written.is_absolute():
            raise PathRefused(
                f"`{shown}` is outside the working folder {root}. Use a path relative to the working folder."
            )
        raise PathRefused(
            f"`{shown}` is a link that leads outside the working folder {root}; it is not followed."
        )
    return real


def open_folder(root: Path, folder: Path, create: bool = False) -> int:
    """A descriptor of `folder`, an absolute path inside `root`, reached without following a symlink
    below `root`; with `create`, missing folders are made. The caller closes it.
    Raises OSError (ELOOP, ENOTDIR, ENOENT, EACCES)."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    reached = os.open(root, flags)
    for name in folder.relative_to(root).parts:
        try:
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=reached)
            deeper = os.open(name, flags | os.O_NOFOLLOW, dir_fd=reached)
        finally:
            os.close(reached)
        reached = deeper
    return reached


def _without_alias(written: Path, known: Sequence[Path]) -> Path:
    """`/workspace/x` as `x`, unless a known folder really lies there."""
    alias = Path(_ALIAS)
    if not written.is_relative_to(alias) or any(written.is_relative_to(folder) for folder in known):
        return written
    return written.relative_to(alias)
