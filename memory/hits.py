"""Search results: how rankings are fused and how a find is explained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from memory.episode_text import searched_text
from memory.types import Episode

# the constant of the paper; it keeps the first places of one ranking from deciding alone
_RANK_CONSTANT = 60
_STOP_WORDS = """
a about an and are as at be but by can did do does for from had has have how i if in into is it its me my
not of on or our so that the their them then there these they this to us was we were what when where which
who will with would you your
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that say nothing about what a text is about."""
_WORD = re.compile(r"\w[\w.\-/]*\w|\w")


@dataclass(frozen=True)
class Hit:
    """An episode found by a search."""

    episode: Episode
    """The episode."""
    score: float
    """Higher is closer; comparable within one search only."""
    reason: str
    """Why it was found, for a person."""
    similarity: float | None
    """Cosine of the embeddings, in [-1, 1]; None when there is no vector to compare."""
    vector: tuple[float, ...] | None = field(default=None, repr=False)
    """The episode's embedding."""

    @classmethod
    def of(
        cls,
        episode: Episode,
        score: float,
        similarity: float | None,
        query: str,
        vector: Sequence[float] | None,
    ) -> Hit:
        """A hit with its reason worked out."""
        reason = why_found(query, searched_text(episode), similarity)
        return cls(episode, score, reason, similarity, None if vector is None else tuple(vector))


def why_found(query: str, text: str, similarity: float | None) -> str:
    """Why a search found a text, for a person."""
    reasons = []
    if similarity is not None:
        reasons.append(f"meaning {similarity:.2f}")
    shared = shared_words(query, text)
    if shared:
        reasons.append("words: " + ", ".join(shared[:5]))
    return "; ".join(reasons) or "words of the same stem"


def fuse(rankings: Sequence[Sequence[str]]) -> list[tuple[str, float]]:
    """Reciprocal rank fusion: each ranking gives 1 / (60 + place); highest sum first.

    Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet", SIGIR 2009.
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for place, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (_RANK_CONSTANT + place)
    return sorted(scores.items(), key=lambda pair: -pair[1])


def words(text: str) -> list[str]:
    """The words of a text in order, as written; file names and hyphenated words stay whole."""
    return _WORD.findall(text)


def shared_words(query: str, text: str) -> list[str]:
    """Words of the query, longest first, that are in the text; small words left out."""
    known = {word.casefold() for word in words(text)}
    wanted = dict.fromkeys(word.casefold() for word in words(query) if len(word) > 2)
    return sorted(
        (word for word in wanted if word in known and word not in STOP_WORDS), key=lambda word: -len(word)
    )
