"""The home folder: others' rights are taken, the owner's are respected, and a cut-off start does no harm."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from agent.errors import HomeError
from agent.home import VERSION, Home


@pytest.mark.parametrize(
    ("before", "after"), [(0o755, 0o700), (0o700, 0o700), (0o555, 0o500), (0o500, 0o500)]
)
def test_rights_are_only_ever_tightened(tmp_path: Path, before: int, after: int) -> None:
    home = Home(tmp_path / "home")
    home.create()
    home.root.chmod(before)
    home.create()
    assert stat.S_IMODE(home.root.stat().st_mode) == after
    home.root.chmod(0o700)


@pytest.mark.parametrize("name", ["line\nbreak", "latin\udce9", "tab\t"])
def test_a_name_that_tables_cannot_take_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(HomeError, match="--home"):
        Home(tmp_path / name).create()
    assert list(tmp_path.iterdir()) == []


def test_a_marker_without_its_number_is_written_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (tmp_path / "version").write_text("")
    home.create()
    assert (tmp_path / "version").read_text() == f"{VERSION}\n"
    (tmp_path / "version").write_text("one\n")
    with pytest.raises(HomeError, match="damaged"):
        home.create()
