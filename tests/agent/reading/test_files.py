"""Which files a path means: links, loops, pipes, hidden things and names in every script."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from pathlib import Path

import pytest

from agent.reading.errors import Unreadable
from agent.reading.files import digest_of, list_files, why

HOME = Path("/nowhere/home")


def listed(*paths: Path, home: Path = HOME) -> list[str]:
    return [path.name for path in list_files(tuple(map(str, paths)), home).files]


def problem(path: Path | str) -> str:
    found = list_files((str(path),), HOME)
    assert found.files == []
    [(_, reason)] = found.problems
    return reason


def test_a_folder_means_every_file_below_it_in_order(tmp_path: Path) -> None:
    for name in ("b.md", "a.md", "deep/er/c.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert listed(tmp_path) == ["a.md", "b.md", "c.md"]
    assert listed(tmp_path / "a.md", tmp_path) == ["a.md", "b.md", "c.md"]


@pytest.mark.parametrize(
    "name", ["данные.md", "数据.md", "ملف.md", "emoji 🦉.md", "line\nbreak.md", "ä.md", "ä.md"]
)
def test_names_in_every_script(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    assert listed(tmp_path) == [name]


def test_a_name_that_is_not_utf8_is_named_and_the_rest_is_taken(tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("x")
    (tmp_path / os.fsdecode(b"bad\xff.md")).write_text("x")
    found = list_files((str(tmp_path),), HOME)
    assert [path.name for path in found.files] == ["good.md"]
    [(path, reason)] = found.problems
    assert path.endswith("bad\\udcff.md") and "not UTF-8" in reason


def test_what_is_left_out_of_a_folder_is_counted(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    folder = tmp_path / "folder"
    (folder / ".git").mkdir(parents=True)
    (folder / "node_modules").mkdir()
    (folder / "a.md").write_text("x")
    (folder / "to_secret.md").symlink_to(secret)
    (folder / "round").symlink_to(folder)
    os.mkfifo(folder / "pipe.md")
    found = list_files((str(folder),), HOME)
    assert [path.name for path in found.files] == ["a.md"]
    assert found.problems == []
    assert found.left_out == {"hidden": 1, "in node_modules": 1, "links": 2, "pipes, sockets or devices": 1}


def test_a_named_link_is_followed_and_a_circle_of_links_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x")
    (tmp_path / "link.md").symlink_to(tmp_path / "a.md")
    assert listed(tmp_path / "link.md", tmp_path / "a.md") == ["a.md"]
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    assert "leads back to itself" in problem(tmp_path / "one")


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert "is a socket" in problem(tmp_path / "socket")
    (tmp_path / "empty").mkdir()
    assert "is a pipe" in problem(tmp_path / "pipe")
    assert "is a device" in problem("/dev/null")
    assert "no file in this folder" in problem(tmp_path / "empty")
    assert "no such file" in problem(tmp_path / "missing")
    assert "no such file" in problem(tmp_path / "missing" / "deeper")
    assert "too long" in problem(tmp_path / ("n" * 300))
    assert "empty" in problem("")
    assert "no path" in problem("a\0b")


def test_the_home_itself_is_never_taken(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "journal.md").write_text("x")
    (tmp_path / "a.md").write_text("x")
    assert listed(tmp_path, home=home) == ["a.md"]
    assert "belongs to Night School" in list_files((str(home / "journal.md"),), home).problems[0][1]


def test_a_very_deep_folder(tmp_path: Path) -> None:
    deep = str(tmp_path)
    for _ in range(300):
        deep += "/d"
        os.mkdir(deep)  # noqa: PTH102
    (Path(deep) / "a.md").write_text("x")
    assert listed(tmp_path) == ["a.md"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_named_and_the_rest_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x")
    (tmp_path / "closed").mkdir(mode=0)
    found = list_files((str(tmp_path),), HOME)
    (tmp_path / "closed").chmod(0o700)
    assert [path.name for path in found.files] == ["a.md"]
    assert "may not read" in found.problems[0][1]


def test_the_digest_is_that_of_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"night" * 1_000_000)
    digest, size = digest_of(tmp_path / "a")
    assert (digest, size) == (hashlib.sha256(b"night" * 1_000_000).hexdigest(), 5_000_000)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(Unreadable):
        digest_of(tmp_path / "link")


def test_what_the_system_refuses_is_told_in_a_sentence() -> None:
    # root may read everything, so the real thing cannot be had everywhere
    assert why(PermissionError(errno.EACCES, "Permission denied")) == (
        "You may not read it. Change its permissions, then add it again."
    )
    assert why(OSError(errno.EIO, "Input/output error")) == "It cannot be read: input/output error."
