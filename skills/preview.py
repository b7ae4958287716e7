"""What a call would do, for the person who approves it: the command, the code, or a diff.

Reads at most the file that would change; what it shows is free of control characters.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.paths import PathRefused, resolve_inside
from skills.outputs import visible
from skills.text_files import TextFile, TextFileError

_LONGEST = 20_000


def preview(tool: str, arguments: Mapping[str, Any], workspace: Path) -> str:
    """Text for a person; empty when there is nothing to show beyond the arguments."""
    shown = ""
    for name in ("command", "code"):
        if isinstance(arguments.get(name), str):
            shown = arguments[name]
    if tool in ("write_file", "edit_file"):
        shown = _diff(tool, arguments, workspace)
    shown = visible(shown)
    return (
        shown
        if len(shown) <= _LONGEST
        else f"{shown[:_LONGEST]}\n[… {len(shown) - _LONGEST} more characters]"
    )


def _diff(tool: str, arguments: Mapping[str, Any], workspace: Path) -> str:
    path = str(arguments.get("path", ""))
    try:
        now = TextFile.read(workspace, resolve_inside(workspace, path)).text
    except FileNotFoundError:
        now = ""
    except (PathRefused, TextFileError, OSError) as error:
        return str(error)
    if tool == "write_file":
        then = str(arguments.get("content", ""))
    else:
        then = now.replace(str(arguments.get("old", "")), str(arguments.get("new", "")), 1)
    lines = difflib.unified_diff(
        now.splitlines(), then.splitlines(), f"{path} (now)", f"{path} (then)", lineterm=""
    )
    return "\n".join(lines)
