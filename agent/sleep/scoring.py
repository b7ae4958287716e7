"""The scoring pass: what the model knows of a lesson by itself, and what reading it changes.

Everything is asked under the prompts that serve, first without the lesson (closed book), then with it in
context (open book). Nothing here decides anything: `agent.gate.scored_verdict` does.

Formulas: context gain and disagreement as in docs/design.md; discrete semantic entropy after Farquhar et al.,
"Detecting hallucinations in large language models using semantic entropy", Nature 630 (2024). Their clusters
are made by a second model; ours by words: what an answer adds to the question's words is what it says.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

from agent.context import system_message
from agent.gate import uncertainty
from agent.model.base import GenerateRequest, Model, Score, ScoreRequest
from agent.sleep.agree import contains_answer, same_answer, words
from agent.sleep.pair_words import stem
from agent.told import of_the_moment
from memory.hits import STOP_WORDS
from memory.types import Message, Record
from memory.verdict import GateSignals

SAMPLES = 5
"""Closed-book samples of each lesson."""
_ANSWER_TOKENS = 24
_PRONOUNS = frozenset({"he", "she", "his", "her", "they", "their", "him", "them"})
# Lessons measured together: 12 make 84 answers, a few seconds on two cores, so that a stop is soon heard.
_TOGETHER = 12
# Plain sentences nobody is surprised by; the surprise of a user's words is told in deviations from theirs.
_PLAIN = (
    "I had breakfast early and then went to work.",
    "The meeting was moved to the afternoon.",
    "My sister likes to read books in the evening.",
    "We bought bread, milk and some apples at the market.",
    "The train was late again this morning.",
    "He plays the guitar in a small band.",
    "Our office is on the second floor of the building.",
    "She wants to learn how to cook better.",
    "The report has to be ready by Friday.",
    "It rained all day, so we stayed at home.",
    "The new printer does not work with my laptop.",
    "They moved to a bigger house last year.",
)

_plain_by_model: WeakKeyDictionary[Model, dict[str, list[float]]] = WeakKeyDictionary()


class Measured(Record):
    """The signals of one lesson, and the answers they come from."""

    signals: GateSignals
    """Without flags."""
    closed: str
    """The greedy answer without the lesson."""
    opened: str
    """The greedy answer with the lesson in context."""
    samples: tuple[str, ...]
    """Answers without the lesson at temperature 1."""


class Asked(Record):
    """A lesson to be measured."""

    statement: str
    """What is to be known."""
    question: str
    """A question that it answers."""
    expected: str
    """What a right answer contains."""


def measure(model: Model, statement: str, question: str, expected: str, seed: int = 0) -> GateSignals:
    """The five signals of one lesson."""
    asked = Asked(statement=statement, question=question, expected=expected)
    return measure_all(model, [asked], seed)[0].signals


def measure_all(
    model: Model,
    lessons: Sequence[Asked],
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Measured]:
    """The signals of many lessons, in their order. `on_progress(done, total)` may raise to stop.

    Belongs to the thread that owns the model; measures the adapter that is active.
    """
    if not lessons:
        return []
    plain = _plain_surprise(model)
    found: list[Measured] = []
    for start in range(0, len(lessons), _TOGETHER):
        on_progress(start, len(lessons))
        part = lessons[start : start + _TOGETHER]
        found.extend(_measure_part(model, part, plain, seed))
    on_progress(len(lessons), len(lessons))
    return found


def _measure_part(
    model: Model, lessons: Sequence[Asked], plain: Sequence[float], seed: int
) -> list[Measured]:
    count = len(lessons)
    scores = model.score(
        [_scored(lesson, open_book=False) for lesson in lessons]
        + [_scored(lesson, open_book=True) for lesson in lessons]
        + [_said(lesson.statement) for lesson in lessons]
    )
    greedy = model.generate_batch(
        [_request(lesson, open_book=False) for lesson in lessons]
        + [_request(lesson, open_book=True) for lesson in lessons]
    )
    sampled = model.generate_batch(
        [
            # the same samples whichever lessons are measured beside it
            _request(lesson, open_book=False, seed=zlib.crc32(f"{seed} {sample} {lesson}".encode()))
            for lesson in lessons
            for sample in range(SAMPLES)
        ]
    )
    found = []
    for i, lesson in enumerate(lessons):
        closed, opened = greedy[i], greedy[count + i].text.strip()
        samples = tuple(end.text.strip() for end in sampled[i * SAMPLES : (i + 1) * SAMPLES])
        gains = _gains(scores[i], scores[count + i])
        signals = uncertainty(closed.signals).model_copy(
            update={
                "context_gain": sum(gains) / len(gains),
                "total_gain": sum(gains),
                "disagreement": disagreement(lesson.question, samples, opened, lesson.expected),
                "semantic_entropy": semantic_entropy(lesson.question, samples),
                "passing": of_the_moment(lesson.statement),
                "surprise": _deviations(-scores[2 * count + i].mean, plain),
            }
        )
        found.append(Measured(signals=signals, closed=closed.text.strip(), opened=opened, samples=samples))
    return found


def disagreement(question: str, samples: Sequence[str], opened: str, expected: str) -> float:
    """Share of closed-book samples that do not give the open-book answer, in [0, 1].

    Where the open-book answer gives what is expected, samples that give it agree, however they say it.
    """
    right = contains_answer(expected, opened, question)

    def agrees(sample: str) -> bool:
        return contains_answer(expected, sample, question) if right else _same(question, sample, opened)

    return sum(not agrees(sample) for sample in samples) / len(samples)


def semantic_entropy(question: str, samples: Sequence[str]) -> float:
    """Entropy over clusters of answers that say the same, nats; 0 when all agree, log n when none do."""
    clusters: list[list[str]] = []
    for sample in samples:
        for cluster in clusters:
            if _same(question, sample, cluster[0]):
                cluster.append(sample)
                break
        else:
            clusters.append([sample])
    shares = [len(cluster) / len(samples) for cluster in clusters]
    return -sum(share * math.log(share) for share in shares) + 0.0


def _same(question: str, one: str, other: str) -> bool:
    """Whether two answers say the same, or add mostly the same words to the question."""
    if same_answer(one, other):
        return True
    left, right = _added(question, one), _added(question, other)
    if not left or not right:
        return False
    return left <= right or right <= left or 2 * len(left & right) > len(left | right)


def _added(question: str, answer: str) -> frozenset[str]:
    # only the first sentence answers; what follows explains
    first = re.split(r"(?<=[.!?])\s", answer.strip(), maxsplit=1)[0]
    asked = {stem(word) for word in words(question)}
    said = (word for word in words(first) if word not in STOP_WORDS and word not in _PRONOUNS)
    return frozenset(stem(word) for word in said) - asked


def closed_book(question: str, seed: int) -> GenerateRequest:
    """One sample of what the model answers by itself."""
    return _request(Asked(statement="", question=question, expected=""), open_book=False, seed=seed)


def _prompt(lesson: Asked, open_book: bool) -> tuple[Message, ...]:
    context = lesson.statement if open_book else ""
    user = Message(role="user", content=lesson.question, context=context, provenance="user")
    return (system_message(None), user)


def _request(lesson: Asked, open_book: bool, seed: int | None = None) -> GenerateRequest:
    return GenerateRequest(
        messages=_prompt(lesson, open_book),
        max_tokens=_ANSWER_TOKENS,
        temperature=0.0 if seed is None else 1.0,
        seed=seed,
    )


def _scored(lesson: Asked, open_book: bool) -> ScoreRequest:
    return ScoreRequest(messages=_prompt(lesson, open_book), completion=lesson.expected)


def _said(text: str) -> ScoreRequest:
    """A text as something said out of the blue."""
    user = Message(role="user", content="Say one sentence.", provenance="user")
    return ScoreRequest(messages=(system_message(None), user), completion=text)


def _plain_surprise(model: Model) -> Sequence[float]:
    """Surprise of the plain sentences, nats a token; measured once for each loaded model and adapter."""
    known = _plain_by_model.setdefault(model, {})
    adapter = model.served_digest()
    if adapter not in known:
        known[adapter] = [-score.mean for score in model.score([_said(text) for text in _PLAIN])]
    return known[adapter]


def _gains(closed: Score, opened: Score) -> list[float]:
    """Nats that the context adds to each token of the answer.

    Without the end-of-turn token: whether the answer stops there says nothing about knowing it.
    """
    gains = [after - before for before, after in zip(closed.logprobs, opened.logprobs, strict=True)]
    return gains[:-1] or gains


def _deviations(value: float, others: Sequence[float]) -> float:
    mean = sum(others) / len(others)
    spread = math.sqrt(sum((other - mean) ** 2 for other in others) / len(others))
    return (value - mean) / max(spread, 1e-6)
