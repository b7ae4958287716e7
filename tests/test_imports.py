"""What may be imported where, and when: faces only in `tui`, nothing heavy before it is needed."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tui.cli.main import nightschool

ROOT = Path(__file__).parent.parent
ROOMS = ("agent", "memory", "skills", "sandbox", "tui", "benchmarks")
HEAVY = (
    "torch",
    "transformers",
    "peft",
    "lancedb",
    "textual",
    "xgrammar",
    "pyarrow",
    "huggingface_hub",
    "llama_index",
    "pypdf",
)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command, groups included, as the words that call it."""
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def loaded_by(code: str, cwd: Path) -> set[str]:
    """Which of HEAVY are loaded once a fresh interpreter has run `code`."""
    report = f"\nimport json; print('\\n' + json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys\n{code}{report}"], cwd=cwd, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout.splitlines()[-1]))


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    lines = [[*path, "--help"] for path in commands(nightschool)] + [["--version"]]
    assert ["episodes", "search", "--help"] in lines
    code = (
        "from tui.cli.main import nightschool\n"
        f"for line in {lines!r}:\n"
        "    try:\n"
        "        nightschool(line)\n"
        "    except SystemExit as stop:\n"
        "        assert stop.code == 0, line\n"
    )
    assert loaded_by(code, tmp_path) == set()


def test_help_is_instant(tmp_path: Path) -> None:
    program = str(Path(sys.executable).parent / "nightschool")
    took = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([program, "--help"], cwd=tmp_path, capture_output=True, check=True)
        took.append(time.perf_counter() - started)
    assert min(took) < 0.3


@pytest.mark.parametrize(
    ("code", "may"),
    [
        # what an owner of a home is made of: weights and tables come when they are first used
        ("import agent.runtime, agent.build, agent.connect, agent.host, skills.registry", set()),
        ("import tui.cli.session, tui.cli.follow, tui.render", set()),
        # before its first frame the app needs Textual, and nothing that takes seconds
        ("import tui.app", {"textual"}),
    ],
)
def test_heavy_libraries_wait_for_their_use(code: str, may: set[str], tmp_path: Path) -> None:
    assert loaded_by(code, tmp_path) <= may


def test_only_tui_knows_textual_and_click() -> None:
    found = [
        f"{source.relative_to(ROOT)}: {name}"
        for room in ROOMS
        if room != "tui"
        for source in sorted((ROOT / room).rglob("*.py"))
        for name in imported(source)
        if name.partition(".")[0] in ("textual", "click")
    ]
    assert found == []


def imported(source: Path) -> Iterator[str]:
    """Modules a file imports anywhere, also inside functions."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_every_module_can_be_imported() -> None:
    # a misspelt import in a module that nothing else loads would only show when a user needs it
    for room in ROOMS:
        for source in sorted((ROOT / room).rglob("*.py")):
            name = ".".join(source.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            assert importlib.import_module(name)


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(source.relative_to(ROOT))
        for room in ROOMS
        for source in sorted((ROOT / room).rglob("*.py"))
        if not ast.get_docstring(ast.parse(source.read_text(encoding="utf-8")))
    ]
    assert silent == []
