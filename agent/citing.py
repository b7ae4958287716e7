"""Which source holds what an answer says.

A small model seldom writes the number of the source it used, and sometimes a wrong one. So its numbers are
taken off, and every sentence is compared with the quoted passages: a source is cited when a few sentences of
it in a row hold the figures and nearly all of the words that the answer added to the question, and have
to do with the question itself. Rules of words alone: what a source says in other words is not found, what
none holds is never cited.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from memory.hits import STOP_WORDS, words

# share of the added words, of all that a sentence says, and of the question's, that a passage must hold
_ADDED = 0.7
_CLAIMED = 0.65
_ASKED = 0.5
# a passage is as many sentences in a row: facts are often spread over two
_IN_A_ROW = 3
# words of a whole statement
_STATEMENT = 3
_CLAUSE = re.compile(r"(?<=[.!?;:,])\s+")
# a passage this like the question has to do with it, whatever words it uses
_LIKE = 0.45
_MARK = re.compile(r"\s*[\[(](?:\s*(?:source|quotation)?\s*\d{1,2}\s*[,;]?)+[\])]", re.IGNORECASE)
_BREAK = re.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[^\s\d]|\d+\s*[^\s.)])")
_BULLET = re.compile(r"^\s*(?:[-*•>|]+|#+|\d{1,3}[.)])\s*")
_QUOTED_FROM = re.compile(r"\s*\[\d{1,2}\] from .*:\s*$")
_DENIALS = "no not never none neither nor nothing nobody without cannot"
_NOT = frozenset(_DENIALS.split())
_EMPTY = (
    "yes also just only please there here according source sources quotation quotations numbered "
    "information provided say says need needs"
)
# a denial is compared by itself
_IDLE = STOP_WORDS | _NOT | frozenset(_EMPTY.split())
_COUNT = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMBERS = {word: str(number) for number, word in enumerate(_COUNT.split())}
Likeness = Callable[[str, Sequence[str]], Sequence[float]]
"""Cosine between a text and each of several, such as `agent.nearness.Nearness`."""


@dataclass(frozen=True)
class Cited:
    """One sentence of an answer."""

    text: str
    """Without the model's own marks."""
    sources: tuple[int, ...]
    """Places of the sources that hold it, the best first; empty when none does."""
    checked: bool
    """False for what says nothing that could be held, such as a heading."""


def cite(
    answer: str, question: str, sources: Sequence[tuple[str, str]], likeness: Likeness | None = None
) -> list[Cited]:
    """Each sentence of the answer with the sources that hold it, at most one for each.

    `sources`: what each stands under (file, headings) and its text.
    """
    asked = _content(question)
    passages = [
        (place, above, part) for place, (above, text) in enumerate(sources) for part in _passages(text)
    ]
    found = []
    for sentence in sentences(answer):
        text = _MARK.sub("", sentence).strip()
        claimed = _content(text)
        if not claimed:
            found.append(Cited(text, (), checked=False))
            continue
        marked = {int(number) - 1 for mark in _MARK.findall(sentence) for number in re.findall(r"\d+", mark)}
        best = _best(text, claimed, asked, question, passages, marked, likeness)
        found.append(Cited(text, () if best is None else (best,), checked=True))
    return found


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text, without what is empty."""
    pieces = (piece.strip() for line in text.split("\n") for piece in _BREAK.split(line))
    return [piece for piece in pieces if piece]


def statements(text: str) -> list[str]:
    """The sentences of a document: lines that only a margin broke are put together again."""
    joined: list[str] = []
    going = False
    for line in text.split("\n"):
        line = line.strip()
        alone = _BULLET.match(line) is not None
        if joined and going and line and not alone:
            joined[-1] += f" {line}"
        elif line:
            joined.append(_BULLET.sub("", line))
        # a heading ends with its line
        going = bool(line) and not line.startswith(("#", "|"))
    return [part for whole in joined for part in sentences(whole)]


def with_marks(answer: str, cited: Sequence[Cited], numbers: dict[int, int]) -> str:
    """The answer with the numbers of its sources, its lines as they were. One number stands for all
    sentences of a line up to it that have the same source."""
    left = iter(cited)
    lines = []
    for line in answer.split("\n"):
        those = [next(left) for _ in sentences(line)]
        said = []
        for place, one in enumerate(those):
            goes_on = place + 1 < len(those) and those[place + 1].sources == one.sources
            marks = "" if goes_on else "".join(f" [{numbers[source]}]" for source in one.sources)
            said.append(one.text + marks)
        indent = line[: len(line) - len(line.lstrip())]
        lines.append(indent + " ".join(part for part in said if part))
    return "\n".join(lines)


def own_words(answer: str) -> str:
    """An answer without the marks of quotations, which a small model copies with what it quotes."""
    lines = (re.sub(r"^(?:> ?)+", "", line) for line in answer.split("\n"))
    kept = [line for line in lines if not _QUOTED_FROM.match(line) and not line.startswith("#")]
    return "\n".join(kept).strip() or answer.strip()


def _best(
    text: str,
    claimed: set[str],
    asked: set[str],
    question: str,
    passages: Sequence[tuple[int, str, str]],
    marked: set[int],
    likeness: Likeness | None,
) -> int | None:
    """The place of the source that holds a sentence best; of equals the one the model named."""
    added = claimed - asked
    figures = {word for word in claimed if any(sign.isdigit() for sign in word)}
    scored = []
    for place, above, passage in passages:
        inside = _content(passage)
        around = inside | _content(above)
        if not figures <= around or _turned(text, claimed, passage):
            continue
        wanted, least = (added, _ADDED) if added else (claimed, 0.8)
        held = len(wanted & around) / len(wanted)
        if held < least or len(claimed & around) < _CLAIMED * len(claimed) or not claimed & inside:
            continue
        about = len(asked & around) / len(asked) if asked else 1.0
        scored.append((held, about, place in marked, -len(inside), place, passage))
    scored.sort(key=lambda row: (row[0] + row[1], *row[2:4]), reverse=True)
    if not scored:
        return None
    if scored[0][1] >= _ASKED:
        return scored[0][4]
    if likeness is not None:
        alike = likeness(question, [row[5] for row in scored])
        top = max(range(len(scored)), key=lambda index: alike[index])
        if alike[top] >= _LIKE:
            return scored[top][4]
    return None


def _passages(text: str) -> Iterator[str]:
    """Every stretch of up to three sentences in a row."""
    parts = statements(text)
    for length in range(1, _IN_A_ROW + 1):
        for start in range(len(parts) - length + 1):
            yield " ".join(parts[start : start + length])


def _turned(text: str, claimed: set[str], passage: str) -> bool:
    """Whether one of the two denies what the other states, in the clauses that speak of the same. A word or
    two may well be taken from a sentence that denies something else."""
    if len(claimed) < _STATEMENT:
        return False
    clauses = [part for part in _CLAUSE.split(passage) if claimed & _content(part)]
    return _denies(text) != any(_denies(part) for part in clauses)


def _denies(text: str) -> bool:
    return any(word.casefold() in _NOT for word in words(text)) or "n't" in text.replace("’", "'")


def _content(text: str) -> set[str]:
    """The words that say something, in a form that a plural or a past tense does not change."""
    found = set()
    for word in words(text.replace("’", "'")):
        for part in {word.casefold(), *re.split(r"[-/]", word.casefold())}:
            if part and part not in _IDLE and (len(part) > 1 or part.isdigit()):
                found.add(_NUMBERS.get(part, _stem(part)))
    return found


def _stem(word: str) -> str:
    """A word without its commonest English endings."""
    if any(sign.isdigit() for sign in word):
        return word
    for ending in ("ing", "ies", "ed", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
