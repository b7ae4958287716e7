"""Which earlier lessons a new one contradicts.

Candidates are the earlier statements nearest in meaning; each is then judged by a regression over how the
words of the two lie to each other and how alike they are once what they say is taken out. Its weights come
from labelled pairs (`nightschool bench contradictions --fit`), so that the figure is a probability. Nothing
is merged or retired here: `sure` says whether the caller may replace the earlier one by the newer without
asking; whatever is likely but not sure is to be shown.

The language model is not asked: what takes knowledge of the world (one can speak two languages, but not be
born twice) is not seen, and such pairs come out as likely at most.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from agent.logistic import Logistic, load
from agent.sleep.agree import words
from agent.sleep.pair_words import PairWords, overlap
from agent.told import denies
from memory.embed import Embedder
from memory.learning import Lesson
from memory.record import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHTS = Path(__file__).with_name("contradiction_weights.toml")
"""Fitted by `nightschool bench contradictions --fit`."""
LIKELY = 0.5
"""From this probability on a pair is shown."""
SURE = 0.9
"""From this probability on the newer statement replaces the earlier one."""
_KINDS = ("fact", "correction", "rule")
# No contradiction among the labelled pairs is further apart than 0.52.
_NEAR = 0.45
_SHARED = 0.5
_CANDIDATES = 5
_KEPT_VECTORS = 20_000
_vectors: WeakKeyDictionary[Embedder, dict[str, NDArray[np.float32]]] = WeakKeyDictionary()


class Pair(Record):
    """Two statements to be judged."""

    earlier: str
    """Said first."""
    newer: str
    """Said later."""
    closeness: float
    """As `candidates` gives it."""
    subjects: tuple[str, str] = ("", "")
    """What the two are about, as it is named in them; empty where nobody knows."""
    values: tuple[str, str] = ("", "")
    """What they say of it."""


class Contradiction(Record):
    """An earlier lesson that says otherwise."""

    lesson: Lesson
    """The earlier one."""
    probability: float
    """That the two cannot both be true, calibrated."""
    sure: bool
    """Whether that is enough to replace it without asking."""


def contradictions(new: Lesson, known: Sequence[Lesson], embedder: Embedder | None) -> list[Contradiction]:
    """Earlier lessons that `new` contradicts, likeliest first."""
    if new.kind not in _KINDS:
        return []  # a call neither agrees nor disagrees with another
    said = words(new.statement)
    others = [
        other
        for other in known
        if other.kind in _KINDS and other.id != new.id and words(other.statement) != said
    ]
    near = candidates(new.statement, [other.statement for other in others], embedder)
    pairs = [
        Pair(
            earlier=others[index].statement,
            newer=new.statement,
            closeness=closeness,
            subjects=(others[index].subject, new.subject),
            values=(_value(others[index]), _value(new)),
        )
        for index, closeness in near
    ]
    corrects = new.kind == "correction" or new.verdict.signals.corrected
    found = []
    for (index, _), chance in zip(near, judge(pairs, embedder), strict=True):
        # who corrects, or denies what was said, wants something replaced: it only has to be found
        told = corrects or denies(new.span, _value(others[index]))
        if chance >= LIKELY:
            sure = chance >= (LIKELY if told else SURE)
            found.append(Contradiction(lesson=others[index], probability=chance, sure=sure))
    return sorted(found, key=lambda each: -each.probability)


def candidates(statement: str, known: Sequence[str], embedder: Embedder | None) -> list[tuple[int, float]]:
    """Indexes of the earlier statements near enough to be judged, nearest first, each with its closeness."""
    if not known:
        return []
    if embedder is None:
        close = [(index, overlap(statement, other)) for index, other in enumerate(known)]
        floor = _SHARED
    else:
        vectors = _embedded(embedder, [statement, *known])
        close = [(index, float(vectors[0] @ other)) for index, other in enumerate(vectors[1:])]
        floor = _NEAR
    close = [(index, value) for index, value in close if value >= floor]
    return sorted(close, key=lambda pair: -pair[1])[:_CANDIDATES]


def judge(pairs: Sequence[Pair], embedder: Embedder | None) -> list[float]:
    """The probability that each pair cannot both be true."""
    weights = fitted()
    return [weights.probability(values) for values in figures(pairs, embedder)]


def figures(pairs: Sequence[Pair], embedder: Embedder | None) -> list[dict[str, float | None]]:
    """What the regression sees of each pair."""
    found: list[dict[str, float | None]] = []
    for pair in pairs:
        lie = PairWords.of(pair.earlier, pair.newer, pair.subjects, pair.values)
        frame, mentioned = _frames(pair, embedder)
        found.append(
            {
                "cosine": pair.closeness,
                "end": lie.end,
                "negated": float(lie.negated),
                "over": float(lie.over),
                "past": float(lie.past),
                "other": float(lie.other),
                "mine": float(lie.mine),
                "had": float(lie.had),
                # the same said again, and the same denied
                "echo": float(lie.had and not lie.negated),
                "denial": float(lie.negated and not lie.other),
                "frame": frame,
                "opening": frame * lie.start,
                "mentioned": mentioned,
            }
        )
    return found


def _frames(pair: Pair, embedder: Embedder | None) -> tuple[float, float]:
    """How alike the two are without what they say (whether the same is spoken of), and how near the newer
    one is to what the earlier one said."""
    old, new = _frame(pair.earlier, pair.values[0]), _frame(pair.newer, pair.values[1])
    said = pair.values[0] or pair.earlier
    if embedder is None:
        return overlap(old, new), overlap(said, pair.newer)
    vectors = _embedded(embedder, [old, new, said, pair.newer])
    return float(vectors[0] @ vectors[1]), float(vectors[2] @ vectors[3])


def _frame(text: str, value: str) -> str:
    return re.sub(re.escape(value), "something", text, count=1, flags=re.IGNORECASE) if value else text


def _value(lesson: Lesson) -> str:
    """What a plain question about a lesson is answered with."""
    plain = ("question", "paraphrase", "statement")
    return next((way.expected for way in lesson.phrasings if way.form in plain), "")


@cache
def fitted() -> Logistic:
    """The weights in use."""
    return load(WEIGHTS)


def _embedded(embedder: Embedder, texts: Sequence[str]) -> list[NDArray[np.float32]]:
    """Vectors of statements, each computed once: every new lesson is compared with all earlier ones."""
    known = _vectors.setdefault(embedder, {})
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    if len(known) + len(missing) > _KEPT_VECTORS:
        known.clear()
        missing = list(dict.fromkeys(texts))
    known.update(zip(missing, embedder.embed(missing), strict=True) if missing else ())
    return [known[text] for text in texts]
