"""How the words of two statements lie to each other: what an update or a denial of the same thing looks like.

Little words and positions only; no topic, relation or subject is named here. None of this decides anything by
itself: a regression weighs it (`agent.sleep.contradictions`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.sleep.agree import words
from memory.hits import STOP_WORDS
from memory.record import Record

_NEGATIONS = """
    no not never neither nor none nothing nobody without cannot forbidden stopped cancelled left gave
"""
_OVER = "now today instead longer anymore moved changed replaced switched"
_PAST = "was were did had used formerly once until before ago first"
_OWN = "i my we our"
# Where a statement's subject ends: at a little verb, or at a word that looks like one
_LITTLE_VERBS = """
    is are was were am has have had will can must may should does do did no never always not now usually
"""
_VERB = re.compile(r"[a-z][a-z'’-]*(?:s|ed)")
_SUBJECT_WORDS = 8


class PairWords(Record):
    """How the words of an earlier and a newer statement lie to each other."""

    start: float
    """Share of the shorter one's words, from the beginning, that both have, in [0, 1]."""
    end: float
    """The same from the end."""
    negated: bool
    """One denies and the other does not."""
    over: bool
    """The newer one has words of replacing."""
    past: int
    """Only the newer one (1) or only the earlier one (-1) tells of the past."""
    other: bool
    """What each one is about is a stranger to the other."""
    mine: bool
    """One is about the user and the other is not."""
    had: bool
    """The earlier one has the newer one's value."""

    @classmethod
    def of(
        cls,
        earlier: str,
        newer: str,
        subjects: tuple[str, str] = ("", ""),
        values: tuple[str, str] = ("", ""),
    ) -> PairWords:
        """`subjects`, `values`: what each is about and what it says of it, in its own words; guessed where
        empty (a value as the last content word)."""
        old, new = words(earlier), words(newer)
        old_stems, new_stems = [stem(word) for word in old], [stem(word) for word in new]
        shorter = max(1, min(len(old), len(new)))
        old_strange = bool(_subject(earlier, subjects[0]) - set(new_stems))
        new_strange = bool(_subject(newer, subjects[1]) - set(old_stems))
        return cls(
            start=_shared_start(old_stems, new_stems) / shorter,
            end=_shared_start(old_stems[::-1], new_stems[::-1]) / shorter,
            negated=_any(old, _NEGATIONS) != _any(new, _NEGATIONS),
            over=_any(new, _OVER),
            past=int(_any(new, _PAST)) - int(_any(old, _PAST)),
            other=old_strange and new_strange,
            mine=_any(old[:1], _OWN) != _any(new[:1], _OWN),
            had=_value(new_stems, values[1]) <= set(old_stems),
        )


def overlap(one: str, other: str) -> float:
    """Share of content words that two statements have in common, in [0, 1]; where no embedder is at hand."""
    left, right = _content([stem(w) for w in words(one)]), _content([stem(w) for w in words(other)])
    return len(left & right) / max(1, min(len(left), len(right)))


def _subject(text: str, named: str) -> frozenset[str]:
    """Content words of what a statement is about."""
    if named:
        return _content([stem(word) for word in words(named)])
    taken: list[str] = []
    for word in text.split()[:_SUBJECT_WORDS]:
        bare = word.strip(".,;:!?")
        verb = _VERB.fullmatch(bare) and not bare.endswith(("'s", "’s", "ss"))
        if taken and (verb or _any([bare.casefold()], _LITTLE_VERBS)):
            break
        taken.append(bare)
        if len(taken) == 1 and _any([bare.casefold()], "i we he she it they"):
            break
    return _content([stem(word) for word in words(" ".join(taken))])


def _value(stems: Sequence[str], named: str) -> frozenset[str]:
    """Content words of what a statement says of its subject."""
    if named:
        said = [stem(word) for word in words(named)]
        return _content(said) or frozenset(said)
    return frozenset([word for word in stems if word not in _STOP_STEMS][-1:])


def _content(stems: Sequence[str]) -> frozenset[str]:
    return frozenset(stems) - _STOP_STEMS


def _any(tokens: Sequence[str], listed: str) -> bool:
    return not set(listed.split()).isdisjoint(tokens)


def _shared_start(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def stem(word: str) -> str:
    """Enough to see "lives" in "living"."""
    for end in ("ings", "ing", "ies", "es", "ed", "s", "e"):
        if word.endswith(end) and len(word) - len(end) >= 3:
            return word[: -len(end)]
    return word


_STOP_STEMS = frozenset(stem(word) for word in STOP_WORDS)
