"""Whether what was learned turns up where it does not belong.

An intrusion is a distinctive word of a trained lesson, in an answer to an everyday prompt, that neither the
prompt nor the base model's own answer has. Distinctive are words of a lesson's answers and subject that
nothing of our own texts uses, so that `blue` is no trace of a lesson and `Oakmere` is. A lesson made of
everyday words only leaves its whole answer as a trace, if that has several words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from memory.learning import Lesson

_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_SHORTEST = 3


def traces(lessons: Iterable[Lesson], common: frozenset[str]) -> frozenset[str]:
    """What betrays any of these lessons, in lower case: words, or answers of several words."""
    found: set[str] = set()
    for lesson in lessons:
        if lesson.kind == "procedure":
            # a call names tools and flags, which are asked for by the way everywhere
            texts = [lesson.subject]
        else:
            texts = [lesson.subject, *(phrasing.expected for phrasing in lesson.phrasings)]
        words = {word for text in texts for word in _words(text) if _is_distinctive(word, common)}
        if not words:
            words = {" ".join(_words(text)) for text in texts if len(_words(text)) > 1}
        found |= words
    return frozenset(found)


def intruders(answer: str, prompt: str, base_answer: str, marks: frozenset[str]) -> list[str]:
    """Traces in an answer that are neither in its prompt nor in the base model's answer."""
    said, known = _spread(answer), f"{_spread(prompt)}\n{_spread(base_answer)}"
    return sorted(mark for mark in marks if f" {mark} " in said and f" {mark} " not in known)


def _is_distinctive(word: str, common: frozenset[str]) -> bool:
    parts = re.findall(r"[^\W\d_]+|\d+", word)
    digits = any(part.isdigit() for part in parts)
    # short numbers turn up anywhere
    long = len(word) >= (4 if digits else _SHORTEST)
    return long and (digits or any(part not in common for part in parts))


def _words(text: str) -> Sequence[str]:
    return _WORD.findall(text.casefold())


def _spread(text: str) -> str:
    """Words with single blanks around each."""
    return f" {' '.join(_words(text))} "
