"""The file tools on a real file system: pages, encodings, exact edits, and no way out of the workspace."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skills.builtin.files import edit_file, list_files, read_file, write_file
from skills.preimages import Preimages
from skills.text_files import TextFile
from skills.tool import ToolContext, ToolError

FILE_TOOLS = [
    (read_file, {}),
    (write_file, {"content": "x"}),
    (edit_file, {"old": "root", "new": "x"}),
    (list_files, {}),
]


@pytest.mark.parametrize(("tool", "more"), FILE_TOOLS, ids=lambda value: getattr(value, "spec", value))
@pytest.mark.parametrize(
    "path",
    ["../secret", "/etc/passwd", "sub/../../secret", "out/passwd", "passwd", "looped", "~/x", "a\0b",
     "x" * 5000, "/proc/self/root/etc/passwd", "/proc/self/cwd", "dangling"],
)  # fmt: skip
async def test_no_file_tool_leaves_the_workspace(
    context: ToolContext, workspace: Path, tool: object, more: dict[str, str], path: str
) -> None:
    (workspace.parent / "secret").write_text("root")
    (workspace / "out").symlink_to("/etc")
    (workspace / "passwd").symlink_to("/etc/passwd")
    (workspace / "looped").symlink_to("looped")
    (workspace / "dangling").symlink_to(workspace.parent / "made-by-link")
    outside = {entry.name for entry in workspace.parent.iterdir()}
    with pytest.raises(ToolError) as refused:
        await tool.run({"path": path, **more}, context)  # type: ignore[attr-defined]
    assert str(refused.value).endswith((".", "?"))
    assert (workspace.parent / "secret").read_text() == "root"
    assert {entry.name for entry in workspace.parent.iterdir()} == outside


@pytest.mark.parametrize(("tool", "more"), FILE_TOOLS[:3], ids=lambda value: getattr(value, "spec", value))
async def test_special_files_are_named_and_never_opened(
    context: ToolContext, workspace: Path, tool: object, more: dict[str, str]
) -> None:
    os.mkfifo(workspace / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    monkey = os.open(workspace, os.O_RDONLY)
    try:
        listening.bind(f"/proc/self/fd/{monkey}/socket")
    finally:
        os.close(monkey)
    (workspace / "folder").mkdir()
    for name, kind in (("pipe", "pipe"), ("socket", "socket"), ("folder", "folder")):
        with pytest.raises(ToolError, match=f"it is a {kind}"):
            await tool.run({"path": name, **more}, context)  # type: ignore[attr-defined]
    listening.close()


class TestRead:
    async def read(self, context: ToolContext, **arguments: object) -> str:
        output = await read_file.run({"path": "file", **arguments}, context)
        assert output.provenance == "file"
        return output.text

    async def test_a_short_file_is_given_as_it_is(self, context: ToolContext, workspace: Path) -> None:
        (workspace / "file").write_text("one\n\ntwo without end")
        assert await self.read(context) == "one\n\ntwo without end"

    async def test_an_empty_file_is_said_to_be_empty(self, context: ToolContext, workspace: Path) -> None:
        (workspace / "file").write_text("")
        assert await self.read(context) == "[the file is empty]"

    async def test_long_files_come_in_pages_that_join_to_the_whole(
        self, make_context: Callable[..., ToolContext], workspace: Path
    ) -> None:
        context = make_context(output_chars=1000)
        lines = [f"line {number} {'x' * (number % 50)}\n" for number in range(1, 301)]
        (workspace / "file").write_text("".join(lines))
        read, start = "", 1
        while True:
            page = await self.read(context, start_line=start, lines=40)
            assert len(page) <= 1000
            text, _, note = page.rpartition("\n[")
            read += text + "\n"
            assert note.startswith(f"lines {start}-")
            if "read on" not in note:
                break
            start = int(note.split("start_line=")[1].rstrip("]"))
        assert read == "".join(lines)

    async def test_a_start_past_the_end_says_how_long_the_file_is(
        self, context: ToolContext, workspace: Path
    ) -> None:
        (workspace / "file").write_text("one\ntwo\n")
        with pytest.raises(ToolError, match="only 2 lines"):
            await self.read(context, start_line=3)
        assert await self.read(context, start_line=0) == "one\ntwo\n"

    async def test_a_ten_megabyte_line_is_cut_and_the_rest_is_reachable(
        self, context: ToolContext, workspace: Path
    ) -> None:
        (workspace / "file").write_bytes(b"x" * 10_000_000 + b"\nlast\n")
        page = await self.read(context)
        assert len(page) <= context.output_chars
        assert "line 1 is longer than fits" in page
        assert "start_line=2" in page
        assert (await self.read(context, start_line=2)).startswith("last\n")

    @pytest.mark.parametrize(
        ("data", "text", "note"),
        [
            (
                "Grüße, naïve façade, à bientôt, été, crème brûlée\n".encode("cp1252"),
                "Grüße, naïve",
                "not UTF-8",
            ),
            ("日本語のテキストです。これは長い文章です。\n".encode("shift_jis"), "日本語", "not UTF-8"),
            ("\ufeffwith a mark\n".encode(), "with a mark", ""),
            ("wide text é\n".encode("utf-16"), "wide text é", "read as utf-16"),
            ("café\n".encode("latin-1"), "café", "read as cp1252"),
            (b"x" * 70_000 + b"\xff\n", "xxx", "shown as"),
        ],
    )
    async def test_other_encodings_are_read_and_named(
        self, context: ToolContext, workspace: Path, data: bytes, text: str, note: str
    ) -> None:
        (workspace / "file").write_bytes(data)
        page = await self.read(context)
        assert page.startswith(text)
        assert note in page
        assert "not UTF-8" in page or "[" not in page or "longer" in page

    async def test_a_binary_file_is_named_not_shown(self, context: ToolContext, workspace: Path) -> None:
        (workspace / "file").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
        with pytest.raises(ToolError, match=r"binary file\. Use run_python"):
            await self.read(context)

    async def test_a_missing_file_names_the_likely_one(self, context: ToolContext, workspace: Path) -> None:
        (workspace / "src").mkdir()
        (workspace / "src" / "main.py").write_text("")
        with pytest.raises(ToolError, match=r"Did you mean `src/main\.py`"):
            await read_file.run({"path": "main.py"}, context)
        with pytest.raises(ToolError, match=r"Did you mean `src/main\.py`"):
            await read_file.run({"path": "src/mian.py"}, context)
        with pytest.raises(ToolError, match="list_files"):
            await read_file.run({"path": "quite-different"}, context)

    async def test_kept_outputs_can_be_read(
        self, make_context: Callable[..., ToolContext], tmp_path: Path
    ) -> None:
        outputs = tmp_path / "outputs"
        outputs.mkdir()
        (outputs / "call.txt").write_text("whole output")
        path = {"path": str(outputs / "call.txt")}
        assert (await read_file.run(path, make_context(readable=(outputs,)))).text == "whole output"
        with pytest.raises(ToolError, match="outside"):
            await write_file.run({**path, "content": "x"}, make_context(readable=(outputs,)))


class TestWrite:
    async def test_a_new_file_gets_its_folders_and_the_usual_mode(
        self, context: ToolContext, workspace: Path
    ) -> None:
        output = await write_file.run({"path": "a/b.txt", "content": "one\ntwo\n"}, context)
        assert output.text == "Created a/b.txt (2 lines)."
        assert (workspace / "a" / "b.txt").read_bytes() == b"one\ntwo\n"
        umask = os.umask(0)
        os.umask(umask)
        assert stat.S_IMODE((workspace / "a" / "b.txt").stat().st_mode) == 0o666 & ~umask

    async def test_replacing_keeps_the_mode_and_leaves_nothing_else(
        self, context: ToolContext, workspace: Path
    ) -> None:
        (workspace / "run.sh").write_text("old")
        (workspace / "run.sh").chmod(0o751)
        output = await write_file.run({"path": "/workspace/run.sh", "content": ""}, context)
        assert output.text.startswith("Replaced")
        assert stat.S_IMODE((workspace / "run.sh").stat().st_mode) == 0o751
        assert [path.name for path in workspace.iterdir()] == ["run.sh"]

    async def test_writing_through_a_link_inside_changes_what_it_leads_to(
        self, context: ToolContext, workspace: Path
    ) -> None:
        (workspace / "real").write_text("old")
        (workspace / "link").symlink_to("real")
        await write_file.run({"path": "link", "content": "new"}, context)
        assert (workspace / "link").is_symlink()
        assert (workspace / "real").read_text() == "new"

    async def test_a_read_only_file_stays(self, context: ToolContext, workspace: Path) -> None:
        (workspace / "fixed").write_text("old")
        (workspace / "fixed").chmod(0o444)
        with pytest.raises(ToolError, match="read-only"):
            await write_file.run({"path": "fixed", "content": "new"}, context)
        assert (workspace / "fixed").read_text() == "old"

    async def test_a_file_on_the_way_is_told(self, context: ToolContext, workspace: Path) -> None:
        (workspace / "a").write_text("file")
        with pytest.raises(ToolError, match="a part of the path is a file"):
            await write_file.run({"path": "a/b", "content": "x"}, context)

    async def test_a_full_disk_loses_nothing(
        self, context: ToolContext, workspace: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (workspace / "a.txt").write_text("old")

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr("skills.text_files.os.fchmod", lambda *_: full(0))
            with pytest.raises(ToolError, match="no space left"):
                await write_file.run({"path": "a.txt", "content": "new"}, context)
        assert [path.name for path in workspace.iterdir()] == ["a.txt"]
        assert (workspace / "a.txt").read_text() == "old"

    async def test_half_a_character_is_no_content(self, context: ToolContext, workspace: Path) -> None:
        with pytest.raises(ToolError, match="half of a character"):
            await write_file.run({"path": "a.txt", "content": "\ud83d"}, context)
        assert list(workspace.iterdir()) == []

    async def test_a_folder_swapped_for_a_link_at_the_last_moment_is_not_followed(
        self, make_context: Callable[..., ToolContext], workspace: Path, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (workspace / "sub").mkdir()

        def swap(path: Path) -> None:
            (workspace / "sub").rmdir()
            (workspace / "sub").symlink_to(outside)

        with pytest.raises(ToolError, match="Cannot write"):
            await write_file.run({"path": "sub/a", "content": "x"}, make_context(keep_preimage=swap))
        assert list(outside.iterdir()) == []

    async def test_every_change_can_be_undone(
        self, context: ToolContext, workspace: Path, preimages: Preimages
    ) -> None:
        (workspace / "a.txt").write_text("old text")
        await edit_file.run({"path": "a.txt", "old": "old", "new": "new"}, context)
        await write_file.run({"path": "x/y.txt", "content": "new"}, context)
        preimages.undo(workspace)
        assert [path.name for path in workspace.rglob("*")] == ["a.txt"]
        assert (workspace / "a.txt").read_text() == "old text"


class TestEdit:
    async def edited(self, context: ToolContext, data: bytes, old: str, new: str) -> bytes:
        path = context.workspace / "file"
        path.write_bytes(data)
        await edit_file.run({"path": "file", "old": old, "new": new}, context)
        return path.read_bytes()

    @pytest.mark.parametrize(
        ("data", "old", "new", "then"),
        [
            (b"a\nb\nc\n", "b", "B", b"a\nB\nc\n"),
            (b"a\nb\nc\n", "b\n", "", b"a\nc\n"),
            (b"a\r\nb\r\nc\r\n", "a\nb", "x\ny", b"x\r\ny\r\nc\r\n"),
            (b"a\r\nb\nc\n", "a\nb", "x\ny", b"x\r\ny\nc\n"),
            (b"\xef\xbb\xbfa b", "a", "x", b"\xef\xbb\xbfx b"),
            ("naïve".encode(), "ï", "i", b"naive"),
            (b"a.b*c", "a.b*c", "\\1", b"\\1"),
        ],
    )
    async def test_only_the_text_changes(
        self, context: ToolContext, data: bytes, old: str, new: str, then: bytes
    ) -> None:
        assert await self.edited(context, data, old, new) == then

    async def test_another_encoding_is_kept(self, context: ToolContext) -> None:
        text = "Grüße aus München, schöne Straße, fünf Äpfel für Jörg"
        data = text.encode("cp1252")
        encoding = TextFile.decode(data).encoding
        then = await self.edited(context, data, "aus", "von")
        assert then.decode(encoding) == data.decode(encoding).replace("aus", "von")

    async def test_a_character_the_encoding_lacks_is_an_error_and_nothing_changes(
        self, context: ToolContext, workspace: Path
    ) -> None:
        data = "Grüße aus München, schöne Straße, fünf Äpfel".encode("cp1252")
        with pytest.raises(ToolError, match="cannot hold the character"):
            await self.edited(context, data, "aus", "日本")
        assert (workspace / "file").read_bytes() == data

    async def test_text_that_is_not_there_shows_the_nearest(self, context: ToolContext) -> None:
        data = b"def add(a, b):\n    return a - b\n\ndef sub(a, b):\n    return a - b\n"
        with pytest.raises(ToolError) as error:
            await self.edited(context, data, "def add(a,b):\n  return a-b", "x")
        assert "line 1" in str(error.value)
        assert "def add(a, b):\n    return a - b" in str(error.value)

    async def test_text_that_is_there_twice_names_the_lines(self, context: ToolContext) -> None:
        with pytest.raises(ToolError, match=r"occurs 2 times .*lines 1, 3"):
            await self.edited(context, b"x = 1\ny = 2\nx = 1\n", "x = 1", "x = 2")
        with pytest.raises(ToolError, match="occurs 2 times"):
            await self.edited(context, b"aaa", "aa", "b")

    @pytest.mark.parametrize(
        ("old", "new", "why"), [("", "x", "empty"), ("a", "a", "same"), ("z", "x", "empty")]
    )
    async def test_edits_that_make_no_sense(self, context: ToolContext, old: str, new: str, why: str) -> None:
        with pytest.raises(ToolError, match=why):
            await self.edited(context, b"" if old == "z" else b"a", old, new)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
    @given(
        before=st.text(alphabet="ab\n é", max_size=12),
        old=st.text(alphabet="xy\n", min_size=1, max_size=6),
        new=st.text(alphabet="cd\n日", max_size=6),
        after=st.text(alphabet="ab\n é", max_size=12),
        crlf=st.booleans(),
    )
    async def test_an_edit_changes_its_place_and_no_other_byte(
        self, context: ToolContext, before: str, old: str, new: str, after: str, crlf: bool
    ) -> None:
        whole = before + old + after
        if whole.count(old) != 1 or any(
            whole.startswith(old, at) for at in range(len(whole)) if at != len(before)
        ):
            return
        end = "\r\n" if crlf else "\n"

        def data(text: str) -> bytes:
            return text.replace("\n", end).encode()

        got = await self.edited(context, data(whole), old, new)
        # with no line end in the file there is nothing that says which kind it uses
        assert got == data(before + new + after) or (crlf and "\n" not in whole)


class TestList:
    async def listed(self, context: ToolContext, **arguments: str) -> str:
        return (await list_files.run(arguments, context)).text

    async def test_names_relative_to_the_workspace(self, context: ToolContext, workspace: Path) -> None:
        (workspace / "sub").mkdir()
        (workspace / "sub" / "b.py").write_text("")
        (workspace / "a.txt").write_text("")
        (workspace / ".git").mkdir()
        (workspace / ".git" / "HEAD").write_text("")
        (workspace / "link").symlink_to("./a.txt")
        os.mkfifo(workspace / "pipe")
        everything = ".git/ (not listed)\na.txt\nlink -> a.txt\npipe (no file)\nsub/\nsub/b.py"
        assert await self.listed(context) == everything
        assert await self.listed(context, path="sub") == "sub/b.py"
        assert await self.listed(context, pattern="*.py") == "sub/b.py"
        assert await self.listed(context, pattern="sub/*") == "sub/b.py"
        assert await self.listed(context, path=".git") == ".git/HEAD"
        assert await self.listed(context, pattern="*.rs") == "Nothing matches `*.rs`."

    async def test_an_empty_folder_and_a_file(self, context: ToolContext, workspace: Path) -> None:
        assert await self.listed(context) == "The folder is empty."
        (workspace / "a.txt").write_text("")
        with pytest.raises(ToolError, match="is a file"):
            await self.listed(context, path="a.txt")
        with pytest.raises(ToolError, match="no folder"):
            await self.listed(context, path="b")

    async def test_many_files_are_cut_nearest_first(self, context: ToolContext, workspace: Path) -> None:
        (workspace / "deep").mkdir()
        for number in range(300):
            (workspace / "deep" / f"{number:03}").write_text("")
        (workspace / "top").write_text("")
        text = await self.listed(context)
        assert "top" in text.splitlines()
        assert "[102 more; give a path or a pattern to see them]" in text

    async def test_hidden_folders_do_not_exist(
        self, make_context: Callable[..., ToolContext], workspace: Path
    ) -> None:
        (workspace / "own").mkdir()
        (workspace / "own" / "secret").write_text("")
        assert await self.listed(make_context(hidden=(workspace / "own",))) == "The folder is empty."

    async def test_an_undecodable_name_can_be_shown(self, context: ToolContext, workspace: Path) -> None:
        (workspace / os.fsdecode(b"caf\xe9")).write_text("")
        assert await self.listed(context) == "caf\\xe9"
