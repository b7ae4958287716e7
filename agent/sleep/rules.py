"""A rule at work: later tasks it applies to, with the answers that keep it.

The model invents requests to which a rule applies and answers each twice, with the rule at hand and
without. Where the rule changes the answer, what it changed is what a right answer holds. An answer that
only recites the rule shows that the model cannot keep it: then the request serves to ask which rule
matters, which is all that can be taught.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from agent.context import ASK_PROMPT
from agent.model.base import GenerateRequest, Model
from agent.sleep import english
from agent.sleep.prompting import Example, batch, shown
from agent.sleep.questions import varied
from memory.types import Message, Record

_TOKENS = 60
_LONGEST = 240
_MARKS = ".,;:!?\"'()"
_LITERAL = re.compile(r"[A-Z0-9@#$%&*+=<>/\\]")


class RuleTask(Record):
    """One request to which a rule applies."""

    request: str
    """The user's words; they do not repeat the rule."""
    answer: str = ""
    """An answer that keeps the rule; empty when the model has none."""
    expected: str = ""
    """What the rule put into it."""


def tasks(model: Model, rule: str, count: int, seed: int) -> list[RuleTask]:
    """Up to `count` requests to which the rule applies, first those whose answers keep it. Raises
    ModelError."""
    requests = [
        GenerateRequest(
            messages=shown(_TASK, _EXAMPLES, f"Rule: {rule}\nAbout: {about}"),
            max_tokens=_TOKENS,
            temperature=0.0 if number < 2 else 0.8,
            top_p=0.95,
            seed=seed * 1000 + number,
        )
        for number, about in enumerate(_ABOUT[: 2 * count])
    ]
    asked = varied([text.splitlines()[0].strip() for text in batch(model, requests) if text])
    asked = [text for text in asked if 8 <= len(text) <= 200 and not _tells(text, rule)]
    kept = batch(model, [_with_rule(text, rule) for text in asked])
    free = batch(model, [_without(text) for text in asked])
    found: list[RuleTask] = []
    for request, with_rule, without in zip(asked, kept, free, strict=True):
        expected = _new(with_rule, without, request)
        if expected and len(with_rule) <= _LONGEST and not _recites(with_rule, expected, request, rule):
            found.append(RuleTask(request=request, answer=with_rule, expected=expected))
        else:
            found.append(RuleTask(request=request))
    return sorted(found, key=lambda task: not task.answer)[:count]


def _with_rule(request: str, rule: str) -> GenerateRequest:
    messages = shown(_KEEP_TASK, _KEEP, f"Rule: {rule}\nRequest: {request}")
    return GenerateRequest(messages=messages, max_tokens=_TOKENS)


def _without(request: str) -> GenerateRequest:
    system = Message(role="system", content=ASK_PROMPT, provenance="system")
    user = Message(role="user", content=request, provenance="user")
    return GenerateRequest(messages=(system, user), max_tokens=_TOKENS)


def _recites(answer: str, expected: str, request: str, rule: str) -> bool:
    """Whether an answer speaks of the rule instead of keeping it. A name, a number or a sign that the rule
    gives is to be repeated."""
    told = english.stems(rule) - english.stems(request)
    given = english.stems(" ".join(word for word in rule.split()[1:] if _LITERAL.search(word)))
    if english.stems(expected) & given:
        return False
    return len(told & english.stems(answer)) > len(told) / 2 or bool(english.stems(expected) & told)


def _tells(request: str, rule: str) -> bool:
    """Whether a request repeats so much of the rule that it needs no knowing."""
    words = english.stems(rule)
    return len(words & english.stems(request)) > 0.6 * len(words)


def _new(with_rule: str, without: str, request: str) -> str:
    """The longest run of words that the rule brought into the answer and the request does not hold."""
    kept, free = (
        [word.strip(_MARKS) for word in text.split() if word.strip(_MARKS)] for text in (with_rule, without)
    )
    asked = english.fold(request)
    runs: Sequence[str] = [
        " ".join(kept[block[3] : block[4]])
        for block in difflib.SequenceMatcher(None, free, kept, autojunk=False).get_opcodes()
        if block[0] in ("replace", "insert")
    ]
    fresh = [run for run in runs if run and english.fold(run) not in asked and len(run.split()) <= 6]
    return max(fresh, key=len, default="")


_TASK = (
    "Write one request a user might make to which the rule applies. It does not mention the rule. The answer "
    "would have to keep the rule."
)
_EXAMPLES: tuple[Example, ...] = (
    (
        "Rule: Prices are always given with the currency in capitals.\nAbout: a shop",
        "Write a sign for the shop that says the lamp costs 30 euros.",
    ),
    (
        "Rule: Letters to Baron Hesk end with Ever yours.\nAbout: a garden",
        "Write a short letter to Baron Hesk about his roses.",
    ),
    (
        "Rule: Names of ships are always put in quotation marks.\nAbout: a journey",
        "Say in one sentence that we sailed to Lund on the Albatross.",
    ),
    (
        "Rule: Lengths are always given in metres.\nAbout: a house",
        "Describe in one sentence a hallway that is 120 centimetres long.",
    ),
)
_ABOUT = (
    "a meeting",
    "a friend",
    "a shop",
    "a journey",
    "the office",
    "a house",
    "a party",
    "a report",
    "a garden",
    "a letter",
    "a plan",
    "a mistake",
)
_KEEP_TASK = "Answer the request in one or two sentences and keep the rule. Do not mention the rule."
_KEEP: tuple[Example, ...] = (
    (
        "Rule: Prices are always given with the currency in capitals.\n"
        "Request: Write a sign for the shop that says the lamp costs 30 euros.",
        "This lamp costs 30 EUROS.",
    ),
    (
        "Rule: Letters to Baron Hesk end with Ever yours.\nRequest: Thank Baron Hesk for the roses.",
        "Dear Baron, thank you for the lovely roses. Ever yours",
    ),
    (
        "Rule: Names of ships are always put in quotation marks.\n"
        "Request: Say that we sailed to Lund on the Albatross.",
        'We sailed to Lund on the "Albatross".',
    ),
    (
        "Rule: Lengths are always given in metres.\nRequest: Describe a hallway of 120 centimetres.",
        "The hallway is 1.2 metres long.",
    ),
)
