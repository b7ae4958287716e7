"""Folders in the user's workspace that are named as our rooms are never taken for them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config import Settings
from agent.connect import attach
from agent.model.children import Child

ROOT = Path(__file__).parent.parent
ROOMS = ("agent", "memory", "skills", "sandbox", "tui", "benchmarks")
NIGHTSCHOOL = str(Path(sys.executable).parent / "nightschool")
# the agent's own code, run in the sandbox, is meant to find the user's modules
MAY_SEE_THE_WORKSPACE = {"skills/builtin/python.py"}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose packages carry our rooms' names and fail when imported. We stand in it."""
    folder = tmp_path / "workspace"
    for room in (*ROOMS, "textual", "torch"):
        (folder / room).mkdir(parents=True)
        (folder / room / "__init__.py").write_text("raise SystemExit('the user\\'s folder was imported')\n")
    for name in [name for name in os.environ if name.startswith("NIGHTSCHOOL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NIGHTSCHOOL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTSCHOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("--version", 0, "nightschool"),
        ("remember heron", 0, "Kept"),
        ("episodes list", 0, "no episodes"),
        ("run hello --json", 2, "model pull"),
        ("sandbox run -- python -P -c print(6*7)", 0, "42"),
        # fetches with two child processes
        ("model pull all-minilm-l6-v2", 2, "cannot be fetched: the hub's cache does not hold"),
    ],
)
def test_commands_in_such_a_folder(workspace: Path, line: str, code: int, said: str) -> None:
    ran = subprocess.run(
        [NIGHTSCHOOL, *line.split()], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == code, ran.stderr
    assert said in ran.stdout + ran.stderr
    assert "the user's folder" not in ran.stdout + ran.stderr


async def test_the_owner_in_the_background(workspace: Path, tmp_path: Path) -> None:
    remote = await attach(tmp_path / "home", Settings())
    assert await remote.remember("From here.")
    await remote.close()


def test_a_download_helper(workspace: Path, tmp_path: Path) -> None:
    with Child(["agent.model.hub_child"], tmp_path / "scratch") as child:
        child.wait(seconds=60)
        assert "the user's folder" not in child.output
        assert "hub_child.py" in child.output


def test_every_child_of_ours_is_started_with_a_safe_path() -> None:
    unsafe = [
        f"{source.relative_to(ROOT)}:{started.lineno}"
        for room in ROOMS
        for source in sorted((ROOT / room).rglob("*.py"))
        if str(source.relative_to(ROOT)) not in MAY_SEE_THE_WORKSPACE
        for started in interpreters(ast.parse(source.read_text(encoding="utf-8")))
    ]
    assert unsafe == []


def interpreters(tree: ast.Module) -> Iterator[ast.expr]:
    """Where `sys.executable` begins a command line without `-P` or `-I` behind it."""
    for node in ast.walk(tree):
        words: list[ast.expr] = []
        if isinstance(node, ast.List | ast.Tuple):
            words = node.elts
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("subprocess_exec"):
            words = node.args
        if [ast.unparse(word) for word in words[:1]] == ["sys.executable"]:
            flags = [ast.unparse(word) for word in words[1:2]]
            if flags not in (["'-P'"], ["'-I'"]):
                yield words[0]
