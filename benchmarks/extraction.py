"""How well lessons are found in conversations: precision and recall on labelled ones, and what they give.

The conversations are our own (`conversations.jsonl`): 40 to develop on, 60 to be tested on. A candidate is
right when it says what a label says (its words, and no others), with the label's answer; a second one for
the same label is wrong. What a label leaves open (a name that a pronoun may have been resolved to) neither
counts nor harms.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from agent.model.base import GenerateRequest, Model
from agent.sleep import english
from agent.sleep.agree import contains_answer
from agent.sleep.extract import Candidate, candidates
from agent.sleep.regenerate import phrasings
from memory.learning import LessonKind
from memory.types import (
    Episode,
    EpisodeKind,
    Feedback,
    Message,
    Provenance,
    Record,
    Step,
    ToolCall,
    ToolResult,
    Turn,
)
from skills.tool import ToolSpec

Split = Literal["dev", "test"]
_FILE = Path(__file__).parent / "conversations.jsonl"


class Label(Record):
    """One fact that a conversation tells."""

    kind: LessonKind
    """What it should be found as."""
    statement: str
    """The fact as one sentence."""
    answer: str
    """Its core."""
    span: str
    """Where the user says it."""
    also: tuple[str, ...] = ()
    """Other cores of the same fact, where it has several."""
    optional: tuple[str, ...] = ()
    """Words of the statement that may be missing."""


class ToolText(Record):
    """What a tool gave back during a turn."""

    name: str
    """The tool."""
    content: str
    """Its output."""
    provenance: Provenance
    """Where the output is from."""


class Said(Record):
    """One turn of a conversation."""

    user: str
    """The user's words."""
    context: str = ""
    """Helping text that was recalled."""
    tools: tuple[ToolText, ...] = ()
    """What tools gave back."""
    answer: str
    """The assistant's words."""


class Remark(Record):
    """Feedback given afterwards."""

    rating: Literal["good", "bad"]
    """Thumbs up or down."""
    text: str
    """The remark."""


class Conversation(Record):
    """One labelled conversation."""

    id: str
    """Unique in the file."""
    split: Split
    """For developing or for testing."""
    kind: EpisodeKind
    """What sort of episode it is."""
    turns: tuple[Said, ...]
    """At least one."""
    feedback: tuple[Remark, ...] = ()
    """Oldest first."""
    facts: tuple[Label, ...]
    """What is to be found; often nothing."""


class Judged(Record):
    """One conversation with what was found in it."""

    id: str
    """The conversation."""
    found: tuple[Candidate, ...]
    """The candidates."""
    right: tuple[bool, ...]
    """Whether each is right."""
    kinds_right: int
    """Right ones that were also given the right kind."""
    missed: tuple[Label, ...]
    """Labels that no candidate matched."""
    seconds: float
    """Time it took."""


class Yield(Record):
    """What one lesson's regeneration gave."""

    statement: str
    """The lesson."""
    trained: int
    """Phrasings to train on."""
    held_out: int
    """Phrasings set aside."""
    usable: int
    """Of all of them, those the model answers rightly when it is given the statement."""
    seconds: float
    """Time it took."""

    @property
    def share(self) -> float:
        """Usable share."""
        return self.usable / max(1, self.trained + self.held_out)


class ExtractionResult(Record):
    """The whole run."""

    model: str
    """Catalogue name."""
    split: Split
    """Which conversations."""
    conversations: int
    """How many."""
    labels: int
    """Facts told in them."""
    found: int
    """Candidates."""
    right: int
    """Right candidates."""
    precision: float
    """Right of found."""
    recall: float
    """Labels found."""
    kinds: float
    """Share of right candidates with the right kind."""
    empty_kept_empty: float
    """Share of conversations without a fact in which none was found."""
    lessons: int
    """Right candidates that were put into phrasings."""
    usable: float
    """Mean share of usable phrasings per lesson."""
    trained: float
    """Mean number of phrasings to train on."""
    held_out: float
    """Mean number set aside."""
    seconds_per_conversation: float
    """Mean time of extraction."""
    seconds_per_lesson: float
    """Mean time of regeneration."""


def conversations(split: Split) -> list[Conversation]:
    """The labelled conversations of one split."""
    rows = [json.loads(line) for line in _FILE.read_text(encoding="utf-8").splitlines()]
    return [found for found in map(Conversation.model_validate, rows) if found.split == split]


def episode_of(conversation: Conversation) -> Episode:
    """The conversation as an episode would record it."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Episode(
        id=f"ep_{conversation.id}",
        kind=conversation.kind,
        turns=tuple(_turn(index, said) for index, said in enumerate(conversation.turns)),
        workspace=None,
        model="benchmark",
        started_at=at,
        ended_at=at,
        feedback=tuple(Feedback(rating=one.rating, text=one.text, at=at) for one in conversation.feedback),
    )


def judge(conversation: Conversation, found: Sequence[Candidate], seconds: float = 0.0) -> Judged:
    """Compare what was found with the labels."""
    left = list(conversation.facts)
    right: list[bool] = []
    kinds = 0
    for one in found:
        match = next((label for label in left if says(one, label)), None)
        right.append(match is not None)
        if match is not None:
            left.remove(match)
            kinds += match.kind == one.kind
    return Judged(
        id=conversation.id,
        found=tuple(found),
        right=tuple(right),
        kinds_right=kinds,
        missed=tuple(left),
        seconds=seconds,
    )


def says(candidate: Candidate, label: Label) -> bool:
    """Whether a candidate says what a label says."""
    whole = english.stems(label.statement)
    free = english.stems(" ".join(label.optional))
    said = english.stems(candidate.statement)
    return (
        whole - free - {"user"} <= said
        and said <= whole | {"user"} | free
        and ("user" in said) <= ("user" in whole)
        and any(_alike(candidate.answer, answer) for answer in (label.answer, *label.also))
    )


def _alike(one: str, other: str) -> bool:
    """Whether one core holds the other's words of meaning."""
    left, right = english.stems(one), english.stems(other)
    return bool(left and right) and (left <= right or right <= left)


def run_extraction(
    model: Model,
    split: Split,
    specs: Sequence[ToolSpec],
    *,
    count: int = 10,
    lessons: int = 20,
    seed: int = 0,
    on_progress: Callable[[str], None] = lambda text: None,
) -> ExtractionResult:
    """Find candidates in every conversation, and put the first `lessons` right ones into phrasings."""
    judged = []
    for conversation in conversations(split):
        started = time.monotonic()
        found = candidates(model, episode_of(conversation), seed)
        judged.append(judge(conversation, found, time.monotonic() - started))
        on_progress(_line(judged[-1]))
    right = [one for row in judged for one, good in zip(row.found, row.right, strict=True) if good]
    yields = []
    for candidate in right[:lessons]:
        yields.append(measure_yield(model, candidate, specs, count, seed))
        on_progress(
            f"{yields[-1].share:.2f} usable of {yields[-1].trained} + {yields[-1].held_out}: "
            f"{candidate.statement}"
        )
    return _sum_up(model.name, split, judged, yields)


def measure_yield(
    model: Model, candidate: Candidate, specs: Sequence[ToolSpec], count: int, seed: int
) -> Yield:
    """Regenerate one lesson and see which of its phrasings the model can answer from the statement."""
    started = time.monotonic()
    ways = phrasings(model, candidate, count, seed, specs)
    seconds = time.monotonic() - started
    requests = []
    for way in ways:
        known = f"What is known: {english.second_person(candidate.statement)}"
        asked = way.messages[-1].model_copy(update={"context": known})
        messages = (*way.messages[:-1], asked)
        requests.append(GenerateRequest(messages=messages, max_tokens=48, constrain=False))
    ends = model.generate_batch(requests)
    usable = sum(
        contains_answer(way.expected, end.text, way.question) for way, end in zip(ways, ends, strict=True)
    )
    held = sum(way.held_out for way in ways)
    return Yield(
        statement=candidate.statement,
        trained=len(ways) - held,
        held_out=held,
        usable=usable,
        seconds=seconds,
    )


def _sum_up(name: str, split: Split, judged: Sequence[Judged], yields: Sequence[Yield]) -> ExtractionResult:
    found = sum(len(row.found) for row in judged)
    right = sum(sum(row.right) for row in judged)
    missed = sum(len(row.missed) for row in judged)
    empty = [row for row in judged if not any(row.right) and not row.missed]
    return ExtractionResult(
        model=name,
        split=split,
        conversations=len(judged),
        labels=right + missed,
        found=found,
        right=right,
        precision=_share(right, found),
        recall=_share(right, right + missed),
        kinds=_share(sum(row.kinds_right for row in judged), right),
        empty_kept_empty=_share(sum(not row.found for row in empty), len(empty)),
        lessons=len(yields),
        usable=_share(sum(one.share for one in yields), len(yields)),
        trained=_share(sum(one.trained for one in yields), len(yields)),
        held_out=_share(sum(one.held_out for one in yields), len(yields)),
        seconds_per_conversation=_share(sum(row.seconds for row in judged), len(judged)),
        seconds_per_lesson=_share(sum(one.seconds for one in yields), len(yields)),
    )


def _line(row: Judged) -> str:
    marks = [
        f"{'+' if good else '-'} {one.statement} [{one.answer}]"
        for one, good in zip(row.found, row.right, strict=True)
    ]
    marks += [f"missed {label.statement} [{label.answer}]" for label in row.missed]
    return f"{row.id}: {'; '.join(marks) or 'nothing'}"


def _share(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 1.0


def _turn(index: int, said: Said) -> Turn:
    return Turn(
        user=Message(role="user", content=said.user, context=said.context, provenance="user"),
        steps=tuple(_steps(index, said)),
        outcome="success",
        answer=said.answer,
    )


def _steps(index: int, said: Said) -> Iterator[Step]:
    for number, tool in enumerate(said.tools):
        call = ToolCall(id=f"call_{index}_{number}", name=tool.name, arguments={})
        yield Step(
            index=number,
            message=Message(role="assistant", content="", provenance="model", tool_calls=(call,)),
            results=(
                ToolResult(
                    call_id=call.id, name=tool.name, ok=True, content=tool.content, provenance=tool.provenance
                ),
            ),
        )
    answer = Message(role="assistant", content=said.answer, provenance="model")
    yield Step(index=len(said.tools), message=answer)
