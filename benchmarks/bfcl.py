"""The Berkeley Function Calling Leaderboard's AST categories on the product's own model and grammar.

Reads `NAME.jsonl` and `NAME_answers.jsonl` from a folder the user names; without answers the category
expects no call at all (irrelevance). One turn an item, greedy, scored by `benchmarks.bfcl_rules`. Items of
several user turns are refused: those categories run code, which is another benchmark.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from agent.errors import UsageError
from agent.model.base import Delta, GenerateRequest, Model, TokenDelta, TurnEnd
from agent.model.relevance import is_judged
from agent.model.tool_calls import parse_calls
from benchmarks.bfcl_rules import score, to_tool
from memory.types import Message, Record, ToolCall

SYSTEM_PROMPT = (
    "You are Night School, an agent. Call a function only when it does what the user asks; "
    "when none of the functions fits, answer in plain words without calling any."
)
_MAX_TOKENS = 400
# Characters after which a turn has certainly not begun with a call.
_BEGUN = 60


class Item(Record):
    """One question with the functions on offer."""

    id: str
    """As in the data."""
    messages: tuple[Message, ...]
    """The conversation, our system prompt first."""
    functions: tuple[dict[str, Any], ...]
    """As in the data."""
    truth: tuple[dict[str, Any], ...]
    """The expected calls; empty expects none."""


class Marked(Record):
    """One item, answered and scored."""

    id: str
    correct: bool
    wrong: str
    """Why it is not correct; empty when it is."""
    unparseable: bool
    """Something was meant as a call and could not be read."""
    calls: tuple[ToolCall, ...]
    text: str
    """Free text of the answer."""
    seconds: float


class Result(Record):
    """The whole category."""

    category: str
    model: str
    constrained: bool
    n: int
    correct: int
    accuracy: float
    """correct / n."""
    unparseable: int
    """Items with something that could not be read as a call."""
    seconds: float
    """Wall-clock time of all items, loading left out."""


def load_items(data: Path, category: str, limit: int | None = None) -> list[Item]:
    """The items of a category, answers joined by id. Raises UsageError when the data is not as expected."""
    if not data.is_dir():
        raise UsageError(f"There is no folder {data}. Name the folder of the benchmark's files with --data.")
    questions = data / f"{category}.jsonl"
    if not questions.is_file():
        known = sorted(path.stem for path in data.glob("*.jsonl") if not path.stem.endswith("_answers"))
        there = f"there are: {', '.join(known)}" if known else "it holds no .jsonl files"
        raise UsageError(f"There is no category `{category}` in {data}; {there}.")
    answers = data / f"{category}_answers.jsonl"
    truth = (
        {line.get("id"): line.get("ground_truth") for line in _lines(answers)} if answers.is_file() else {}
    )
    items = []
    for line in _lines(questions)[:limit]:
        try:
            items.append(_item(line, truth if answers.is_file() else None))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            name = line.get("id", "?")
            raise UsageError(
                f"Item {name} of {questions} is not as the leaderboard has it: {error!r}."
            ) from error
    if not items:
        raise UsageError(f"{questions} holds no items.")
    return items


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text.") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise UsageError(f"Line {number} of {path} is not a JSON object.")
        found.append(value)
    return found


def _item(line: dict[str, Any], truth: dict[Any, Any] | None) -> Item:
    turns = line["question"]
    if len(turns) != 1:
        raise ValueError(f"{len(turns)} user turns; only single-turn categories are scored here")
    expected = line.get("ground_truth", ()) if truth is None else truth[line["id"]]
    said = [
        Message(role=message["role"], content=message["content"], provenance=message["role"])
        for message in turns[0]
        if message["role"] != "system"
    ]
    own = [message["content"] for message in turns[0] if message["role"] == "system"]
    system = Message(role="system", content="\n\n".join([SYSTEM_PROMPT, *own]), provenance="system")
    for function in line["function"]:
        to_tool(function)
    return Item(
        id=str(line["id"]),
        messages=(system, *said),
        functions=tuple(line["function"]),
        truth=tuple(expected or ()),
    )


def mark(model: Model, item: Item, constrain: bool = True) -> Marked:
    """Answer one item and score it."""
    started = time.monotonic()
    tools = tuple(to_tool(function) for function in item.functions)
    request = GenerateRequest(
        messages=item.messages, tools=tools, max_tokens=_MAX_TOKENS, constrain=constrain
    )
    parsed = parse_calls(_answer(model, request), tools, "call_0")
    wrong = " ".join(parsed.errors) or score(parsed.calls, item.functions, item.truth) or ""
    return Marked(
        id=item.id,
        correct=not wrong,
        wrong=wrong,
        unparseable=bool(parsed.errors),
        calls=parsed.calls,
        text=parsed.text,
        seconds=round(time.monotonic() - started, 3),
    )


def _answer(model: Model, request: GenerateRequest) -> str:
    """The turn's text. Where the constraint has settled on text no call can follow, so the rest of the
    text is not waited for."""
    settled = request.constrain and model.capabilities.constrained and is_judged(request)
    text = ""
    stream = cast("Generator[Delta]", model.stream(request))
    with closing(stream):
        for delta in stream:
            if isinstance(delta, TurnEnd):
                return delta.text
            if isinstance(delta, TokenDelta):
                text += delta.text
                if settled and len(text) > _BEGUN and "<tool_call>" not in text:
                    break
    return text


def sum_up(marked: Sequence[Marked], category: str, model: str, constrained: bool) -> Result:
    """The category's figures."""
    correct = sum(item.correct for item in marked)
    return Result(
        category=category,
        model=model,
        constrained=constrained,
        n=len(marked),
        correct=correct,
        accuracy=correct / len(marked) if marked else 0.0,
        unparseable=sum(item.unparseable for item in marked),
        seconds=round(sum(item.seconds for item in marked), 3),
    )
