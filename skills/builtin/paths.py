"""What the file tools share: a path argument made real, and errors the model can mend."""

from __future__ import annotations

import difflib
import errno
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.paths import PathRefused, resolve_inside
from skills.text_files import TextFileError
from skills.tool import ToolContext, ToolError
from skills.tree import shown, walk

_MENDS = {
    "it is a folder": "Use list_files to see what is in it, or name a file",
    "it is a binary file": "Use run_python to look into it",
    "it is read-only": "Make it writable with run_shell first",
}
_NAMES_COMPARED = 5000


def to_read(context: ToolContext, path: str) -> tuple[Path, Path]:
    """(folder it was found inside, real path). Raises ToolError."""
    try:
        real = resolve_inside(context.workspace, path, context.readable)
    except PathRefused as error:
        raise ToolError(str(error)) from error
    roots = [context.workspace.resolve(), *(folder.resolve() for folder in context.readable)]
    return next(root for root in roots if real.is_relative_to(root)), real


def to_write(context: ToolContext, path: str) -> tuple[Path, Path]:
    """(workspace, real path). Raises ToolError."""
    try:
        return context.workspace.resolve(), resolve_inside(context.workspace, path)
    except PathRefused as error:
        raise ToolError(str(error)) from error


@contextmanager
def mended(context: ToolContext, path: str, doing: str) -> Iterator[None]:
    """Turns what goes wrong with a file into a ToolError that says what to do."""
    try:
        yield
    except TextFileError as error:
        mend = _MENDS.get(str(error), "Choose another way")
        raise ToolError(f"Cannot {doing} `{path}`: {error}. {mend}.") from error
    except FileNotFoundError as error:
        raise ToolError(f"There is no file `{path}`.{_nearest(context, path)}") from error
    except OSError as error:
        raise ToolError(f"Cannot {doing} `{path}`: {_why(error)}.") from error


def _why(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a link stands where a file or folder was expected"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return "a part of the path is a file, not a folder"
    return (error.strerror or str(error)).lower()


def _nearest(context: ToolContext, path: str) -> str:
    root = context.workspace.resolve()
    names = [
        shown(entry.path, root)
        for entry in itertools.islice(walk(root, context.hidden), _NAMES_COMPARED)
        if entry.kind in ("file", "link")
    ]
    same_name = [name for name in names if Path(name).name == Path(path).name]
    close = same_name or difflib.get_close_matches(path, names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean `{close[0]}`?"
    return " Use list_files to see what there is."
