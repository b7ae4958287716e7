"""The exam's own material: texts, instructions, tool probes, everyday prompts and anchors, all our own.

Kept as data files beside this module and shipped with it. Anchors are trained on and probes never are;
a test proves that no anchor is nearly a probe. Checks are declarative: nothing of an answer is ever run.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from agent.context import ASK_PROMPT, SYSTEM_PROMPT
from agent.errors import LearningError
from agent.sleep.checks import Check
from memory.types import Message, Record, ToolCall

FOLDER = Path(__file__).parent / "material"
R = TypeVar("R", bound=Record)


class Instruction(Record):
    """One instruction whose answer can be checked without judgement."""

    id: str
    """Unique in its file."""
    kind: str
    """What it asks for: `arithmetic`, `format`, `code`, `knowledge`, `words`, `logic` or `language`."""
    prompt: str
    """The user's words."""
    check: Check
    """What a right answer is."""
    max_tokens: int = 40
    """Room for the answer."""


class RightCall(Record):
    """One call that would be right."""

    name: str
    """The tool."""
    arguments: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Accepted values of the arguments that matter. One that begins with `~` is a regular expression
    to be found in the value; others are compared without case, surrounding blanks and a leading `./`."""

    def fits(self, call: ToolCall) -> bool:
        """Whether a call is this one."""
        return call.name == self.name and all(
            key in call.arguments and any(_value_fits(call.arguments[key], one) for one in accepted)
            for key, accepted in self.arguments.items()
        )


class ToolProbe(Record):
    """One request under the tools prompt, with the first call that is right."""

    id: str
    """Unique in its file."""
    prompt: str
    """The user's words."""
    files: tuple[str, ...] = ()
    """Names shown as the contents of the working folder."""
    right: tuple[RightCall, ...] = Field(min_length=1)
    """Calls of which any is right."""


class Everyday(Record):
    """One prompt in which nothing that was learned belongs."""

    id: str
    """Unique in its file."""
    prompt: str
    """The user's words."""


class Anchor(Record):
    """One prompt at which the model is to stay as it is."""

    id: str
    """Unique in its file."""
    prompt: str
    """The user's words."""
    tools: bool = False
    """Whether it stands under the tools prompt."""
    files: tuple[str, ...] = ()
    """Names shown as the contents of the working folder."""


@functools.cache
def texts() -> tuple[str, ...]:
    """Pieces of prose, code and dialogue, in the order of the files; each stands by itself."""
    pieces: list[str] = []
    for path in sorted(FOLDER.glob("text*.txt")):
        pieces += [piece.strip("\n") for piece in path.read_text(encoding="utf-8").split("\n%%\n")]
    return tuple(piece for piece in pieces if piece.strip())


@functools.cache
def instructions() -> tuple[Instruction, ...]:
    """Instructions with checkable answers."""
    return _read("instructions", Instruction)


@functools.cache
def tool_probes() -> tuple[ToolProbe, ...]:
    """Requests with the tool call they want."""
    return _read("tools", ToolProbe)


@functools.cache
def unrelated() -> tuple[Everyday, ...]:
    """Everyday prompts in which no lesson belongs."""
    return _read("unrelated", Everyday)


@functools.cache
def anchors() -> tuple[Anchor, ...]:
    """Prompts that hold general ability in place while training."""
    return _read("anchors", Anchor)


@functools.cache
def common_words() -> frozenset[str]:
    """Words, in lower case, that our own texts and prompts use: what anybody might say at any time."""
    said = [*texts(), *prompts(), *(anchor.prompt for anchor in anchors())]
    return frozenset(word for text in said for word in re.findall(r"[^\W\d_]+", text.casefold()))


def prompts() -> list[str]:
    """The user's words of every probe."""
    return [
        *(probe.prompt for probe in instructions()),
        *(probe.prompt for probe in tool_probes()),
        *(probe.prompt for probe in unrelated()),
    ]


def asking(prompt: str) -> tuple[Message, ...]:
    """A plain question as `ask` serves it."""
    return (
        Message(role="system", content=ASK_PROMPT, provenance="system"),
        Message(role="user", content=prompt, provenance="user"),
    )


def tasking(prompt: str, files: tuple[str, ...] = ()) -> tuple[Message, ...]:
    """A task as the waking loop serves it."""
    shown = f"In the working folder: {', '.join(files)}" if files else "The working folder is empty."
    return (
        Message(role="system", content=SYSTEM_PROMPT, provenance="system"),
        Message(role="user", content=prompt, context=shown, provenance="user"),
    )


def _read(stem: str, kind: type[R]) -> tuple[R, ...]:
    """All records of `STEM*.jsonl`. Raises LearningError for a damaged file."""
    found: list[R] = []
    for path in sorted(FOLDER.glob(f"{stem}*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                found.append(kind.model_validate({"id": f"{path.stem}:{number}", **json.loads(line)}))
            except (ValueError, ValidationError) as error:
                raise LearningError(
                    f"{path}, line {number} is damaged: {error}. Install Night School again."
                ) from error
    return tuple(found)


def _value_fits(value: Any, accepted: str) -> bool:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if accepted.startswith("~"):
        return re.search(accepted[1:], text, re.IGNORECASE | re.DOTALL) is not None
    return _plain(text) == _plain(accepted)


def _plain(text: str) -> str:
    return text.strip().strip("\"'`").removeprefix("./").rstrip("/").casefold()
