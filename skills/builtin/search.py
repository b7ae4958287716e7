"""The tool that searches file contents: plain Python, bounded in time, files, and output."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import regex

from sandbox.policy import is_key_file
from skills.builtin.paths import to_read
from skills.schema import tool
from skills.text_files import TextFileError, encoding_of, opened
from skills.tool import ToolContext, ToolError, ToolOutput
from skills.tree import Entry, shown, walk

_MATCHES = 100
_LINE_CHARS = 200
_LARGEST = 10 * 1024**2
_SECONDS = 10.0


@tool(risk="read")
async def search_files(context: ToolContext, pattern: str, path: str = ".") -> ToolOutput:
    """Search file contents for a text or regular expression."""
    if not pattern:
        raise ToolError("The pattern is empty. Give the text to search for.")
    root, start = to_read(context, path)
    if not start.exists():
        raise ToolError(f"There is no file or folder `{path}`. Use list_files to see what there is.")
    search = _Search(root, pattern, context.hidden)
    text = await asyncio.to_thread(search.run, start)
    return ToolOutput(text, provenance="file" if search.found else "tool")


@dataclass
class _Search:
    root: Path
    pattern: str
    hidden: Sequence[Path]
    found: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    large: int = 0
    keys: int = 0

    def run(self, start: Path) -> str:
        compiled = self._compiled()
        deadline = time.monotonic() + _SECONDS
        for file in self._files(start):
            if time.monotonic() > deadline:
                self.notes.append(f"stopped after {_SECONDS:g} seconds; search a sub-folder")
                break
            try:
                self._search(file, compiled, deadline)
            except TimeoutError:
                self.notes.append("stopped: the pattern takes too long; use a simpler one")
                break
            except (TextFileError, OSError):
                continue
            if len(self.found) > _MATCHES:
                self.found.pop()
                self.notes.append(f"the first {_MATCHES} matches; narrow the pattern or give a path")
                break
        if self.large:
            self.notes.append(f"{self.large} files over {_LARGEST:,} bytes were not searched")
        if self.keys:
            self.notes.append(f"{self.keys} files that look like keys or passwords were not searched")
        lines = self.found or [f"No match for `{self.pattern}`."]
        return "\n".join([*lines, *(f"[{note}]" for note in self.notes)])

    def _compiled(self) -> Any:
        try:
            return regex.compile(self.pattern)
        except regex.error as error:
            self.notes.append(f"not a valid regular expression ({error}), so searched as plain text")
            return regex.compile(re.escape(self.pattern))

    def _files(self, start: Path) -> Iterator[Path]:
        entries = walk(start, self.hidden) if start.is_dir() else iter([Entry(start, "file")])
        for entry in entries:
            if entry.kind != "file":
                continue
            # a search must not read what reading a file would have to be approved for; a file that was
            # named has passed the policy
            if entry.path != start and is_key_file(entry.path.relative_to(start)):
                self.keys += 1
                continue
            yield entry.path

    def _search(self, path: Path, compiled: Any, deadline: float) -> None:
        with opened(self.root, path) as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            self.large += 1
            return
        text = data.decode(encoding_of(data[:65_536], complete=len(data) <= 65_536), errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            left = deadline - time.monotonic()
            # `concurrent` lets other threads run while a pattern is slow
            if left <= 0 or compiled.search(line, timeout=left, concurrent=True) is None:
                if left <= 0:
                    raise TimeoutError
                continue
            cut = line.strip() if len(line) <= _LINE_CHARS else line[:_LINE_CHARS] + "…"
            self.found.append(f"{shown(path, self.root)}:{number}: {cut}")
            if len(self.found) > _MATCHES:
                return
