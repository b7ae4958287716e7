"""Where a written path leads: inside, or an error that says how to write it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.paths import PathRefused, open_folder, resolve_inside


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (tmp_path / "secret").write_text("secret")
    return folder


@pytest.mark.parametrize(
    ("text", "leads_to"),
    [
        ("a.txt", "a.txt"),
        ("./a.txt", "a.txt"),
        ("sub//new.txt", "sub/new.txt"),
        (".", "."),
        ("/workspace/a.txt", "a.txt"),
        ("/workspace", "."),
        ("..a", "..a"),
        ("a..", "a.."),
        ("．．／secret", "．．／secret"),
        ("~a", "~a"),
        (" spaced name ", " spaced name "),
        ("日本/語", "日本/語"),
    ],
)
def test_paths_inside(workspace: Path, text: str, leads_to: str) -> None:
    assert resolve_inside(workspace, text) == workspace / leads_to


def test_an_absolute_path_inside_is_accepted(workspace: Path) -> None:
    assert resolve_inside(workspace, str(workspace / "a.txt")) == workspace / "a.txt"


def test_a_workspace_reached_through_a_link_is_the_same_workspace(workspace: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(workspace)
    assert resolve_inside(link, str(link / "a.txt")) == workspace / "a.txt"


@pytest.mark.parametrize(
    "text",
    ["", "  ", "../secret", "sub/../../secret", "sub/..", "/etc/passwd", "/workspace/../secret", "~", "~/x",
     "a\0b", "x" * 300, "x/" * 3000, "/workspaces/x", "//etc/passwd", "/proc/self/root/etc/passwd", "\ud800"],
)  # fmt: skip
def test_paths_refused(workspace: Path, text: str) -> None:
    with pytest.raises(PathRefused) as refused:
        resolve_inside(workspace, text)
    str(refused.value).encode("utf-8", errors="strict")


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "/etc", "nowhere/../../secret", "chain"])
def test_links_that_lead_outside_are_refused(workspace: Path, target: str) -> None:
    (workspace / "chain").symlink_to("sub/deeper")
    (workspace / "sub" / "deeper").symlink_to("../../secret")
    (workspace / "link").symlink_to(target)
    with pytest.raises(PathRefused, match="outside"):
        resolve_inside(workspace, "link")


def test_links_that_lead_inside_are_followed(workspace: Path) -> None:
    (workspace / "link").symlink_to("sub/../a.txt")
    assert resolve_inside(workspace, "link") == workspace / "a.txt"


def test_further_readable_folders_count_as_inside(workspace: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    path = str(outputs / "call.txt")
    assert resolve_inside(workspace, path, [outputs]) == outputs / "call.txt"
    with pytest.raises(PathRefused):
        resolve_inside(workspace, path)


@given(st.text(max_size=40))
def test_no_text_leads_outside(text: str) -> None:
    workspace = Path("/nonexistent/work")
    try:
        path = resolve_inside(workspace, text)
    except PathRefused:
        return
    assert path.is_relative_to(workspace)


def test_a_link_swapped_in_after_the_check_is_not_followed(workspace: Path) -> None:
    checked = resolve_inside(workspace, "sub/a.txt")
    (workspace / "sub").rmdir()
    (workspace / "sub").symlink_to("/etc")
    with pytest.raises(OSError):
        open_folder(workspace, checked.parent)
    with pytest.raises(OSError):
        open_folder(workspace, checked.parent / "deeper", create=True)


def test_folders_are_made_on_the_way(workspace: Path) -> None:
    descriptor = open_folder(workspace, workspace / "x" / "y", create=True)
    os.close(descriptor)
    assert (workspace / "x" / "y").is_dir()
