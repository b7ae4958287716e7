"""Procedures: what a tool conversation that went wrong first and right later teaches.

A call failed, a later call of the same tool succeeded, the turn ended well and the user did not mind: the
lesson is the right call, straight after the user's words, without the failure and the help that led to it.
The same where the user had to help: the call failed, and the user's next message says how it is done.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator

from agent.model.base import GenerateRequest, Model
from agent.sleep.english import stems
from agent.sleep.prompting import Example, batch, shown
from agent.sleep.questions import varied
from memory.types import Episode, Message, Record, Step, ToolCall, ToolResult, Turn

_HELP = re.compile(r"(?:^|\s)(?:--help|-h|-help|help|man|--usage|/\?)(?:\s|$)")
_WORD = re.compile(r"[\w.@+/-]+")
_FOLDER = ("In the working folder:", "The working folder is empty.")


class Procedure(Record):
    """One right call, learned from a wrong one."""

    statement: str
    """The request and the call that does it, for a person to read."""
    markup: str
    """The call as the model writes it."""
    span: str
    """The user's words."""
    turn: int
    """Index of its turn."""
    request: tuple[Message, ...]
    """The prompt it answers."""


def procedures(episode: Episode) -> list[Procedure]:
    """What a tool conversation teaches; nothing when the user rated it bad or took it back."""
    if episode.undone or (episode.feedback and episode.feedback[-1].rating == "bad"):
        return []
    found = []
    for index, turn in enumerate(episode.turns):
        if turn.outcome != "success" or turn.user.provenance != "user":
            continue
        found += [_procedure(episode, index, wrong, right) for wrong, right in _recovered(turn)]
    for index, (turn, after) in enumerate(itertools.pairwise(episode.turns)):
        if after.outcome == "success" and turn.user.provenance == after.user.provenance == "user":
            found += [_procedure(episode, index, wrong, right) for wrong, right in _corrected(turn, after)]
    return found


def markup(name: str, arguments: dict[str, object]) -> str:
    """A call as the model writes it."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def canonical(name: str, arguments: dict[str, object]) -> str:
    """A call as JSON in which equal calls are equal texts."""
    return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False, sort_keys=True)


def folder_line(message: Message) -> str:
    """What a message's context said about the working folder, the rest left out."""
    last = message.context.rsplit("\n\n", 1)[-1]
    return last if last.startswith(_FOLDER) else ""


def reworded(model: Model, request: str, call: str, samples: int, seed: int) -> list[str]:
    """A request in other words that still hold everything the call takes from it. Raises ModelError."""
    needed = {word for word in _WORD.findall(call.casefold()) if word in _WORD.findall(request.casefold())}
    requests = [
        GenerateRequest(
            messages=shown(
                _REWORD_TASK, _REWORD, f"{request}\nBegin with: {_OPENINGS[number % len(_OPENINGS)]}"
            ),
            max_tokens=80,
            temperature=0.0 if number < 2 else 0.8,
            top_p=0.95,
            seed=seed * 1000 + number,
        )
        for number in range(samples)
    ]
    lines = [text.splitlines()[0].strip() for text in batch(model, requests) if text]
    return varied(
        [
            line
            for line in lines
            if needed <= set(_WORD.findall(line.casefold()))
            and line != request
            and len(line) < 2 * len(request) + 60
            and stems(request) & stems(line)
        ]
    )


def _procedure(episode: Episode, index: int, wrong: int, right: ToolCall) -> Procedure:
    turn = episode.turns[index]
    asked = turn.user.model_copy(update={"context": folder_line(turn.user)})
    system = Message(role="system", content=episode.system, provenance="system")
    needed = _needed(turn, wrong, right)
    text = markup(right.name, right.arguments)
    body = json.dumps(right.arguments, ensure_ascii=False)
    return Procedure(
        statement=f'For the request "{turn.user.content.strip()}" the right call is {right.name} {body}.',
        markup=text,
        span=turn.user.content.strip(),
        turn=index,
        request=(system, asked, *needed),
    )


def _recovered(turn: Turn) -> Iterator[tuple[int, ToolCall]]:
    """For each tool that failed first: the step of its first failure, and its right call later."""
    made = list(_calls(turn.steps))
    done: set[str] = set()
    for place, (step, call, result) in enumerate(made):
        earlier = [canonical(c.name, c.arguments) for _, c, r in made[:place] if r.ok]
        # a call that was refused, or not made again because its result stands, shows no mistake
        if result.ok or result.refused or call.name in done:
            continue
        if canonical(call.name, call.arguments) in earlier:
            continue
        later = [
            (c, r) for _, c, r in made[place + 1 :] if c.name == call.name and r.ok and not _asks_help(c)
        ]
        if not later:
            continue
        done.add(call.name)
        wanted = set(_words(call))
        best = max(enumerate(later), key=lambda item: (_likeness(wanted, item[1][0]), item[0]))
        yield step, best[1][0]


def _corrected(turn: Turn, after: Turn) -> Iterator[tuple[int, ToolCall]]:
    """For each tool that only failed: the step of its first failure, and the call that the user's next
    message spells out."""
    made = list(_calls(turn.steps))
    told = set(_WORD.findall(after.user.content.casefold()))
    for name in dict.fromkeys(call.name for _, call, _ in made):
        results = [(step, result) for step, call, result in made if call.name == name]
        if any(result.ok or result.refused for _, result in results):
            continue
        for _, call, result in _calls(after.steps):
            values = set(_WORD.findall(json.dumps(list(call.arguments.values())).casefold()))
            if call.name == name and result.ok and values and values <= told:
                yield results[0][0], call
                break


def _calls(steps: tuple[Step, ...]) -> Iterator[tuple[int, ToolCall, ToolResult]]:
    for index, step in enumerate(steps):
        for call, result in zip(step.message.tool_calls, step.results, strict=False):
            yield index, call, result


def _words(call: ToolCall) -> list[str]:
    return _WORD.findall(json.dumps(call.arguments, ensure_ascii=False).casefold())


def _likeness(wanted: set[str], call: ToolCall) -> float:
    words = set(_words(call))
    return len(wanted & words) / max(1, len(wanted | words))


def _asks_help(call: ToolCall) -> bool:
    return any(isinstance(value, str) and _HELP.search(value) for value in call.arguments.values())


def _needed(turn: Turn, wrong: int, right: ToolCall) -> tuple[Message, ...]:
    """Steps before the mistake without which the right call could not be known."""
    known = " ".join((turn.user.content, turn.user.context)).casefold()
    missing = [word for word in set(_words(right)) if word not in known]
    before = [step for step in turn.steps[:wrong] if all(result.ok for result in step.results)]
    seen = " ".join(result.content for step in before for result in step.results).casefold()
    if not any(len(word) > 3 and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", seen) for word in missing):
        return ()
    return tuple(message for step in before for message in step.messages)


_REWORD_TASK = (
    "Say the request in other words. Names, numbers, paths and quoted text stay exactly as they are."
)
_REWORD: tuple[Example, ...] = (
    (
        "Count the lines of notes.txt.\nBegin with: How many",
        "How many lines does notes.txt have?",
    ),
    (
        "Use the brindle tool to stamp page 4 of plan.pdf with the word DRAFT.\nBegin with: I need",
        "I need the word DRAFT stamped on page 4 of plan.pdf; use the brindle tool.",
    ),
    (
        "Show me what the server said at 9:40.\nBegin with: Please",
        "Please look up what the server said at 9:40 and show it to me.",
    ),
)
_OPENINGS = ("Please", "Can you", "I need", "I want", "Now", "Could you", "My next wish:", "Let us")
