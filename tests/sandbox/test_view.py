"""What a command inside bubblewrap sees: its workspace wherever that lies, and nothing hidden."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.base import Command, Limits, SandboxUnavailable
from sandbox.bubblewrap import BubblewrapSandbox

LIMITS = Limits(wall_seconds=30)


@pytest.fixture
def in_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".nightschool-test-", dir=Path.home()) as folder:
        yield Path(folder).resolve()


async def shell(sandbox: BubblewrapSandbox, code: str, workspace: Path, *readable: Path) -> str:
    result = await sandbox.run(Command(("sh", "-c", code), workspace, readable=readable), LIMITS)
    return (result.stdout + result.stderr).decode()


async def test_a_workspace_in_the_home_shows_nothing_else_of_it(
    bubblewrap: BubblewrapSandbox, in_home: Path
) -> None:
    (in_home / "secret").write_text("s")
    workspace = in_home / "deep" / "workspace"
    workspace.mkdir(parents=True)
    said = await shell(bubblewrap, f"echo yes > made; ls -A {in_home} {in_home}/deep", workspace)
    assert (workspace / "made").read_text() == "yes\n"
    assert said == f"{in_home}:\ndeep\n\n{in_home}/deep:\nworkspace\n"


async def test_readable_folders_cannot_be_written(
    bubblewrap: BubblewrapSandbox, workspace: Path, tmp_path: Path
) -> None:
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "text").write_text("hello")
    said = await shell(bubblewrap, f"cat {extra}/text; echo no > {extra}/text", workspace, extra)
    assert said.startswith("hello")
    assert "Read-only" in said
    assert (extra / "text").read_text() == "hello"


async def test_hidden_folders_are_empty_even_inside_the_workspace(workspace: Path) -> None:
    hidden = workspace / "home"
    hidden.mkdir()
    (hidden / "socket").write_text("s")
    sandbox = BubblewrapSandbox(hidden=(hidden,))
    said = await shell(sandbox, "ls -A home; echo no > home/new; rm -rf home", workspace)
    assert "socket" not in said
    assert (hidden / "socket").read_text() == "s"
    with pytest.raises(SandboxUnavailable, match="inside it"):
        await shell(sandbox, "true", hidden)


@pytest.mark.parametrize("folder", ["/", "/usr", "/etc", "/proc/self", "/dev", "~"])
async def test_folders_that_would_undo_the_isolation_are_refused(
    bubblewrap: BubblewrapSandbox, folder: str
) -> None:
    with pytest.raises(SandboxUnavailable, match="Choose a folder"):
        await shell(bubblewrap, "true", Path(folder).expanduser())


async def test_a_workspace_behind_a_link_is_the_folder_itself(
    bubblewrap: BubblewrapSandbox, workspace: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(workspace)
    assert await shell(bubblewrap, "pwd", link) == f"{workspace.resolve()}\n"


async def test_our_python_is_its_python(bubblewrap: BubblewrapSandbox, workspace: Path) -> None:
    code = f"import sys, pydantic; print(sys.prefix, sys.version_info[:2] == {sys.version_info[:2]!r})"
    result = await bubblewrap.run(Command(("python", "-c", code), workspace), LIMITS)
    assert result.stdout.decode() == f"{sys.prefix} True\n"


async def test_a_folder_called_like_our_code_shadows_nothing(
    bubblewrap: BubblewrapSandbox, workspace: Path
) -> None:
    for name in ("sandbox", "os", "resource", "encodings"):
        (workspace / name).mkdir()
        (workspace / name / "__init__.py").write_text("raise SystemExit('shadowed')")
    assert await shell(bubblewrap, "echo fine", workspace) == "fine\n"


async def test_the_user_has_a_name_and_is_not_root(bubblewrap: BubblewrapSandbox, workspace: Path) -> None:
    said = await shell(bubblewrap, "id -un; id -u; stat -c %U .; hostname; echo $HOME", workspace)
    name, uid, owner, host, home = said.split()
    assert (name, owner, host, home) == ("agent", "agent", "nightschool", "/tmp")
    assert int(uid) == (os.getuid() or 1000)


async def test_variables_are_not_in_the_process_list(bubblewrap: BubblewrapSandbox, workspace: Path) -> None:
    command = Command(("cat", "/proc/self/cmdline", "/proc/self/environ"), workspace, env={"TOKEN": "t0ken"})
    result = await bubblewrap.run(command, LIMITS)
    assert result.stdout.count(b"t0ken") == 1
