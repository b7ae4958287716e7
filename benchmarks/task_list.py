"""Twenty small tasks with a check each: five on files, five for the shell, five in Python, five of
several steps. A check looks at the workspace and the answer only, never at how it was done."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Check = Callable[[Path, str], bool]


@dataclass(frozen=True)
class BenchTask:
    """One task."""

    name: str
    """Unique."""
    kind: str
    """`file`, `shell`, `python` or `multi-step`."""
    text: str
    """What the agent is asked."""
    check: Check
    """Whether it was done, from workspace and answer."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The workspace at the start."""


def _says(*expected: str) -> Check:
    """The answer holds each of these as a word of its own, thousands separators aside."""

    def check(workspace: Path, answer: str) -> bool:
        plain = re.sub(r"(?<=\d),(?=\d{3})", "", answer.lower())
        return all(re.search(rf"(?<![\w.]){re.escape(word.lower())}(?![\w])", plain) for word in expected)

    return check


def _file(name: str, expected: str) -> Check:
    """The file holds exactly this text, white space at the end of lines and file aside."""

    def check(workspace: Path, answer: str) -> bool:
        path = workspace / name
        return path.is_file() and _lines(path.read_text(errors="replace")) == _lines(expected)

    return check


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def _all(*checks: Check) -> Check:
    return lambda workspace, answer: all(check(workspace, answer) for check in checks)


def _script_prints(name: str, expected: str) -> Check:
    """The script is there and the answer says what it prints."""

    def check(workspace: Path, answer: str) -> bool:
        return (workspace / name).is_file() and _says(expected)(workspace, answer)

    return check


def _json_is(name: str, expected: object) -> Check:
    def check(workspace: Path, answer: str) -> bool:
        try:
            return bool(json.loads((workspace / name).read_text()) == expected)
        except (OSError, ValueError):
            return False

    return check


def _csv_is(name: str, expected: list[list[str]]) -> Check:
    def check(workspace: Path, answer: str) -> bool:
        try:
            text = (workspace / name).read_text()
        except OSError:
            return False
        return [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if row] == expected

    return check


_NOTES = "buy milk\ncall Ada at 15:00\nreturn the library books\nwater the plants\n"
_LOG = "".join(
    f"2031-04-0{1 + i % 5} {'ERROR' if i % 7 == 0 else 'INFO'} worker-{i % 3} job {i}\n" for i in range(40)
)
_SALES = "region,amount\nnorth,120\nsouth,80\nnorth,45\neast,60\nsouth,25\n"
_BROKEN = "def mean(values):\n    return sum(values) / len(value)\n\nprint(mean([2, 4, 9]))\n"

TASKS: tuple[BenchTask, ...] = (
    BenchTask(
        "write",
        "file",
        "Create a file hello.txt that contains the text: Hello, night.",
        _file("hello.txt", "Hello, night."),
    ),
    BenchTask(
        "read",
        "file",
        "Read notes.txt and tell me at what time Ada has to be called.",
        _says("15:00"),
        {"notes.txt": _NOTES},
    ),
    BenchTask(
        "edit",
        "file",
        "In settings.ini change the port from 8080 to 9090. Change nothing else.",
        _file("settings.ini", "[server]\nhost = localhost\nport = 9090\n"),
        {"settings.ini": "[server]\nhost = localhost\nport = 8080\n"},
    ),
    BenchTask(
        "search",
        "file",
        "Which file in this folder contains the word heron? Answer with its name.",
        _says("birds.txt"),
        {"fish.txt": "trout\nperch\n", "birds.txt": "wren\nheron\n", "trees.txt": "oak\nelm\n"},
    ),
    BenchTask(
        "append",
        "file",
        "Add the line: feed the cat\nto the end of notes.txt. Keep the other lines.",
        _file("notes.txt", _NOTES + "feed the cat\n"),
        {"notes.txt": _NOTES},
    ),
    BenchTask(
        "count-lines",
        "shell",
        "Use a shell command to count the lines of server.log. How many are there?",
        _says("40"),
        {"server.log": _LOG},
    ),
    BenchTask(
        "count-errors",
        "shell",
        "Use grep to count the lines with ERROR in server.log. How many are there?",
        _says("6"),
        {"server.log": _LOG},
    ),
    BenchTask(
        "make-folders",
        "shell",
        "Make the folders src and docs with a shell command, and an empty file src/main.c.",
        lambda w, a: (w / "src/main.c").is_file() and (w / "docs").is_dir(),
    ),
    BenchTask(
        "rename",
        "shell",
        "Rename the file draft.md to final.md with a shell command.",
        lambda w, a: (w / "final.md").is_file() and not (w / "draft.md").exists(),
        {"draft.md": "# Draft\n"},
    ),
    BenchTask(
        "sort",
        "shell",
        "Sort the lines of names.txt with a shell command and save them as sorted.txt.",
        _file("sorted.txt", "Ada\nGrace\nLin\nOtto\n"),
        {"names.txt": "Otto\nAda\nLin\nGrace\n"},
    ),
    BenchTask("power", "python", "Use Python to compute 2**31 - 1. What is the result?", _says("2147483647")),
    BenchTask(
        "sum-primes",
        "python",
        "Use Python to compute the sum of all prime numbers below 100. What is it?",
        _says("1060"),
    ),
    BenchTask(
        "weekday",
        "python",
        "Use Python to find out which weekday 14 March 2030 is.",
        _says("thursday"),
    ),
    BenchTask(
        "csv-total",
        "python",
        "Use Python to add up the amount column of sales.csv. What is the total?",
        _says("330"),
        {"sales.csv": _SALES},
    ),
    BenchTask(
        "hash",
        "python",
        "Use Python's hashlib to compute the md5 hex digest of the text night. What is it?",
        _says("93a04b066fd81a1017825f2dcda313b2"),
    ),
    BenchTask(
        "script",
        "multi-step",
        "Write a Python file squares.py that prints the squares of 1 to 5, one per line, and run it. "
        "What is the last number it prints?",
        _script_prints("squares.py", "25"),
    ),
    BenchTask(
        "fix",
        "multi-step",
        "mean.py has a bug. Run it, fix it, run it again, and tell me what it prints.",
        _all(_says("5.0"), lambda w, a: "len(values)" in (w / "mean.py").read_text()),
        {"mean.py": _BROKEN},
    ),
    BenchTask(
        "to-json",
        "multi-step",
        "Read people.csv and write people.json: a list of objects with name and age, age as a number.",
        _json_is("people.json", [{"name": "Ada", "age": 36}, {"name": "Lin", "age": 29}]),
        {"people.csv": "name,age\nAda,36\nLin,29\n"},
    ),
    BenchTask(
        "totals",
        "multi-step",
        "Add up the amounts in sales.csv for each region and write totals.csv with the header region,total "
        "and the regions in alphabetical order.",
        _csv_is("totals.csv", [["region", "total"], ["east", "60"], ["north", "165"], ["south", "105"]]),
        {"sales.csv": _SALES},
    ),
    BenchTask(
        "two-files",
        "multi-step",
        "a.txt and b.txt hold one number each. Write their product into product.txt and tell me the product.",
        _all(_says("391"), _file("product.txt", "391")),
        {"a.txt": "17\n", "b.txt": "23\n"},
    ),
)
