"""The published files of GSM8K, HumanEval, IFEval and WikiText-2, as questions that can mark an answer.

Sources: Cobbe et al. 2021 (GSM8K), Chen et al. 2021 (HumanEval), Zhou et al. 2023 (IFEval), Merity et al.
2016 (WikiText). Prompts are ours and zero-shot.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import secrets
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agent.errors import UsageError
from agent.sleep.checks import code_of, defines, last_number
from benchmarks.ifeval_rules import can_check, follows
from sandbox.base import Command, Limits, Sandbox

T = TypeVar("T")
_PASSAGE_CHARS = 2000
_PROGRAM = Limits(wall_seconds=10.0, cpu_seconds=10, memory_bytes=1 << 30, output_bytes=1 << 16)


@dataclass(frozen=True)
class Marked:
    """One answer, marked."""

    wrong: str = ""
    """Why it is wrong; empty when it is right."""
    parts: tuple[tuple[str, bool], ...] = ()
    """Single instructions of the item and whether each was followed, where it has such."""


@dataclass(frozen=True)
class Question:
    """One item."""

    id: str
    """As in the data."""
    system: str
    """System prompt."""
    prompt: str
    """The user's words."""
    max_tokens: int
    """Room for the answer."""
    mark: Callable[[str], Marked]
    """Marks an answer."""


def gsm8k(folder: Path) -> list[Question]:
    """Grade-school problems; the last number of the answer counts, after `####` where that stands."""
    system = (
        "You are Night School, a helpful assistant. Solve the problem step by step in few words. "
        "End with a line that reads #### and the final number."
    )

    def question(number: int, line: dict[str, Any]) -> Question:
        wanted = last_number(str(line["answer"]).rpartition("####")[2])
        if wanted is None:
            raise ValueError("no number after ####")

        def mark(answer: str) -> Marked:
            final = answer.rpartition("####")[2] if "####" in answer else answer
            found = last_number(final) if "####" not in answer else _first_number(final)
            return Marked("" if found == wanted else f"{_shown(found)} instead of {_shown(wanted)}")

        return Question(f"gsm8k/{number}", system, line["question"], 320, mark)

    return _read(folder / "test.jsonl", question)


def humaneval(folder: Path, sandbox: Sandbox) -> list[Question]:
    """Functions to complete; right when the published test passes in the sandbox."""
    system = (
        "You are Night School, a helpful assistant. Complete the Python function. "
        "Answer with the whole function in one code block and nothing else."
    )

    def question(number: int, line: dict[str, Any]) -> Question:
        prompt, entry, test = str(line["prompt"]), str(line["entry_point"]), str(line["test"])

        def mark(answer: str) -> Marked:
            # what stands before the function, such as imports and helpers, is often left out of the answer
            before = prompt[: prompt.rindex(f"def {entry}")]
            program = (
                f"{before}\n{code_of(answer)}" if defines(answer, entry) else f"{prompt}{code_of(answer)}"
            )
            return Marked(run_program(sandbox, f"{program}\n\n{test}\n\ncheck({entry})\n"))

        return Question(line["task_id"], system, f"```python\n{prompt}```", 400, mark)

    return _read(folder / "HumanEval.jsonl.gz", question)


def run_program(sandbox: Sandbox, program: str) -> str:
    """Run a program in the sandbox; why it failed, empty when it ran to its end."""
    # exiting early must not look like success
    token = secrets.token_hex(8)
    whole = f"{program}\nprint({token!r})\n"
    with tempfile.TemporaryDirectory() as folder:
        command = Command(
            argv=(sys.executable, "-I", "-"),
            workspace=Path(folder).resolve(),
            stdin=whole.encode("utf-8", "replace"),
        )
        result = asyncio.run(sandbox.run(command, _PROGRAM))
    if result.timed_out:
        return "it did not end within 10 seconds"
    if result.exit_code == 0 and token.encode() in result.stdout:
        return ""
    lines = result.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else f"exit code {result.exit_code}"


def ifeval(folder: Path) -> tuple[list[Question], int]:
    """Prompts whose every instruction can be checked here, and how many prompts there are in all."""
    system = "You are Night School, a helpful assistant."
    total = 0

    def question(number: int, line: dict[str, Any]) -> Question | None:
        nonlocal total
        total += 1
        kinds = list(zip(line["instruction_id_list"], line["kwargs"], strict=True))
        if not all(can_check(kind, options) for kind, options in kinds):
            return None

        def mark(answer: str) -> Marked:
            parts = tuple((kind, follows(kind, options, answer)) for kind, options in kinds)
            return Marked(", ".join(kind for kind, right in parts if not right), parts)

        return Question(f"ifeval/{line['key']}", system, line["prompt"], 640, mark)

    return [found for found in _read(folder / "input_data.jsonl", question) if found is not None], total


def passages(folder: Path) -> list[str]:
    """The test text in passages of about two thousand characters, cut at line ends."""
    path = folder / "test.txt"
    pieces: list[str] = []
    gathered = ""
    for line in _text(path).splitlines(keepends=True):
        gathered += line
        if len(gathered) >= _PASSAGE_CHARS:
            pieces.append(gathered.strip())
            gathered = ""
    return [piece for piece in (*pieces, gathered.strip()) if piece]


def _shown(number: float | None) -> str:
    return "nothing" if number is None else f"{number:.12g}"


def _first_number(text: str) -> float | None:
    """The number that follows `####`, whatever is said after it."""
    found = re.search(r"[-−]?\d[\d,]*(?:\.\d+)?", text)
    return last_number(found[0]) if found else None


def _read(path: Path, make: Callable[[int, dict[str, Any]], T]) -> list[T]:
    made = []
    for number, line in enumerate(_text(path).split("\n")):
        if not line.strip():
            continue
        try:
            made.append(make(number, json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(f"Line {number + 1} of {path} is not as published: {error!r}.") from error
    if not made:
        raise UsageError(f"{path} holds no items.")
    return made


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"There is no {path}. Name the folder of the suites' files with --data.") from error
    except (OSError, EOFError) as error:
        raise UsageError(f"Cannot read {path}: {error}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text.") from error
