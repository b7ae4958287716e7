"""Tools that list, read, write and edit files of the workspace.

They act directly, not through the sandbox, and only inside the workspace. Reading is by pages, writing
is atomic and keeps mode, encoding and line ends, and every change is preceded by its pre-image.
"""

from __future__ import annotations

import asyncio
import difflib
import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from skills.builtin.paths import mended, to_read, to_write
from skills.schema import tool
from skills.text_files import TextFile, TextFileError, encoding_of, opened, replace_file
from skills.threads import to_the_end
from skills.tool import ToolContext, ToolError, ToolOutput
from skills.tree import Entry, shown, walk

_LISTED = 200
_WALKED = 50_000
_PIECE = 65_536
# past this many characters after the page, the number of lines is no longer worth reading on for
_COUNTED = 64 * 1024**2
_NOTES = 300


@tool(risk="read")
async def list_files(context: ToolContext, path: str = ".", pattern: str = "*") -> ToolOutput:
    """List files and folders, sub-folders included."""
    root, folder = to_read(context, path)
    if not folder.exists():
        raise ToolError(
            f"There is no folder `{path}`. Use list_files without arguments to see what there is."
        )
    if not folder.is_dir():
        raise ToolError(f"`{path}` is a file, not a folder. Use read_file to see it.")
    return ToolOutput(await asyncio.to_thread(_listing, root, folder, pattern, context.hidden))


@tool(risk="read")
async def read_file(context: ToolContext, path: str, start_line: int = 1, lines: int = 200) -> ToolOutput:
    """Read a text file."""
    root, real = to_read(context, path)
    room = max(200, context.output_chars - _NOTES)

    def work() -> str:
        with mended(context, path, "read"):
            return _page(root, real, max(1, start_line), max(1, lines), room)

    return ToolOutput(await asyncio.to_thread(work), provenance="file")


@tool(risk="write")
async def write_file(context: ToolContext, path: str, content: str) -> ToolOutput:
    """Create a file, or replace all of it."""
    root, real = to_write(context, path)

    def work() -> bool:
        with mended(context, path, "write"):
            try:
                data = content.encode("utf-8")
            except UnicodeEncodeError as error:
                raise TextFileError("the content holds half of a character") from error
            return replace_file(root, real, data, context.keep_preimage)

    created = await to_the_end(work)
    count = len(content.splitlines())
    return ToolOutput(
        f"{'Created' if created else 'Replaced'} {path} ({count} {'line' if count == 1 else 'lines'})."
    )


@tool(risk="write")
async def edit_file(context: ToolContext, path: str, old: str, new: str) -> ToolOutput:
    """Replace a text that occurs exactly once in a file."""
    root, real = to_write(context, path)

    def work() -> int:
        with mended(context, path, "edit"):
            file = TextFile.read(root, real)
            if not file.exact:
                raise TextFileError(
                    f"its bytes are not clean {file.encoding} text, and a rewrite would change them"
                )
            place = _find(file.text, old, new, path)
            text = file.text[: place.start] + place.new + file.text[place.end :]
            replace_file(root, real, replace(file, text=text).encode(), context.keep_preimage)
            return file.text.count("\n", 0, place.start) + 1

    line = await to_the_end(work)
    return ToolOutput(f"Edited {path} at line {line}.")


def _listing(root: Path, folder: Path, pattern: str, hidden: Sequence[Path]) -> str:
    found: list[Entry] = []
    seen = more = 0
    for entry in itertools.islice(walk(folder, hidden), _WALKED):
        seen += 1
        relative = shown(entry.path, folder)
        if pattern not in ("", "*", "**", "**/*") and not (
            fnmatch(entry.path.name, pattern)
            or fnmatch(relative, pattern)
            or fnmatch(f"./{relative}", pattern)
        ):
            continue
        if len(found) < _LISTED:
            found.append(entry)
        else:
            more += 1
    if not found:
        return "The folder is empty." if not seen else f"Nothing matches `{pattern}`."
    text = "\n".join(sorted(_line(entry, root) for entry in found))
    if more or seen == _WALKED:
        at_least = "at least " if seen == _WALKED else ""
        text += f"\n[{at_least}{more} more; give a path or a pattern to see them]"
    return text


def _line(entry: Entry, root: Path) -> str:
    name = shown(entry.path, root)
    if entry.kind == "link":
        try:
            return f"{name} -> {shown(entry.path.readlink(), root)}"
        except OSError:
            return name
    return (
        f"{name}{ {'folder': '/', 'skipped': '/ (not listed)', 'other': ' (no file)'}.get(entry.kind, '') }"
    )


@dataclass
class _Page:
    """Lines being gathered until the page is full."""

    first: int
    count: int
    room: int
    text: str = ""
    last: int = 0
    full: bool = False
    cut: bool = False

    def add(self, number: int, piece: str) -> None:
        if number < self.first or self.full:
            return
        if number >= self.first + self.count:
            self.full = True
        elif len(self.text) + len(piece) > self.room:
            self.full = True
            if self.last in (0, number):
                # a line longer than a page: its beginning is all there is to show
                self.text += piece[: self.room - len(self.text)]
                self.cut = True
                self.last = number
        else:
            self.text += piece
            self.last = number


def _page(root: Path, path: Path, first: int, count: int, room: int) -> str:
    with opened(root, path) as file:
        sample = file.read(_PIECE)
        encoding = encoding_of(sample, complete=len(sample) < _PIECE)
        file.seek(0)
        page = _Page(first, count, room)
        number, after, broken, whole = 1, 0, False, True
        ended = True
        text = io.TextIOWrapper(file, encoding=encoding, errors="replace")
        while piece := text.readline(_PIECE):
            broken = broken or "\ufffd" in piece
            page.add(number, piece)
            ended = piece.endswith("\n")
            number += ended
            after += len(piece) if page.full else 0
            if after > _COUNTED:
                whole = False
                break
        text.detach()
    total = number - 1 + (not ended)
    if total == 0:
        return "[the file is empty]"
    if first > total:
        raise ToolError(f"The file has only {total} lines. Use a start_line up to {total}.")
    return page.text + _page_notes(page, total, whole, TextFile("", encoding, exact=not broken).note)


def _page_notes(page: _Page, total: int, whole: bool, encoding: str) -> str:
    notes = [encoding] if encoding else []
    of = f"{total}" if whole else f"more than {total}"
    if page.cut:
        notes.append(f"[line {page.last} is longer than fits; only its beginning is shown]")
    if page.last < total or not whole:
        notes.append(f"[lines {page.first}-{page.last} of {of}; read on with start_line={page.last + 1}]")
    elif page.first > 1:
        notes.append(f"[lines {page.first}-{page.last} of {of}]")
    if not notes:
        return ""
    return ("" if page.text.endswith("\n") else "\n") + "\n".join(notes)


@dataclass(frozen=True)
class _Place:
    start: int
    end: int
    new: str


def _find(text: str, old: str, new: str, path: str) -> _Place:
    """Where the one occurrence is. Raises ToolError that shows what is there instead."""
    if not old:
        raise ToolError(
            "`old` is empty. Give the exact text to replace, or use write_file for the whole file."
        )
    if old == new:
        raise ToolError("`old` and `new` are the same, so there is nothing to change.")
    starts = [found.start() for found in re.finditer(f"(?={re.escape(old)})", text)]
    if len(starts) == 1:
        return _Place(starts[0], starts[0] + len(old), new)
    if not starts and "\r\n" in text:
        # mixed line ends, which the model has seen as plain ones
        pattern = re.escape(old).replace("\\\n", "\r?\n")
        mixed = list(re.finditer(pattern, text))
        if len(mixed) == 1:
            return _Place(mixed[0].start(), mixed[0].end(), new.replace("\n", "\r\n"))
    if not starts:
        raise ToolError(f"`old` does not occur in `{path}`.{_nearest(text, old)}")
    at = ", ".join(str(text.count("\n", 0, start) + 1) for start in starts[:10])
    raise ToolError(
        f"`old` occurs {len(starts)} times in `{path}` (lines {at}). Give more of the text around it."
    )


def _nearest(text: str, old: str) -> str:
    """The passage most like `old`, quoted, so that the next call can copy it."""
    lines = text.splitlines()
    wanted = old.strip("\n").splitlines()
    # quadratic in the worst case; long files are compared by their most similar single lines only
    keys = [line.strip() for line in lines[:20_000]]
    anchors = [line.strip() for line in wanted if line.strip()]
    if not anchors or not lines:
        return " The file is empty." if not lines else " Read the file and copy the text exactly."
    best, best_score = -1, 0.0
    for offset, anchor in enumerate(anchors[:3]):
        for match in difflib.get_close_matches(anchor, list(dict.fromkeys(keys)), n=2, cutoff=0.5):
            start = max(0, keys.index(match) - offset)
            window = "\n".join(lines[start : start + len(wanted)])
            score = difflib.SequenceMatcher(None, window[:2000], old[:2000]).ratio()
            if score > best_score:
                best, best_score = start, score
    if best < 0:
        return " Read the file and copy the text exactly."
    window = "\n".join(lines[best : best + len(wanted)])
    return f" The nearest text, at line {best + 1}, is:\n{window[:800]}"
