"""How the words of two statements lie to each other: what an update or a denial of the same thing looks like.

Little words and positions only; no topic, relation or subject is named here. Each figure is a number that a
regression weighs (`agent.sleep.contradictions`); none decides anything by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.sleep.agree import words
from memory.hits import STOP_WORDS

_NEGATIONS = """
    no not never neither nor none nothing nobody without cannot forbidden stopped cancelled left gave
"""
_OVER = "now today instead longer anymore moved changed replaced switched"
_ADDED = "also too as well another both"
_PAST = "was were did had used formerly once until before ago first"
_OWN = "i my we our"
# Where a statement's subject ends: at a little verb, or at a word that looks like one
_LITTLE_VERBS = """
    is are was were am has have had will can must may should does do did no never always not now usually
"""
_VERB = re.compile(r"[a-z][a-z'’-]*(?:s|ed)")
_SUBJECT_WORDS = 8


def pair_figures(
    earlier: str,
    newer: str,
    cosine: float,
    subjects: tuple[str, str] = ("", ""),
    values: tuple[str, str] = ("", ""),
) -> dict[str, float | None]:
    """Figures of a pair. `subjects`, `values`: what each is about and what it says of it, in its own words;
    guessed where empty (a value as the last content word).

    - cosine: of the two embeddings
    - nothing_new: one says no content word that the other lacks
    - start, end: share of the shorter one's words, from its beginning or its end, that both have
    - numbers: both name numbers, and not the same
    - negated: one denies and the other does not
    - over, added: the newer one has words of replacing, of adding
    - past: only the newer one (1) or only the earlier one (-1) tells of the past
    - other: each one's subject is a stranger to the other; narrower: only one's is
    - mine: one is about the user and the other is not
    - kept, denied: the newer one has the earlier one's value, and denies nothing, or something
    - had: the earlier one has the newer one's value
    """
    old, new = words(earlier), words(newer)
    old_stems, new_stems = [stem(word) for word in old], [stem(word) for word in new]
    shorter = max(1, min(len(old), len(new)))
    old_content, new_content = _content(old_stems), _content(new_stems)
    old_numbers, new_numbers = _numbers(old), _numbers(new)
    old_strange = bool(_subject(earlier, subjects[0]) - set(new_stems))
    new_strange = bool(_subject(newer, subjects[1]) - set(old_stems))
    kept = _value(old_stems, values[0]) <= set(new_stems)
    denies = _any(new, _NEGATIONS)
    return {
        "cosine": cosine,
        "nothing_new": float(new_content <= old_content or old_content <= new_content),
        "start": _shared_start(old_stems, new_stems) / shorter,
        "end": _shared_start(old_stems[::-1], new_stems[::-1]) / shorter,
        "numbers": float(bool(old_numbers and new_numbers) and old_numbers != new_numbers),
        "negated": float(_any(old, _NEGATIONS) != _any(new, _NEGATIONS)),
        "over": float(_any(new, _OVER)),
        "added": float(_any(new, _ADDED)),
        "past": float(_any(new, _PAST)) - float(_any(old, _PAST)),
        "other": float(old_strange and new_strange),
        "narrower": float(old_strange != new_strange),
        "mine": float(_any(old[:1], _OWN) != _any(new[:1], _OWN)),
        "kept": float(kept and not denies),
        "had": float(_value(new_stems, values[1]) <= set(old_stems)),
        "denied": float(kept and denies),
    }


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


def _numbers(tokens: Sequence[str]) -> frozenset[str]:
    return frozenset(token for token in tokens if any(char.isdigit() for char in token))


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
