"""Questions about an invented handbook, answered from the weights alone and from the documents.

The handbook is nowhere else, so what is answered right is read, not known. Some questions have no answer in
it: those are right when it is said that there is none.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from agent.calls import RuntimeCalls
from memory.record import Record

HANDBOOK = Path(__file__).parent / "handbook"
_DECLINES = re.compile(
    r"\b(?:do(?:es)?(?: not|n['’]t)|cannot|can['’]t|unable|no information"
    r"|not (?:specified|provided|mentioned))\b",
    re.IGNORECASE,
)


class Question(Record):
    """One question."""

    question: str
    """As a person asks it."""
    answers: tuple[str, ...]
    """What an answer must contain: any of these; empty when the handbook does not say."""
    all: bool = False
    """Whether it must contain every one of them."""
    file: str = ""
    """The file of the handbook that says it."""

    def met(self, answer: str) -> bool:
        """Whether an answer contains what it must."""
        held = [re.search(rf"(?<!\w){re.escape(each.strip())}(?!\w)", answer, re.I) for each in self.answers]
        return bool(held) and (all(held) if self.all else any(held))


def questions() -> list[Question]:
    """All of them."""
    lines = (HANDBOOK / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [Question.model_validate(json.loads(line)) for line in lines]


async def add_handbook(runtime: RuntimeCalls) -> None:
    """Hand the handbook over, each file as a domain of its own."""
    for path in sorted(HANDBOOK.glob("*.md")):
        await runtime.knowledge_add((str(path),), path.stem)


async def ask_plain(runtime: RuntimeCalls, question: Question) -> dict[str, Any]:
    """From the weights alone."""
    answer = (await runtime.ask(question.question, memory=False)).answer
    right = question.met(answer) if question.answers else bool(_DECLINES.search(answer))
    return {"question": question.question, "answer": answer, "right": right, "invented": not right}


async def ask_sources(runtime: RuntimeCalls, question: Question) -> dict[str, Any]:
    """From the handbook."""
    found = await runtime.knowledge_ask(question.question, memory=False, fresh=True)
    right = found.found and question.met(found.answer) if question.answers else not found.found
    cited = [source for source in found.sources if source.cited]
    return {
        "question": question.question,
        "answer": found.answer,
        "said": found.said,
        "right": right,
        "shown": any(Path(source.path).name == question.file for source in found.sources),
        "cited_right": right and any(question.met(source.text) for source in cited),
        "declined": not found.found,
        "routed": found.route.domain,
        "domain": Path(question.file).stem or None,
        "invented": not right and found.found,
        "seconds": round(found.seconds, 2),
    }


def sum_up(
    asked: list[Question], plain: list[dict[str, Any]], sourced: list[dict[str, Any]]
) -> dict[str, Any]:
    """Counts over all questions; `plain` may be empty."""
    said = [row for question, row in zip(asked, sourced, strict=True) if question.answers]
    unsaid = [row for question, row in zip(asked, sourced, strict=True) if not question.answers]
    result: dict[str, Any] = {
        "answerable": len(said),
        "right": sum(row["right"] for row in said),
        "cited_right": sum(row["cited_right"] for row in said),
        "shown": sum(row["shown"] for row in said),
        "routed_right": sum(row["routed"] == row["domain"] for row in said),
        "declined": sum(row["declined"] for row in said),
        "invented": sum(row["invented"] for row in [*said, *unsaid]),
        "without_answer": len(unsaid),
        "rightly_declined": sum(row["right"] for row in unsaid),
        "seconds": round(sum(row["seconds"] for row in sourced) / max(1, len(sourced)), 2),
    }
    if plain:
        pairs = list(zip(asked, plain, strict=True))
        result["plain_right"] = sum(row["right"] for question, row in pairs if question.answers)
        result["plain_rightly_declined"] = sum(
            row["right"] for question, row in pairs if not question.answers
        )
    return result
