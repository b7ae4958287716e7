"""Declarative checks of an answer: what it must contain, equal, look like. Nothing is ever executed.

All parts of a check that are given must hold. Comparisons ignore case, and markup that models put around
an answer (asterisks, backquotes, quotation marks).
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from pydantic import model_validator

from memory.types import Record

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])[-−]?\d[\d,]*(?:\.\d+)?")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


class Check(Record):
    """What a right answer is. Give at least one part."""

    equals: tuple[str, ...] = ()
    """The whole answer is one of these, punctuation at its ends and case aside."""
    contains: tuple[str, ...] = ()
    """At least one of these occurs as whole words."""
    contains_all: tuple[str, ...] = ()
    """Each of these occurs as whole words."""
    lacks: tuple[str, ...] = ()
    """None of these occurs, not even inside a word."""
    pattern: str = ""
    """A regular expression that is found in the answer; `^` and `$` are its very ends."""
    number: float | None = None
    """The last number of the answer."""
    json_with: dict[str, Any] | None = None
    """The answer holds a JSON object with these members; a null accepts any value."""
    python: str = ""
    """The answer holds Python that parses and defines a function or class of this name."""
    words: tuple[int, int] | None = None
    """Least and most words."""
    lines: tuple[int, int] | None = None
    """Least and most lines that are not blank."""
    case: str = ""
    """`upper` or `lower`: all its letters are."""
    starts: str = ""
    """It begins so."""
    ends: str = ""
    """It ends so."""

    @model_validator(mode="after")
    def _says_something(self) -> Check:
        if self == Check.model_construct():
            raise ValueError("a check without any part would pass everything")
        if self.pattern:
            re.compile(self.pattern)
        if self.case not in ("", "upper", "lower"):
            raise ValueError("case must be `upper` or `lower`")
        return self

    def holds(self, answer: str) -> bool:
        """Whether this answer is right."""
        text = answer.strip()
        letters = [char for char in text if char.isalpha()]
        return all(
            (
                not self.equals or _bare(text) in {_bare(one) for one in self.equals},
                not self.contains or any(has_words(text, one) for one in self.contains),
                all(has_words(text, one) for one in self.contains_all),
                not any(one.casefold() in text.casefold() for one in self.lacks),
                not self.pattern or re.search(self.pattern, text) is not None,
                self.number is None or last_number(text) == self.number,
                self.json_with is None or _has_json(text, self.json_with),
                not self.python or defines(text, self.python),
                self.words is None or self.words[0] <= len(_WORD.findall(text)) <= self.words[1],
                self.lines is None
                or self.lines[0] <= sum(bool(line.strip()) for line in text.splitlines()) <= self.lines[1],
                self.case != "upper" or (bool(letters) and all(char.isupper() for char in letters)),
                self.case != "lower" or (bool(letters) and all(char.islower() for char in letters)),
                not self.starts or text.casefold().startswith(self.starts.casefold()),
                not self.ends or text.casefold().endswith(self.ends.casefold()),
            )
        )


def has_words(text: str, words: str) -> bool:
    """Whether `words` occurs in `text`, not as part of a longer word or number."""
    wanted = words.casefold()
    before = r"(?<!\w)" if wanted[:1].isalnum() else ""
    after = r"(?!\w)" if wanted[-1:].isalnum() else ""
    return re.search(f"{before}{re.escape(wanted)}{after}", text.casefold()) is not None


def last_number(text: str) -> float | None:
    """The last number in a text, thousands' commas understood; None when there is none."""
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "").replace("−", "-")) if found else None


def code_of(text: str) -> str:
    """The first fenced block, else the whole text."""
    fenced = _FENCE.search(text)
    return fenced[1] if fenced else text


def defines(text: str, name: str) -> bool:
    """Whether the Python in an answer parses and defines `name` as a function or class."""
    try:
        tree = ast.parse(code_of(text).strip("\n"))
    except (SyntaxError, ValueError, RecursionError):
        return False
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) and node.name == name for node in ast.walk(tree))


def _has_json(text: str, members: dict[str, Any]) -> bool:
    body = code_of(text)
    start = body.find("{")
    if start < 0:
        return False
    try:
        value, _ = json.JSONDecoder().raw_decode(body, start)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and all(
        key in value and (wanted is None or _same(value[key], wanted)) for key, wanted in members.items()
    )


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, str) and isinstance(wanted, str):
        return value.strip().casefold() == wanted.strip().casefold()
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def _bare(text: str) -> str:
    """Without case, markup and punctuation at the ends; blanks run together."""
    return " ".join(text.casefold().strip(" \t\r\n.!?,;:*`\"'“”‘’()[]").split())
