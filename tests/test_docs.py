"""The documents tell the truth: commands, options, make targets, keys and files they name exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.test_imports import commands
from tui.cli.main import nightschool
from tui.cli.output import Cli

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_INLINE = re.compile(r"`([^`]+)`")
_FILE = re.compile(r"[\w.-]+(/[\w.-]+)+\.(py|toml|jsonl|md|tcss)")


def code_in(document: Path) -> Iterator[str]:
    """Indented blocks line by line, fenced blocks line by line, and what stands in backticks."""
    text = document.read_text(encoding="utf-8")
    fenced = False
    prose = []
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()
        else:
            prose.append(line)
    for found in _INLINE.findall("\n".join(prose)):
        yield " ".join(found.split())


def named_in(document: Path, program: str) -> Iterator[str]:
    """What follows `program` in each line of code that runs it, without its comment."""
    for code in code_in(document):
        if found := re.match(rf"(?:[\w./~-]*/)?{program}(?:\s+(.*))?$", code.split("  # ")[0].strip()):
            yield found.group(1) or ""


def every(program: str) -> list[tuple[str, str]]:
    return [(str(path.relative_to(ROOT)), line) for path in DOCUMENTS for line in named_in(path, program)]


def check(words: list[str]) -> None:
    """Parse a command line as click would, without running it."""
    command: click.Command = nightschool
    context: click.Context | None = None
    while True:
        try:
            context = command.make_context(words[0] if words else "nightschool", list(words), parent=context)
        except click.exceptions.Exit as stop:
            assert stop.exit_code == 0
            return
        except click.exceptions.NoArgsIsHelpError:
            return
        context.obj = context.obj or Cli(None)
        if not isinstance(command, click.Group):
            return
        # click 8 keeps the name of the subcommand apart from what follows it, click 9 will not
        words = [*getattr(context, "_protected_args", ()), *context.args]
        if not words:
            return
        _, found, rest = command.resolve_command(context, words)
        assert found is not None
        command, words = found, rest


def test_the_readme_names_the_commands_people_need() -> None:
    named = {line.split()[0] for document, line in every("nightschool") if document == "README.md" and line}
    assert {"run", "chat", "ask", "remember", "episodes", "feedback", "undo", "sandbox", "doctor"} <= named


@pytest.mark.parametrize(("document", "line"), every("nightschool"))
def test_a_named_command_exists(document: str, line: str) -> None:
    check(shlex.split(line))


@pytest.mark.parametrize("path", list(commands(nightschool)), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(nightschool, [*path, "--help"], obj=Cli(None))
    assert shown.exit_code == 0
    summary = shown.output.split("\n\n")[1].strip()
    assert summary and not summary.startswith("Options:")


def test_named_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {line.split()[0] for _, line in every("make") if line}
    assert {"demo", "test"} <= named <= targets


def test_named_files_exist() -> None:
    missing = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            if not (document.parent / target).exists():
                missing.append(f"{document.name}: {target}")
        for code in code_in(document):
            if _FILE.fullmatch(code) and not (ROOT / code).exists():
                missing.append(f"{document.name}: {code}")
    assert missing == []


def test_the_readme_names_real_settings() -> None:
    from agent.config import known_keys

    sections = {key.partition(".")[0] for key in known_keys()}
    for document in DOCUMENTS:
        for code in code_in(document):
            if (found := re.fullmatch(r"([a-z]+)\.([a-z_]+)", code)) and found.group(1) in sections:
                assert code in known_keys(), f"{document.name} names {code}"
