"""Searching file contents."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import skills.builtin.search
from skills.builtin.search import search_files
from skills.tool import ToolContext, ToolError


async def found(context: ToolContext, pattern: str, path: str = ".") -> list[str]:
    return (await search_files.run({"pattern": pattern, "path": path}, context)).text.splitlines()


async def test_matches_come_with_file_and_line(context: ToolContext, workspace: Path) -> None:
    (workspace / "b").mkdir()
    (workspace / "b" / "two.py").write_text("\n    def main():\n")
    (workspace / "one.py").write_text("main = 1\nother\n")
    assert await found(context, "main") == ["one.py:1: main = 1", "b/two.py:2: def main():"]
    assert await found(context, r"^\s*def \w+") == ["b/two.py:2: def main():"]
    assert await found(context, "main", "b") == ["b/two.py:2: def main():"]
    assert await found(context, "main", "one.py") == ["one.py:1: main = 1"]
    assert await found(context, "nowhere") == ["No match for `nowhere`."]


async def test_what_is_no_regular_expression_is_searched_as_text(
    context: ToolContext, workspace: Path
) -> None:
    (workspace / "a").write_text("call(x\n")
    lines = await found(context, "call(")
    assert lines[0] == "a:1: call(x"
    assert "plain text" in lines[1]


async def test_binary_files_links_pipes_and_git_are_left_out(context: ToolContext, workspace: Path) -> None:
    (workspace / "binary").write_bytes(b"root\0")
    (workspace / "passwd").symlink_to("/etc/passwd")
    (workspace / "etc").symlink_to("/etc")
    (workspace / ".git").mkdir()
    (workspace / ".git" / "config").write_text("root")
    os.mkfifo(workspace / "pipe")
    assert await found(context, "root") == ["No match for `root`."]


async def test_key_files_are_not_searched_unless_named(context: ToolContext, workspace: Path) -> None:
    (workspace / ".env").write_text("TOKEN=1\n")
    assert await found(context, "TOKEN") == [
        "No match for `TOKEN`.",
        "[1 files that look like keys or passwords were not searched]",
    ]
    assert await found(context, "TOKEN", ".env") == [".env:1: TOKEN=1"]


async def test_other_encodings_are_searched(context: ToolContext, workspace: Path) -> None:
    (workspace / "a").write_bytes("schöne Grüße aus München und viel Spaß für später".encode("cp1252"))
    (workspace / "b").write_bytes("wide words".encode("utf-16"))
    assert (await found(context, "Grüße"))[0].startswith("a:1: ")
    assert await found(context, "wide") == ["b:1: wide words"]


async def test_output_is_bounded(context: ToolContext, workspace: Path) -> None:
    (workspace / "a").write_text(f"match {'x' * 1000}\n" * 500)
    lines = await found(context, "match")
    assert len(lines) == 101
    assert "first 100 matches" in lines[-1]
    assert max(map(len, lines)) < 300


async def test_a_pattern_that_never_ends_is_stopped(
    context: ToolContext, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skills.builtin.search, "_SECONDS", 0.3)
    (workspace / "a").write_text("a" * 5000 + "b\n")
    assert "takes too long" in (await found(context, r"^(a|a?)+$"))[-1]


@pytest.mark.parametrize("path", ["..", "/etc", "link"])
async def test_searching_outside_is_refused(context: ToolContext, workspace: Path, path: str) -> None:
    (workspace / "link").symlink_to("/etc")
    with pytest.raises(ToolError, match=r"outside|\.\."):
        await found(context, "root", path)


async def test_an_empty_pattern_and_a_missing_path(context: ToolContext) -> None:
    with pytest.raises(ToolError, match="empty"):
        await found(context, "")
    with pytest.raises(ToolError, match="no file or folder"):
        await found(context, "x", "nowhere")


async def test_hidden_folders_are_not_searched(
    make_context: Callable[..., ToolContext], workspace: Path
) -> None:
    (workspace / "own").mkdir()
    (workspace / "own" / "a").write_text("root")
    assert (await found(make_context(hidden=(workspace / "own",)), "root"))[0].startswith("No match")
