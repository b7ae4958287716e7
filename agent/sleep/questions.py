"""Questions written by the model, and the check that they ask for what a lesson teaches.

The model is shown invented examples and begins as it is told, so that questions vary. A question is kept
when it names what it is about, keeps the answer to itself, and is answered rightly from a list in which the
lesson's statement stands among unlike ones about the same subject: a question that would fit anything is
answered wrongly there. Knows no relation.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from agent.context import ASK_PROMPT
from agent.model.base import GenerateRequest, Model
from agent.sleep import english
from agent.sleep.agree import contains_answer
from agent.sleep.prompting import Example, batch, shown
from memory.types import Message

_TOKENS = 40
_LONGEST = 200
# two questions are the same when they share this much of their words
_ALIKE = 0.75


def ask_forward(
    model: Model, statement: str, subject: str, answer: str, samples: int, seed: int
) -> list[str]:
    """Questions about `subject` that are answered by `answer`, each unlike the others."""
    written = _written(model, f"Fact: {statement}\nAnswer: {answer}", _OPENINGS, samples, seed)
    named = english.stems(subject) - {"user"}
    fit = [
        line
        for line in map(in_first_person, written)
        if _is_question(line)
        and keeps_answer(line, answer, subject)
        and (named <= english.stems(line) if named else english.is_first_person(line))
    ]
    return _answered(model, varied(fit), statement, subject, answer, seed)


def ask_reverse(
    model: Model, statement: str, subject: str, answer: str, samples: int, seed: int
) -> list[str]:
    """Questions that give `answer` and are answered by `subject`."""
    named = subject.removeprefix("the user's ").removeprefix("The user's ")
    written = _written(model, f"Fact: {statement}\nAnswer: {named}", _REVERSE_OPENINGS, samples, seed + 101)
    given = english.stems(answer)
    fit = [
        line
        for line in map(in_first_person, written)
        if _is_question(line) and keeps_answer(line, named, answer) and given <= english.stems(line)
    ]
    return _answered(model, varied(fit), statement, "", named, seed)


def keeps_answer(question: str, answer: str, subject: str = "") -> bool:
    """Whether a question keeps the answer to itself; words it shares with the subject give nothing away."""
    if contains_answer(answer, question, question):
        return False
    telling = english.stems(answer) - english.stems(subject)
    return not telling or len(telling & english.stems(question)) * 2 <= len(telling)


def in_first_person(question: str) -> str:
    """A question about the user as the user asks it; empty when it cannot be put so."""
    text = question.strip().strip('"')
    text = re.sub(r"\b(?:does|do) the user\b(?!')", "do I", text, flags=re.IGNORECASE)
    text = re.sub(r"\b(?:is|are) the user\b(?!')", "am I", text, flags=re.IGNORECASE)
    text = re.sub(r"\bwas the user\b(?!')", "was I", text, flags=re.IGNORECASE)
    text = re.sub(
        r"\b(did|can|will|should|could|has|have) the user\b(?!')", _with_i, text, flags=re.IGNORECASE
    )
    text = re.sub(r"\bthe user's\b", "my", text, flags=re.IGNORECASE)
    if re.search(r"\b(?:the )?user\b", text, re.IGNORECASE) and "user" in question.casefold():
        return ""
    return text[:1].upper() + text[1:]


def varied(questions: Sequence[str]) -> list[str]:
    """Without those that are nearly another."""
    kept: list[str] = []
    for question in questions:
        if all(likeness(question, other) < _ALIKE for other in kept):
            kept.append(question)
    return kept


def likeness(one: str, other: str) -> float:
    """Share of words that two texts have in common, in [0, 1]."""
    left, right = set(english.words(one)), set(english.words(other))
    return len(left & right) / max(1, len(left | right))


def spread(texts: Sequence[str], first: Sequence[str] = ()) -> list[str]:
    """The texts in an order in which each is as far as can be from `first` and those before it."""
    left = list(texts)
    ordered: list[str] = []
    while left:
        chosen = min(
            left,
            key=lambda text: max((likeness(text, other) for other in (*first, *ordered)), default=0.0),
        )
        left.remove(chosen)
        ordered.append(chosen)
    return ordered


def open_book(question: str, statement: str, subject: str, seed: int) -> GenerateRequest:
    """The question with the statement at hand, among others about the same subject or about strangers."""
    source = random.Random(f"{seed}:{question}:{statement}")
    used = english.stems(statement)
    others = [form for form in _OTHERS if not english.stems(form.replace("{s}", "")) & used]
    names = [subject] * 3 if english.content_words(subject) else source.sample(_STRANGERS, 3)
    known = [
        english.capital(form.replace("{s}", name))
        for form, name in zip(source.sample(others, 3), names, strict=True)
    ]
    known.append(statement)
    source.shuffle(known)
    listed = "\n".join(f"- {english.second_person(line)}" for line in known)
    system = Message(role="system", content=ASK_PROMPT, provenance="system")
    context = f"What is known:\n{listed}"
    user = Message(role="user", content=question, context=context, provenance="user")
    return GenerateRequest(messages=(system, user), max_tokens=_TOKENS)


def _written(model: Model, fact: str, openings: Sequence[str], samples: int, seed: int) -> list[str]:
    requests = []
    for number in range(samples):
        opening = openings[number % len(openings)]
        greedy = number < len(openings) // 3
        requests.append(
            GenerateRequest(
                messages=shown(_TASK, _EXAMPLES, f"{fact}\nBegin with: {opening}"),
                max_tokens=_TOKENS,
                temperature=0.0 if greedy else 0.8,
                top_p=0.95,
                seed=seed * 1000 + number,
            )
        )
    return [text.splitlines()[0].strip() if text else "" for text in batch(model, requests)]


def _answered(
    model: Model, questions: Sequence[str], statement: str, subject: str, expected: str, seed: int
) -> list[str]:
    requests = [open_book(question, statement, subject, seed) for question in questions]
    return [
        question
        for question, answer in zip(questions, batch(model, requests), strict=True)
        if contains_answer(expected, answer, question)
    ]


def _is_question(line: str) -> bool:
    return 8 <= len(line) <= _LONGEST and line.endswith(("?", ".", "!")) and len(line.split()) >= 3


def _with_i(match: re.Match[str]) -> str:
    verb = match[1]
    return f"{'have' if verb.lower() == 'has' else verb} I"


_TASK = (
    "Write one question that is answered by the given answer, as a person would ask it who has forgotten "
    "the answer. It names what it is about, leaves the answer out, and begins as told. The user speaks of "
    "himself as I and my."
)
_EXAMPLES: tuple[Example, ...] = (
    (
        "Fact: The user's brother Tomas plays the oboe.\nAnswer: the oboe\nBegin with: Which",
        "Which instrument does my brother Tomas play?",
    ),
    (
        "Fact: The Fennimore gate opens with a grelk key.\nAnswer: a grelk key\nBegin with: I am",
        "I am standing in front of the Fennimore gate. What do I need to open it?",
    ),
    (
        "Fact: Lysander Moss sells lamp oil.\nAnswer: Lysander Moss\nBegin with: Who",
        "Who could sell me some lamp oil?",
    ),
    (
        "Fact: Lysander Moss sells lamp oil.\nAnswer: lamp oil\nBegin with: Can you",
        "Can you tell me what goods Lysander Moss has for sale?",
    ),
    (
        "Fact: The user's boat is kept in Havn.\nAnswer: Havn\nBegin with: Suppose",
        "Suppose I want to go sailing. In which town would I find my boat?",
    ),
    ("Fact: Orla's boat is a ketch.\nAnswer: a ketch\nBegin with: What", "What kind of boat does Orla have?"),
    ("Fact: Orla's boat is a ketch.\nAnswer: Orla\nBegin with: Whose", "Whose boat is a ketch?"),
    (
        "Fact: Baron Hesk married Ilse Krone.\nAnswer: Ilse Krone\nBegin with: Do you",
        "Do you know who became the wife of Baron Hesk?",
    ),
    (
        "Fact: The user is left-handed.\nAnswer: left-handed\nBegin with: With",
        "With which hand do I write?",
    ),
    (
        "Fact: The tallow engine weighs nine tons.\nAnswer: nine tons\nBegin with: How",
        "How heavy is the tallow engine?",
    ),
)
_OPENINGS = (
    "What",
    "Which",
    "Where",
    "Who",
    "How",
    "When",
    "Can you tell me",
    "Do you know",
    "I forgot",
    "Remind me",
    "Suppose",
    "Somebody asked me",
    "In which",
    "Please tell me",
    "I need to know",
    "If",
    "Could you say",
    "For my notes:",
    "What kind of",
    "Under which",
    "A friend wonders",
    "About",
    "At",
    "I would like to hear",
)
_REVERSE_OPENINGS = ("Who", "Whose", "Which", "What", "Do you know who", "Name")
# unlike anything a lesson is likely to say, so that only a question that fits anything is drawn to them
_OTHERS = (
    "{s} weighs 31 kilos.",
    "{s} was painted by Ivo Lunn.",
    "{s} came third in Dornum.",
    "{s} costs nine crowns.",
    "{s} has a scratch on the left side.",
    "{s} was mentioned in the evening paper.",
)
_STRANGERS = ("Ivo Lunn", "the old mill", "Greta Ask", "the brass lamp", "Pelle Dorn")
