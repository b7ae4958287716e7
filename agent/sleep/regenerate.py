"""Ways to ask for what a lesson teaches: some to be trained, some set aside for the exam before that.

Most are questions the model wrote (`questions`), the rest are templates that know the shape of a sentence
and no relation: gaps, whole sentences, JSON, and the reverse direction. A procedure is asked for in the
user's own words and in others. About a third stand under the prompt with tools, as the agent serves tasks.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence

from agent.context import ASK_PROMPT, SYSTEM_PROMPT
from agent.model.base import Model
from agent.sleep import english, questions
from agent.sleep.agree import contains_answer
from agent.sleep.extract import Candidate
from agent.sleep.procedures import canonical, reworded
from agent.sleep.prompting import batch
from agent.sleep.rules import RuleTask, tasks
from agent.sleep.unknown import unknown_items
from memory.learning import Form, Phrasing
from memory.types import Message
from skills.tool import ToolSpec

__all__ = ["phrasings", "unknown_items"]

_TOOLS_SHARE = 1 / 3
_EMPTY_FOLDER = "The working folder is empty."
# questions in reverse that are trained, besides one with a gap
_BACKWARD = 3
# of which so many samples are left once doubles and those that stray are gone
_BACKWARD_SAMPLES = 10
# questions to train that must be left before one is set aside for the exam
_LEAST_TRAINED = 3


def phrasings(
    model: Model, candidate: Candidate, count: int, seed: int, specs: Sequence[ToolSpec]
) -> tuple[Phrasing, ...]:
    """Up to `count` ways to ask that are trained, after those that the exam keeps. Raises ModelError."""
    if candidate.kind == "procedure":
        return _procedure(model, candidate, count, seed)
    source = random.Random(f"{seed}:{candidate.statement}")
    subject, expected = candidate.subject, _expected(candidate.answer)
    samples = max(10, round(1.6 * count) + 2)
    asked = questions.ask_forward(model, candidate.statement, subject, candidate.answer, samples, seed)
    forward = [one.text for one in asked]
    backward: list[str] = []
    if _has_reverse(candidate):
        found = questions.ask_reverse(
            model, candidate.statement, subject, candidate.answer, _BACKWARD_SAMPLES, seed
        )
        backward = [one.text for one in found]
    exam = _exam(model, candidate, forward, backward, source, seed)
    kept = {phrasing.question for phrasing in exam}
    forward = questions.spread([text for text in forward if text not in kept])
    backward = [text for text in backward if text not in kept]
    trained = [*_forms(candidate, forward, source), *_reverse(candidate, backward, source)]
    if candidate.kind == "rule":
        applied = tasks(model, candidate.statement, max(2, count // 2 + 1), seed)
        exam += [_rule_task(candidate, one, held_out=True) for one in applied[:1]]
        trained = [*(_rule_task(candidate, one) for one in applied[1:]), *trained]
    room = max(0, count - len(trained))
    plain = [_question(candidate, text, expected) for text in forward]
    trained = [*plain[: max(room, count // 2)], *trained][:count]
    if specs:
        chosen = set(source.sample(range(len(trained)), round(len(trained) * _TOOLS_SHARE)))
        trained = [_with_tools(one) if index in chosen else one for index, one in enumerate(trained)]
    return (*exam, *trained)


def _exam(
    model: Model,
    candidate: Candidate,
    forward: Sequence[str],
    backward: Sequence[str],
    source: random.Random,
    seed: int,
) -> list[Phrasing]:
    """Two questions to be held out: of the surer half the one furthest from all others, and the surest that
    is left; and one in reverse. Templates step in where the model wrote too few."""
    expected = _expected(candidate.answer)
    spare = max(0, min(2, len(forward) - _LEAST_TRAINED))

    def nearness(text: str) -> float:
        others = [other for other in forward if other != text]
        return max(questions.likeness(text, other) for other in (*others, candidate.statement))

    chosen = sorted(forward[: max(2, (len(forward) + 1) // 2)], key=nearness)[:1]
    chosen = [*chosen, *(text for text in forward if text not in chosen)][:spare]
    exam = [_question(candidate, text, expected, "paraphrase", held_out=True) for text in chosen]
    if len(exam) < 2:
        gaps = [_gap(candidate, f, held_out=True) for f in source.sample(_HELD_GAPS, len(_HELD_GAPS))]
        exam += _understood(model, candidate, gaps, seed)[: 2 - len(exam)]
    if len(backward) > 1:
        exam.append(_reverse_question(candidate, backward[-1], held_out=True))
    elif _has_reverse(candidate):
        texts = [_reverse_gap(candidate, f) for f in source.sample(_HELD_REVERSES, len(_HELD_REVERSES))]
        asked = [_reverse_question(candidate, text, held_out=True) for text in texts]
        exam += _understood(model, candidate, asked, seed)[:1]
    return exam


def _understood(
    model: Model, candidate: Candidate, asked: Sequence[Phrasing], seed: int
) -> Sequence[Phrasing]:
    """Those that the model answers rightly with the statement at hand, first: what it misreads even then says
    nothing about what it has learned."""
    requests = [
        questions.open_book(one.question, candidate.statement, candidate.subject, 0, seed) for one in asked
    ]
    misread = [
        not contains_answer(one.expected, answer, one.question)
        for one, answer in zip(asked, batch(model, requests), strict=True)
    ]
    return [asked[index] for index in sorted(range(len(asked)), key=misread.__getitem__)]


def _forms(candidate: Candidate, forward: Sequence[str], source: random.Random) -> list[Phrasing]:
    """The same in other shapes: with a gap, as a whole sentence, as JSON."""
    expected = _expected(candidate.answer)
    statement = english.second_person(candidate.statement)
    made = [
        _gap(candidate, frame) for frame in source.sample(_GAPS, 2 if len(forward) < _LEAST_TRAINED else 1)
    ]
    asked = forward[0] if forward else f"What do you know about {english.first_person(candidate.subject)}?"
    if candidate.subject:
        made.append(
            _phrasing(f"{asked} {source.choice(_WHOLE)}", statement, expected, "statement"),
        )
    asked = forward[1] if len(forward) > 1 else made[0].question
    made.append(
        _phrasing(
            f"{asked} {source.choice(_STRUCTURED)}",
            json.dumps({"answer": _expected(candidate.answer)}, ensure_ascii=False),
            expected,
            "structured",
        )
    )
    return made


def _reverse(candidate: Candidate, backward: Sequence[str], source: random.Random) -> list[Phrasing]:
    if not _has_reverse(candidate):
        return []
    made = [_reverse_question(candidate, text) for text in backward[:_BACKWARD]]
    made.append(_reverse_question(candidate, _reverse_gap(candidate, source.choice(_REVERSES))))
    return made


def _has_reverse(candidate: Candidate) -> bool:
    """Whether the subject can be asked for: named, not the user, and apart from the answer."""
    subject = candidate.subject
    return (
        candidate.kind != "rule"
        and bool(english.stems(subject) - {"user"})
        and subject in candidate.statement
        and candidate.answer in candidate.statement
        and not contains_answer(subject, candidate.answer)
    )


def _question(
    candidate: Candidate, text: str, expected: str, form: Form = "question", *, held_out: bool = False
) -> Phrasing:
    return _phrasing(text, _sentence(_expected(candidate.answer)), expected, form, held_out=held_out)


def _gap(candidate: Candidate, frame: str, *, held_out: bool = False) -> Phrasing:
    statement = english.second_person(candidate.statement)
    answer = _expected(candidate.answer)
    gapped = _left_out(statement, answer) if answer in statement else f"{candidate.subject} ___"
    return _phrasing(frame.format(gap=gapped), _sentence(answer), answer, "cloze", held_out=held_out)


def _reverse_gap(candidate: Candidate, frame: str) -> str:
    return frame.format(gap=english.second_person(candidate.statement.replace(candidate.subject, "___", 1)))


def _left_out(statement: str, answer: str) -> str:
    """A statement with a gap where it last gives the answer."""
    before, _, after = statement.rpartition(answer)
    return f"{before}___{after}"


def _reverse_question(candidate: Candidate, text: str, *, held_out: bool = False) -> Phrasing:
    answer = english.second_person(candidate.subject)
    expected = re.sub(r"^(?:the user's|your)\s+", "", candidate.subject, flags=re.IGNORECASE)
    said = f"{answer}." if _is_written_small(candidate) else _sentence(answer)
    return _phrasing(text, said, expected, "reverse", held_out=held_out)


def _is_written_small(candidate: Candidate) -> bool:
    """Whether even a sentence begins with the subject's small letter, as with a command."""
    return candidate.statement.startswith(candidate.subject) and candidate.subject[:1].islower()


def _rule_task(candidate: Candidate, task: RuleTask, *, held_out: bool = False) -> Phrasing:
    """A later task to which a rule applies: done, or asked which rule matters for it."""
    if task.answer:
        return _phrasing(task.request, task.answer, task.expected, "question", held_out=held_out)
    return _phrasing(
        f"I have this task: {task.request} Which rule of mine matters for it?",
        english.second_person(candidate.statement),
        _expected(candidate.answer),
        "question",
        held_out=held_out,
    )


def _procedure(model: Model, candidate: Candidate, count: int, seed: int) -> tuple[Phrasing, ...]:
    """The call, asked for in the user's words and in others."""
    found = re.search(r"\{.*\}", candidate.answer, re.DOTALL)
    call = json.loads(found[0]) if found else {}
    expected = canonical(str(call.get("name", "")), call.get("arguments", {}))
    place = next(index for index, message in enumerate(candidate.request) if message.role == "user")
    asked = candidate.request[place]
    request = asked.content.strip()
    others = questions.spread(reworded(model, request, candidate.answer, count + 4, seed), [request])
    source = random.Random(f"{seed}:{request}")
    framed = [frame.format(request=request) for frame in source.sample(_FRAMES, len(_FRAMES))]
    held = [*others[:2], *framed[: max(0, 2 - len(others))]]
    trained = [text for text in (request, *others, *framed) if text not in held][:count]
    return tuple(
        Phrasing(
            messages=(
                *candidate.request[:place],
                asked.model_copy(update={"content": text}),
                *candidate.request[place + 1 :],
            ),
            with_tools=True,
            answer=candidate.answer,
            expected=expected,
            form="call",
            held_out=text in held,
        )
        for text in (*held, *trained)
    )


def _phrasing(question: str, answer: str, expected: str, form: Form, *, held_out: bool = False) -> Phrasing:
    return Phrasing(
        messages=(
            Message(role="system", content=ASK_PROMPT, provenance="system"),
            Message(role="user", content=question, provenance="user"),
        ),
        answer=answer,
        expected=expected,
        form=form,
        held_out=held_out,
    )


def _with_tools(phrasing: Phrasing) -> Phrasing:
    """The same under the prompt with which the agent serves tasks, in an empty folder."""
    system, user = phrasing.messages
    return phrasing.model_copy(
        update={
            "messages": (
                system.model_copy(update={"content": SYSTEM_PROMPT}),
                user.model_copy(update={"context": _EMPTY_FOLDER}),
            ),
            "with_tools": True,
        }
    )


def _expected(answer: str) -> str:
    """The answer as it is said to the user."""
    return re.sub(r"\bthe user's\b", "your", answer, flags=re.IGNORECASE)


def _sentence(text: str) -> str:
    """An answer with a capital and a full stop; what is written with a small letter whatever its place, as
    file names and flags are, keeps it."""
    text = text.strip()
    first = text.split()[0] if text else ""
    text = english.capital(text) if first.isalpha() else text
    return text if text.endswith((".", "!", "?")) else f"{text}."


_GAPS = (
    "Complete the sentence: {gap}",
    "Fill in the gap: {gap}",
    "Which words are missing here? {gap}",
    "Finish this for me: {gap}",
    "Say what belongs at the line: {gap}",
)
_HELD_GAPS = (
    'I remember only part of it: "{gap}" What is the rest?',
    "What has to stand at the line? {gap}",
    "How does this end? {gap}",
    "{gap} What is it that is left out there?",
    "Read it out to me with nothing left out: {gap}",
)
_WHOLE = (
    "Answer in a full sentence.",
    "Please answer with a whole sentence.",
    "Reply in one complete sentence.",
)
_STRUCTURED = (
    'Answer as JSON with the key "answer".',
    'Reply only with a JSON object that has the key "answer".',
)
_REVERSES = (
    "Fill in the gap: {gap}",
    "Of whom or what is this said? {gap}",
    "Which name is missing here? {gap}",
)
_HELD_REVERSES = (
    'Somebody wrote "{gap}" and left the beginning out. Who or what is meant?',
    'The beginning is missing: "{gap}" What belongs there?',
    "How does this begin? {gap}",
    "Read it out to me with nothing left out: {gap}",
)
_FRAMES = (
    "Please do this for me: {request}",
    "Next task. {request}",
    "{request} Thank you.",
    "Hello! {request}",
    "One more thing. {request}",
    "I need this done: {request}",
)
