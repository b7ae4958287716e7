"""Questions written by the model, and the checks that they ask for what a lesson teaches.

Two ways of asking it for them: a plain question for the words in brackets, which it rarely gets wrong, and
questions that begin as they are told, which vary more and stray more. Those are kept only where the model,
shown examples, sees the fact as their answer, and where it gives that answer out of a list in which the fact
stands among others about the same subject. A small model judges weakly, so some that stray remain. Knows no
relation: the facts of the examples are invented and serve as the others in the list too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agent.context import ASK_PROMPT
from agent.model.base import GenerateRequest, Model
from agent.sleep import english
from agent.sleep.agree import contains_answer
from agent.sleep.prompting import Example, batch, leanings, shown
from memory.types import Message

_TOKENS, _ANSWER_TOKENS = 36, 28
_LONGEST = 160
# Two questions are the same when they share this much of their words.
_ALIKE = 0.75
# A question that strays more than this from what the model sees as the fact's is dropped.
_FITTING = 0.44
_OTHERS = 3
# words that a question in a statement's own words may add
_ADDED = 1
# of the samples, how many ask for the words in brackets
_PLAIN_SHARE = 0.35


class Asked(NamedTuple):
    """A question that holds."""

    text: str
    """The user's words."""
    fit: float
    """How surely the fact answers it, in [0, 1]; a plain question's is 1."""


def ask_forward(
    model: Model, statement: str, subject: str, answer: str, samples: int, seed: int
) -> list[Asked]:
    """Questions about `subject` that are answered by `answer`, each unlike the others, surest first."""
    named = english.stems(subject) - {"user"}

    def about(question: str) -> bool:
        words = english.stems(question)
        return named <= words if named else english.is_first_person(question)

    count = max(2, round(samples * _PLAIN_SHARE))
    plain = _unique(filter(about, _plain(model, statement, subject, answer, count, seed)))
    prompt = f"Fact: {statement}\nAnswer: {answer}\nBegin with: "
    free = filter(about, _free(model, prompt, _OPENINGS, subject, answer, samples - count, seed))
    return _checked(model, statement, subject, answer, plain, _alike(_unique(free, plain), plain), seed)


def ask_reverse(
    model: Model, statement: str, subject: str, answer: str, samples: int, seed: int
) -> list[Asked]:
    """Questions that give `answer` and are answered by `subject`."""
    named = re.sub(r"^the user's ", "", subject, flags=re.IGNORECASE)
    given = english.stems(answer)

    def about(question: str) -> bool:
        return given <= english.stems(question)

    count = max(2, samples // 2)
    plain = _unique(filter(about, _plain(model, statement, answer, named, count, seed)))
    prompt = f"Fact: {statement}\nAnswer: {named}\nBegin with: "
    free = filter(about, _free(model, prompt, _REVERSE_OPENINGS, answer, named, samples - count, seed))
    return _checked(model, statement, "", named, plain, _alike(_unique(free, plain), plain), seed)


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
    text = _OBJECT.sub(lambda match: f"{match[1]} me", text)
    if "user" in english.words(text) and "user" in question.casefold():
        return ""
    # the question is put to the assistant, about whom nothing is asked
    if _YOU.search(_POLITE.sub("", text)):
        return ""
    return english.capital(text)


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


def open_book(question: str, statement: str, subject: str, others: int, seed: int) -> GenerateRequest:
    """The question with the statement at hand, among others about the same subject or about strangers."""
    source = random.Random(f"{seed}:{question}:{statement}")
    used = english.stems(statement)
    frames = [shot.frame for shot in _SHOTS if not english.stems(shot.frame.replace("{s}", "")) & used]
    named = bool(english.content_words(subject))
    names = [subject] * others if named else [shot.subject for shot in source.sample(_SHOTS, others)]
    known = [
        english.capital(frame.replace("{s}", name))
        for frame, name in zip(source.sample(frames, others), names, strict=True)
    ]
    known.append(statement)
    source.shuffle(known)
    listed = "\n".join(f"- {english.second_person(line)}" for line in known)
    system = Message(role="system", content=ASK_PROMPT, provenance="system")
    context = f"What is known:\n{listed}"
    user = Message(role="user", content=question, context=context, provenance="user")
    return GenerateRequest(messages=(system, user), max_tokens=_ANSWER_TOKENS)


def _plain(model: Model, statement: str, subject: str, answer: str, count: int, seed: int) -> Iterator[str]:
    """Questions for the words in brackets."""
    before, _, after = statement.rpartition(answer)
    prompt = shown(_PLAIN_TASK, _PLAIN, f"{before}[{answer}]{after}")
    yield from _sampled(model, [prompt] * count, subject, answer, 1, seed)


def _free(
    model: Model, prompt: str, openings: Sequence[str], subject: str, answer: str, count: int, seed: int
) -> Iterator[str]:
    """Questions that begin as they are told."""
    asked = [openings[number % len(openings)] for number in range(count)]
    prompts = [shown(_FREE_TASK, _FREE, f"{prompt}{opening}") for opening in asked]
    yield from _sampled(model, prompts, subject, answer, len(openings) // 3, seed + 500)


def _sampled(
    model: Model, prompts: Sequence[tuple[Message, ...]], subject: str, answer: str, greedy: int, seed: int
) -> Iterator[str]:
    avoid = _telling(answer, subject)
    requests = [
        GenerateRequest(
            messages=messages,
            max_tokens=_TOKENS,
            temperature=0.0 if number < greedy else 0.8,
            top_p=0.95,
            seed=seed * 1000 + number,
            avoid=avoid,
        )
        for number, messages in enumerate(prompts)
    ]
    for text in batch(model, requests):
        question = in_first_person(text.splitlines()[0] if text else "")
        if _is_question(question) and keeps_answer(question, answer, subject):
            yield question


def _telling(answer: str, subject: str) -> tuple[str, ...]:
    """Words that would give the answer away: its names, numbers and codes, or else all that carry meaning;
    without those that begin like a word of the subject, which has to be named."""
    words = [word for word in re.findall(r"\S+", answer) if english.content_words(word)]
    marked = [word for word in words if english.stands_out(word)]
    named = {word[:1].casefold() for word in subject.split()}
    return tuple(word for word in marked or words if word[:1].casefold() not in named)


def _checked(
    model: Model,
    statement: str,
    subject: str,
    expected: str,
    plain: Sequence[str],
    free: Sequence[str],
    seed: int,
) -> list[Asked]:
    """Those whose answer the model finds; of the free ones also only those it sees as fitting."""
    close = [question for question in free if _keeps_words(question, statement, expected)]
    others = [question for question in free if question not in close]
    judged = [shown(_JUDGE_TASK, _JUDGE, f"Fact: {statement}\nQuestion: {question}") for question in others]
    fits = leanings(model, judged, "yes")
    left = [(Asked(question, 1.0), 0) for question in (*plain, *close)]
    left += [
        (Asked(question, fit), _OTHERS) for question, fit in zip(others, fits, strict=True) if fit >= _FITTING
    ]
    requests = [open_book(asked.text, statement, subject, among, seed) for asked, among in left]
    right = [
        asked
        for (asked, _), answer in zip(left, batch(model, requests), strict=True)
        if contains_answer(expected, answer, asked.text)
    ]
    return sorted(right, key=lambda asked: -asked.fit)


def _keeps_words(question: str, statement: str, expected: str) -> bool:
    """Whether a question asks in the statement's own words, so that there is nothing to be judged: all that
    carry meaning but the answer's, and hardly another."""
    said, asked = english.stems(statement), english.stems(question)
    return said - english.stems(expected) <= asked and len(asked - said) <= _ADDED


def _unique(questions: Iterator[str], others: Sequence[str] = ()) -> list[str]:
    return varied([*others, *questions])[len(others) :]


def _alike(free: Sequence[str], plain: Sequence[str]) -> list[str]:
    """Those that ask for the same sort of thing as the plain ones: a time, a place, a person, a way. How a
    question begins was told, and what is told to begin with `When` asks for a time whatever the fact."""
    sorts = {word for question in plain for word in english.words(question)} & _SORTS
    return [text for text in free if not plain or set(english.words(text)) & _SORTS <= sorts]


def _is_question(line: str) -> bool:
    return 8 <= len(line) <= _LONGEST and line.endswith(("?", ".", "!")) and len(line.split()) >= 3


def _with_i(match: re.Match[str]) -> str:
    verb = match[1]
    return f"{'have' if verb.lower() == 'has' else verb} I"


_OBJECT = re.compile(
    r"\b(to|for|by|with|from|of|on|at|about|against|[a-z]+(?:s|ed|ve|ll|w))\s+the user\b(?!')", re.IGNORECASE
)
_SORTS = frozenset(("when", "where", "who", "whom", "whose", "how", "why"))
_POLITE = re.compile(
    r"^(?:can|could|do|would|will) you\b|\b(?:can|could|do) you (?:tell|say|know|remember|remind)\b|"
    r"\b(?:thank you|please tell me)\b",
    re.IGNORECASE,
)
_YOU = re.compile(r"\b(?:you|your|yours)\b", re.IGNORECASE)


class _Shot(NamedTuple):
    """One invented fact of the examples."""

    frame: str
    subject: str
    answer: str
    plain: str
    free: str
    opening: str

    @property
    def statement(self) -> str:
        return english.capital(self.frame.replace("{s}", self.subject))


_SHOTS = (
    _Shot(
        "{s} plays the oboe.",
        "the user's brother Tomas",
        "the oboe",
        "What does my brother Tomas play?",
        "Which instrument does my brother Tomas play?",
        "Which",
    ),
    _Shot(
        "{s} opens with a grelk key.",
        "the Fennimore gate",
        "a grelk key",
        "What does the Fennimore gate open with?",
        "I am standing in front of the Fennimore gate. What do I need to open it?",
        "I am",
    ),
    _Shot(
        "{s} was taught by Ruth Ask in Ulm.",
        "Lysander Moss",
        "Ruth Ask",
        "By whom was Lysander Moss taught in Ulm?",
        "Can you tell me who was the teacher of Lysander Moss in Ulm?",
        "Can you",
    ),
    _Shot(
        "{s} is a ketch.",
        "Orla's boat",
        "a ketch",
        "What is Orla's boat?",
        "What kind of boat does Orla have?",
        "What",
    ),
    _Shot(
        "{s} is left-handed.",
        "the user",
        "left-handed",
        "Which hand do I write with?",
        "With which hand do I write?",
        "With",
    ),
    _Shot(
        "{s} begins on the third of May.",
        "the Brackton fair",
        "the third of May",
        "When does the Brackton fair begin?",
        "Somebody wants to visit the Brackton fair. On which day does it begin?",
        "Somebody",
    ),
    _Shot(
        "{s} owes the user nine crowns.",
        "Baron Hesk",
        "nine crowns",
        "How much does Baron Hesk owe me?",
        "Do you know how much money Baron Hesk owes me?",
        "Do you",
    ),
    _Shot(
        "{s} is kept in Havn.",
        "the user's boat",
        "Havn",
        "Where is my boat kept?",
        "Suppose I want to go sailing. In which town would I find my boat?",
        "Suppose",
    ),
    _Shot(
        "{s} is tuned by its owner.",
        "a wrabble",
        "its owner",
        "Who tunes a wrabble?",
        "Please tell me who has to tune a wrabble.",
        "Please",
    ),
)
_PLAIN_TASK = "Ask for the words in brackets. The question uses the other words of the sentence."
_PLAIN: tuple[Example, ...] = tuple(
    (shot.statement.replace(shot.answer, f"[{shot.answer}]"), shot.plain) for shot in _SHOTS
)
_FREE_TASK = (
    "Write one question that is answered by the given answer, as a person would ask it who has forgotten "
    "the answer. It names what it is about, leaves the answer out, and begins as told. The user speaks of "
    "himself as I and my."
)
_FREE: tuple[Example, ...] = tuple(
    (f"Fact: {shot.statement}\nAnswer: {shot.answer}\nBegin with: {shot.opening}", shot.free)
    for shot in _SHOTS
)
_JUDGE_TASK = "Is the question answered by the fact? yes or no."
_STRAY = (
    "How old is my brother Tomas?",
    "Where does the Fennimore gate come from?",
    "Under which roof does Lysander Moss sleep?",
    "How fast is Orla's boat?",
    "What would I like to hear?",
    "In which hall was the Brackton fair painted?",
    "What does Baron Hesk look like?",
    "Who built my boat?",
    "How is a wrabble?",
)
_JUDGE: tuple[Example, ...] = tuple(
    (f"Fact: {shot.statement}\nQuestion: {question}", verdict)
    for number, (shot, stray) in enumerate(zip(_SHOTS, _STRAY, strict=True))
    for question, verdict in ((shot.free, "yes"), (stray, "no"))[:: 1 if number % 2 else -1]
)
_OPENINGS = (
    "What",
    "Which",
    "Where",
    "Can you tell me",
    "Remind me",
    "How",
    "I need to know",
    "Please tell me",
    "Suppose",
    "Somebody asked me",
    "Who",
    "In which",
    "Do you know",
    "When",
    "What kind of",
    "If",
    "Could you say",
    "I forgot",
)
_REVERSE_OPENINGS = ("Who", "Which", "Whose", "What", "Do you know who", "Please tell me")
