"""General ability before and after learning: GSM8K, HumanEval, IFEval, WikiText-2 and BFCL.

Reads the published files from a folder the user names, in sub-folders named like the suites; nothing of them
is shipped, kept or trained on. Answers are greedy and free-running under the product's own model, with an
adapter or without. Programs run in the sandbox and nowhere else. Zero-shot with our own prompts, so the
figures compare with each other and not with a leaderboard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from agent.errors import UsageError
from agent.model.base import GenerateRequest, Model
from agent.sleep.noise import rate
from benchmarks.bfcl import load_items, mark
from benchmarks.general_data import Question, gsm8k, humaneval, ifeval, passages
from memory.adapters import AdapterRegistry
from memory.types import Message, Record
from sandbox.base import Sandbox

Suite = Literal["gsm8k", "humaneval", "ifeval", "wikitext2", "bfcl"]
SUITES: tuple[Suite, ...] = ("gsm8k", "humaneval", "ifeval", "wikitext2", "bfcl")
_BFCL = ("simple_python", "multiple", "irrelevance")
_FILES = {
    "gsm8k": ("test.jsonl",),
    "humaneval": ("HumanEval.jsonl.gz",),
    "ifeval": ("input_data.jsonl",),
    "wikitext2": ("test.txt",),
    "bfcl": tuple(f"{name}.jsonl" for name in _BFCL),
}
# Answers of one batch: enough to decode together, few enough to see progress.
_TOGETHER = 16


class Row(Record):
    """One item, answered and marked."""

    id: str
    """As in the data."""
    correct: bool
    """Whether it is right."""
    wrong: str = ""
    """Why not."""
    answer: str = ""
    """What the model said."""


class General(Record):
    """One suite under one adapter."""

    suite: str
    """Which."""
    model: str
    """Catalogue name."""
    adapter: str | None
    """Adapter, None for the base model."""
    n: int
    """Items (passages for wikitext2) asked."""
    of: int
    """Items there are."""
    accuracy: float | None = None
    """Share of right answers; None for wikitext2."""
    low: float | None = None
    """Lower end of its 95% Wilson interval."""
    high: float | None = None
    """Upper end."""
    nll: float | None = None
    """Nats a token; only for wikitext2."""
    tokens: int | None = None
    """Tokens that were predicted; only for wikitext2."""
    parts: dict[str, float] = Field(default_factory=dict)
    """Shares of parts: BFCL's categories, IFEval's single instructions."""
    covered: float | None = None
    """Share of IFEval's items that can be checked here; the others are left out."""
    seconds: float
    """Wall-clock time, loading left out."""


def run_general(
    model: Model,
    suite: Suite,
    data: Path,
    *,
    adapter: str | None = None,
    limit: int | None = None,
    sandbox: Sandbox | None = None,
    on_row: Callable[[Row, int, int], None] = lambda row, done, total: None,
) -> General:
    """Run one suite with whichever adapter is active. `limit`: only the first N items (of each category of
    BFCL). `sandbox` is needed for HumanEval. Raises UsageError when the data is not as expected.
    """
    check_data(data, suite)
    began = time.monotonic()
    if suite == "wikitext2":
        result = _text(model, _folder(data, suite), limit)
    elif suite == "bfcl":
        result = _calls(model, _folder(data, suite), limit, on_row)
    else:
        result = _questions(model, suite, _folder(data, suite), limit, sandbox, on_row)
    return result.model_copy(
        update={"adapter": adapter, "seconds": round(time.monotonic() - began, 1), "model": model.name}
    )


def check_data(data: Path, suite: str) -> None:
    """Raise UsageError unless the suite's files are there: to be asked before weights are loaded."""
    folder = _folder(data, suite)
    if not any((folder / name).is_file() for name in _FILES[suite]):
        names = " or ".join(_FILES[suite])
        raise UsageError(f"{folder} holds no {names}. Name the folder of the suites' files with --data.")


def _folder(data: Path, suite: str) -> Path:
    if not data.is_dir():
        raise UsageError(f"There is no folder {data}. Name the folder of the suites' files with --data.")
    return data / suite if (data / suite).is_dir() else data


def _questions(
    model: Model,
    suite: str,
    folder: Path,
    limit: int | None,
    sandbox: Sandbox | None,
    on_row: Callable[[Row, int, int], None],
) -> General:
    covered = None
    if suite == "gsm8k":
        questions = gsm8k(folder)
    elif suite == "humaneval":
        if sandbox is None:
            raise UsageError("HumanEval runs programs and needs a sandbox.")
        questions = humaneval(folder, sandbox)
    else:
        questions, there_are = ifeval(folder)
        covered = round(len(questions) / there_are, 4)
    chosen = questions[:limit]
    rows: list[Row] = []
    parts: dict[str, list[bool]] = {}
    for start in range(0, len(chosen), _TOGETHER):
        part = chosen[start : start + _TOGETHER]
        ends = model.generate_batch([_request(question) for question in part])
        for question, end in zip(part, ends, strict=True):
            marked = question.mark(end.text)
            for name, right in marked.parts:
                parts.setdefault(name, []).append(right)
            rows.append(Row(id=question.id, correct=not marked.wrong, wrong=marked.wrong, answer=end.text))
            on_row(rows[-1], len(rows), len(chosen))
    shares = {name: _share(rights) for name, rights in sorted(parts.items())}
    if parts:
        shares["every instruction"] = _share([right for rights in parts.values() for right in rights])
    return _summed(suite, rows, len(questions), parts=shares, covered=covered)


def _request(question: Question) -> GenerateRequest:
    return GenerateRequest(
        messages=(
            Message(role="system", content=question.system, provenance="system"),
            Message(role="user", content=question.prompt, provenance="user"),
        ),
        max_tokens=question.max_tokens,
    )


def _calls(model: Model, folder: Path, limit: int | None, on_row: Callable[[Row, int, int], None]) -> General:
    categories = [name for name in _BFCL if (folder / f"{name}.jsonl").is_file()]
    items = {name: load_items(folder, name) for name in categories}
    total = sum(len(found[:limit]) for found in items.values())
    rows: list[Row] = []
    parts: dict[str, float] = {}
    for name, found in items.items():
        rights: list[bool] = []
        for item in found[:limit]:
            marked = mark(model, item, constrain=True)
            rights.append(marked.correct)
            rows.append(Row(id=item.id, correct=marked.correct, wrong=marked.wrong, answer=marked.text))
            on_row(rows[-1], len(rows), total)
        parts[name] = _share(rights)
    return _summed("bfcl", rows, sum(map(len, items.values())), parts=parts)


def _text(model: Model, folder: Path, limit: int | None) -> General:
    from agent.model.text_nll import text_nll

    every = passages(folder)
    scores = text_nll(model, every[:limit])
    tokens = sum(score.tokens for score in scores)
    if not tokens:
        raise UsageError(f"The text in {folder} is too short to be predicted.")
    return General(
        suite="wikitext2",
        model="",
        adapter=None,
        n=len(every[:limit]),
        of=len(every),
        nll=sum(score.nats for score in scores) / tokens,
        tokens=tokens,
        seconds=0.0,
    )


def _summed(suite: str, rows: Sequence[Row], of: int, **more: Any) -> General:
    share = rate(sum(row.correct for row in rows), len(rows))
    return General(
        suite=suite,
        model="",
        adapter=None,
        n=len(rows),
        of=of,
        accuracy=share.value,
        low=round(share.low, 4),
        high=round(share.high, 4),
        seconds=0.0,
        **more,
    )


def _share(rights: Sequence[bool]) -> float:
    return round(sum(rights) / len(rights), 4) if rights else 0.0


def adapter_folder(adapters: Path, name: str, base: str) -> Path | None:
    """The folder of a home's adapter; None for `none`. Raises AdapterError for one that is not there or
    damaged, UsageError for one of another base model."""
    if name == "none":
        return None
    registry = AdapterRegistry(adapters)
    card = registry.get(name)
    if card.base != base:
        raise UsageError(
            f"Adapter {card.id} was trained for {card.base}, not for {base}. Give --model {card.base}."
        )
    return registry.path(card.id)
