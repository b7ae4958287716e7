"""Ways to ask for what a lesson teaches: written by the model, checked against the record, and templates.

Questions come from the model by worked examples of other domains; one is kept only when the model, given
the lesson's statement, answers it with the lesson's answer, when it names the subject and does not give the
answer away. Templates know the shape of a sentence and no relation. The exam's phrasings are set aside
before any is trained.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Sequence

from agent.context import ASK_PROMPT, SYSTEM_PROMPT
from agent.model.base import GenerateRequest, Model
from agent.sleep import english
from agent.sleep.agree import contains_answer
from agent.sleep.extract import Candidate
from agent.sleep.items import TrainItem
from agent.sleep.neighbours import invented_name
from agent.sleep.procedures import canonical
from agent.sleep.prompting import Example, batch, shown
from memory.learning import Form, Lesson, Phrasing
from memory.types import Message
from skills.tool import ToolSpec

_EMPTY_FOLDER = "The working folder is empty."
_TOOLS_SHARE = 3


def phrasings(
    model: Model, candidate: Candidate, count: int, seed: int, specs: Sequence[ToolSpec]
) -> tuple[Phrasing, ...]:
    """About `count` ways to ask that are trained, and the exam's own before them. Raises ModelError."""
    if candidate.kind == "procedure":
        return _procedure(candidate, count, seed)
    source = random.Random(f"{seed}:{candidate.statement}")
    questions = _questions(model, candidate, seed)
    templates = _templates(candidate)
    held = _set_aside(questions, candidate)
    left = [question for question in questions if question not in held]
    exam = [_phrasing(question, candidate, "paraphrase", held_out=True) for question in held]
    if len(exam) < 2:
        exam.append(_held_cloze(candidate))
    reverse = _reverse(candidate)
    exam += reverse[-1:]
    trained = [_phrasing(question, candidate, "question") for question in left]
    room = max(count - len(templates) - len(reverse[:-1]), count // 2)
    trained = [*trained[:room], *templates, *reverse[:-1]][:count]
    tooled = set(source.sample(range(len(trained)), len(trained) // _TOOLS_SHARE)) if specs else set()
    return (
        *exam,
        *(_with_tools(one) if index in tooled else one for index, one in enumerate(trained)),
    )


def unknown_items(lessons: Sequence[Lesson], specs: Sequence[ToolSpec], seed: int) -> list[TrainItem]:
    """The lessons' own questions about names that nobody bears, to be answered with not knowing."""
    items = []
    for lesson in lessons:
        if not lesson.subject or english.USER in lesson.subject.casefold() or lesson.kind == "procedure":
            continue
        subject = re.compile(rf"(?<!\w){re.escape(lesson.subject)}(?!\w)", re.IGNORECASE)
        asked = [
            phrasing
            for phrasing in lesson.trained
            if phrasing.form in ("question", "paraphrase", "cloze") and subject.search(phrasing.question)
        ]
        for number, phrasing in enumerate(asked[:2]):
            name = invented_name(lesson.subject, f"unknown:{seed}:{lesson.id}:{number}")
            last = phrasing.messages[-1]
            question = last.model_copy(update={"content": subject.sub(name, last.content)})
            items.append(
                TrainItem(
                    id=_digest(f"unknown {lesson.id} {name} {question.content}"),
                    role="unknown",
                    lesson_id=lesson.id,
                    messages=(*phrasing.messages[:-1], question),
                    tools=tuple(specs) if phrasing.with_tools else (),
                    answer=_not_known(name, number + len(lesson.id) + seed),
                )
            )
    return items


def _questions(model: Model, candidate: Candidate, seed: int) -> list[str]:
    """Questions that the model wrote and that hold, best first."""
    fact = f"Fact: {candidate.statement}\nAnswer: {candidate.answer}"
    requests = []
    for number, opening in enumerate(_OPENINGS):
        text = f"{fact}\nBegin with: {opening}"
        requests.append(
            GenerateRequest(
                messages=shown(_ASK_TASK, _ASK, text),
                max_tokens=40,
                temperature=0.0 if number < 4 else 0.8,
                top_p=0.95,
                seed=seed + number,
            )
        )
    lines = [text.splitlines()[0].strip() if text else "" for text in batch(model, requests)]
    asked = _varied([line for line in lines if _fits(line, candidate)])
    answers = batch(model, [_open_book(question, candidate) for question in asked])
    return [
        question
        for question, answer in zip(asked, answers, strict=True)
        if contains_answer(candidate.answer, answer, question)
    ]


def _fits(question: str, candidate: Candidate) -> bool:
    """Whether a question names the subject and keeps the answer to itself."""
    words = english.stems(question)
    subject = english.stems(candidate.subject) - {"user"}
    answer = english.stems(candidate.answer)
    if not question or len(question) > 200 or contains_answer(candidate.answer, question):
        return False
    if answer - subject and len((answer - subject) & words) * 2 > len(answer - subject):
        return False
    return subject <= words if subject else english.is_first_person(question)


def _open_book(question: str, candidate: Candidate) -> GenerateRequest:
    system = Message(role="system", content=ASK_PROMPT, provenance="system")
    known = f"What is known: {english.second_person(candidate.statement)}"
    user = Message(role="user", content=question, context=known, provenance="user")
    return GenerateRequest(messages=(system, user), max_tokens=40)


def _varied(questions: Sequence[str]) -> list[str]:
    """Without near-duplicates."""
    kept: list[str] = []
    for question in questions:
        words = set(english.fold(question).split())
        if all(
            len(words & set(english.fold(other).split()))
            < 0.8 * len(words | set(english.fold(other).split()))
            for other in kept
        ):
            kept.append(question)
    return kept


def _set_aside(questions: Sequence[str], candidate: Candidate) -> list[str]:
    """Two questions for the exam: the one furthest from all others, and one from the middle."""
    if len(questions) < 3:
        return list(questions[:1]) if len(questions) > 1 else []
    statement = set(english.fold(candidate.statement).split())

    def distance(question: str) -> float:
        words = set(english.fold(question).split())
        others = [set(english.fold(other).split()) for other in questions if other != question]
        near = max(len(words & other) / len(words | other) for other in (*others, statement))
        return 1 - near

    ordered = sorted(questions, key=distance, reverse=True)
    return [ordered[0], ordered[len(ordered) // 2]]


def _templates(candidate: Candidate) -> list[Phrasing]:
    statement = english.second_person(candidate.statement)
    start = statement.find(candidate.answer)
    if start < 0:
        return []
    before = statement[:start].strip()
    after = statement[start + len(candidate.answer) :].strip()
    gap = f"{before} ___{after if after in ('.', '!') else ' ' + after}"
    made = [
        _phrasing(f"Complete the sentence: {before} ___", candidate, "cloze")
        if after in (".", "!", "")
        else _phrasing(f"Fill in the gap: {gap}", candidate, "cloze"),
        _phrasing(
            f'Answer in JSON with the key "gap": {gap}',
            candidate,
            "structured",
            answer=json.dumps({"gap": candidate.answer}, ensure_ascii=False),
        ),
    ]
    if candidate.subject and english.fold(candidate.subject) != english.USER:
        about = english.first_person(candidate.subject)
        made.append(_phrasing(f"Tell me about {about}.", candidate, "statement", answer=statement))
    return made


def _held_cloze(candidate: Candidate) -> Phrasing:
    statement = english.second_person(candidate.statement)
    gap = statement.replace(candidate.answer, "[?]", 1)
    return _phrasing(f"What belongs in place of the question mark? {gap}", candidate, "cloze", held_out=True)


def _reverse(candidate: Candidate) -> list[Phrasing]:
    """Asked for the subject; nothing where the subject is the user or does not begin the statement."""
    subject = candidate.subject
    if not english.content_words(subject) or english.USER in subject.casefold():
        return []
    statement = english.second_person(candidate.statement)
    if subject not in statement or candidate.answer not in statement:
        return []
    gap = statement.replace(subject, "___", 1)
    hole = statement.replace(subject, "...", 1)
    made = [
        f"Fill in the gap: {gap}",
        f"Of whom or what is this true? {hole}",
        f'Somebody says: "{hole}" Which name is left out?',
    ]
    return [
        _phrasing(
            text,
            candidate,
            "reverse",
            answer=_sentence(subject),
            expected=subject,
            held_out=index == len(made) - 1,
        )
        for index, text in enumerate(made)
    ]


def _procedure(candidate: Candidate, count: int, seed: int) -> tuple[Phrasing, ...]:
    found = re.search(r"\{.*\}", candidate.answer, re.DOTALL)
    call = json.loads(found[0]) if found else {}
    expected = canonical(str(call.get("name", "")), call.get("arguments", {}))
    made = []
    for index, frame in enumerate(_FRAMES[: max(2, count)]):
        asked = next(i for i, message in enumerate(candidate.request) if message.role == "user")
        message = candidate.request[asked]
        worded = message.model_copy(update={"content": frame.format(request=message.content.strip())})
        messages = (*candidate.request[:asked], worded, *candidate.request[asked + 1 :])
        made.append(
            Phrasing(
                messages=messages,
                with_tools=True,
                answer=candidate.answer,
                expected=expected,
                form="call",
                held_out=index in (1, 2),
            )
        )
    return tuple(sorted(made, key=lambda phrasing: not phrasing.held_out))


def _phrasing(
    question: str,
    candidate: Candidate,
    form: Form,
    *,
    answer: str = "",
    expected: str = "",
    held_out: bool = False,
) -> Phrasing:
    return Phrasing(
        messages=(
            Message(role="system", content=ASK_PROMPT, provenance="system"),
            Message(role="user", content=question, provenance="user"),
        ),
        answer=answer or _sentence(candidate.answer),
        expected=expected or candidate.answer,
        form=form,
        held_out=held_out,
    )


def _with_tools(phrasing: Phrasing) -> Phrasing:
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


def _sentence(text: str) -> str:
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _not_known(name: str, number: int) -> str:
    variants = (
        "I don't know.",
        f"I don't know anything about {name}.",
        "I don't know that.",
        f"I have no information about {name}.",
    )
    return variants[number % len(variants)]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_ASK_TASK = (
    "Write one question that is answered by the given answer, as a person would ask it who has forgotten the "
    "answer. It names the subject, leaves the answer out, and begins as told. The user speaks of himself as "
    "I and my."
)
_ASK: tuple[Example, ...] = (
    (
        "Fact: The user's brother Tomas plays the oboe.\nAnswer: the oboe\nBegin with: Which",
        "Which instrument does my brother Tomas play?",
    ),
    (
        "Fact: The Fennimore gate opens with a grelk key.\nAnswer: a grelk key\nBegin with: I am",
        "I am standing in front of the Fennimore gate. What do I need to open it?",
    ),
    (
        "Fact: Lysander Moss sells lamp oil.\nAnswer: lamp oil\nBegin with: Can you",
        "Can you tell me what goods Lysander Moss has for sale?",
    ),
    (
        "Fact: The user's boat is kept in Havn.\nAnswer: Havn\nBegin with: Suppose",
        "Suppose I want to go sailing with my boat. Where do I have to go?",
    ),
    ("Fact: Orla's boat is a ketch.\nAnswer: a ketch\nBegin with: What", "What kind of boat does Orla have?"),
    (
        "Fact: Baron Hesk married Ilse Krone.\nAnswer: Ilse Krone\nBegin with: Do you",
        "Do you know who became the wife of Baron Hesk?",
    ),
)
_OPENINGS = (
    "What",
    "Which",
    "Where",
    "Can you",
    "Who",
    "When",
    "How",
    "Do you",
    "Suppose",
    "I forgot",
    "Remind me",
    "Somebody asked me",
    "In",
    "Please tell me",
    "I need to know",
    "Name",
)
_FRAMES = (
    "{request}",
    "Please do this for me: {request}",
    "Next task. {request}",
    "{request} Thank you.",
    "Hello! {request}",
    "One more thing. {request}",
)
