"""Short forms for people: numbers, durations, paths, one line for a call, the diff of an edit."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# escape sequences and control characters of a tool's output must never reach the terminal
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_MAIN_ARGUMENTS = ("command", "code", "path", "file", "pattern", "query", "question", "url", "answer", "text")
_EDITS = (("old", "new"), ("old_text", "new_text"), ("old_string", "new_string"), ("find", "replace"))


def clean(text: str) -> str:
    """Text that is safe to show: no escape sequences, no control characters, tabs as spaces."""
    text = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    return _CONTROLS.sub("", text).expandtabs(4)


def plural(count: int, noun: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def file_size(count: int) -> str:
    """`3 kB`, `12.5 MB`, `1.20 GB`."""
    if count < 10**6:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e6:.1f} MB" if count < 10**9 else f"{count / 1e9:.2f} GB"


def short_count(number: int) -> str:
    """`812`, `1.3k`, `32k`."""
    if number < 1000:
        return str(number)
    if number < 9950:
        return f"{number / 1000:.1f}k"
    return f"{number / 1000:.0f}k"


def duration(seconds: float) -> str:
    """`0.4s`, `12s`, `3m 05s`, `2h 10m`."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02}m"


def short_path(path: str | Path, longest: int = 40) -> str:
    """A path with `~` for the user's folder; long ones keep their end."""
    text = str(path)
    user = str(Path.home())
    if text == user or text.startswith(user + "/"):
        text = "~" + text[len(user) :]
    if len(text) <= longest:
        return text
    tail = text[-(longest - 2) :]
    return "…" + (tail[tail.index("/") :] if "/" in tail else tail)


def one_line(text: str, longest: int = 200) -> str:
    """The text on one line, shortened."""
    flat = " ".join(clean(text[: longest * 4]).split())
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


def summary(arguments: Mapping[str, Any]) -> str:
    """One line that says what a call is about: its main argument, else all of them."""
    for name in _MAIN_ARGUMENTS:
        if isinstance(value := arguments.get(name), str) and value:
            return one_line(value)
    return one_line("  ".join(f"{name}={value}" for name, value in arguments.items()))


def call_diff(arguments: Mapping[str, Any], preview: str = "", result: str = "") -> str:
    """The diff a call makes, as far as it is known: shown to a person, returned, or in its arguments."""
    for text in (preview, result):
        if is_diff(text):
            return clean(text)
    path = str(arguments.get("path") or arguments.get("file") or "")
    for before, after in _EDITS:
        old, new = arguments.get(before), arguments.get(after)
        if isinstance(old, str) and isinstance(new, str):
            return _unified(old, new, path)
    content = arguments.get("content")
    if path and isinstance(content, str):
        return _unified("", content, path)
    return ""


def is_diff(text: str) -> bool:
    """Whether this is a unified diff."""
    return text.startswith(("--- ", "diff ", "@@ ")) or "\n@@ -" in text[:4000]


def diff_counts(diff: str) -> tuple[int, int]:
    """Lines added and removed."""
    lines = [line for line in diff.splitlines() if not line.startswith(("+++ ", "--- "))]
    return sum(line.startswith("+") for line in lines), sum(line.startswith("-") for line in lines)


def _unified(old: str, new: str, path: str) -> str:
    lines = difflib.unified_diff(
        clean(old).splitlines(), clean(new).splitlines(), path, path, lineterm="", n=2
    )
    return "\n".join(list(lines)[2:])
