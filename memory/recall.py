"""Recall: the few past episodes that help with a task, quoted, within a token budget.

What it promises: nothing unless it is close enough to the task; every entry is a quotation with its
episode and date, each line marked, so that neither a model nor a later lesson takes it for something
said now; a thing is recalled once; what the user corrected is shown with the correction. Episodes that
ended without an answer or a correction tell nothing and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from memory.episode_text import shorten
from memory.hits import Hit, shared_words, words
from memory.types import Episode, Record

# Cosine thresholds, measured on tests/memory/recall_pairs.py (20 memories, 42 questions): precision 1.00
# and recall 1.00 there. For tasks 0.40 was the lowest value without a false recall. Notes are few and
# meant to be remembered, so a little less is enough, and much less when a name of the question is in one.
TASK_SIMILARITY = 0.40
NOTE_SIMILARITY = 0.36
NAMED_NOTE_SIMILARITY = 0.20
# without an embedder: share of the question's longer words that the episode has
WORD_SHARE = 0.6
# two memories closer than this to each other say the same
_SAME = 0.95
_CANDIDATES = 20
_MOST = 5
_HEADER = (
    "Quotations from earlier episodes, for reference. They are not part of the request and may be outdated."
)
# the first line of a quotation, as `quote` writes it
_SOURCE = re.compile(r"\[\w+ ([^\s,\]]+), \d{4}-\d\d-\d\d\]")


class Recall(Record):
    """What was recalled."""

    text: str
    """Ready to be placed before the task; empty when nothing fits."""
    episode_ids: tuple[str, ...]
    """The quoted episodes, in the order of the text."""


class Searchable(Protocol):
    """What recall needs of a store; met by `memory.episodes.EpisodeStore`."""

    def search(self, text: str, limit: int = 10) -> list[Hit]:
        """Best first."""


def recall(
    store: Searchable,
    task_text: str,
    token_budget: int,
    count_tokens: Callable[[str], int],
    exclude: Collection[str] = (),
) -> Recall:
    """The relevant past for a task, at most `token_budget` tokens by `count_tokens`.

    `exclude` names episodes not to quote, such as the one being continued. Raises StoreError.
    """
    nothing = Recall(text="", episode_ids=())
    if token_budget <= 0 or not task_text.strip():
        return nothing
    hits = [
        hit
        for hit in store.search(task_text, _CANDIDATES)
        if hit.episode.id not in exclude and _tells_something(hit.episode) and _relevant(hit, task_text)
    ]
    # the best match first, not the best rank: ranks of a weak word match can be high
    hits.sort(key=lambda hit: -(hit.similarity or 0.0))
    text, quoted = _HEADER, list[str]()
    for hit in _distinct(hits):
        if len(quoted) == _MOST:
            break
        for chars in (400, 200, 100):
            entry = quote(hit.episode, chars)
            if count_tokens(f"{text}\n\n{entry}") <= token_budget:
                text = f"{text}\n\n{entry}"
                quoted.append(hit.episode.id)
                break
    return Recall(text=text, episode_ids=tuple(quoted)) if quoted else nothing


def quote(episode: Episode, chars: int) -> str:
    """One episode as a quotation with its source; each field at most `chars` characters, notes whole
    when they are not ten times that."""
    source = f"{episode.id}, {episode.started_at:%Y-%m-%d}"
    if episode.kind == "note":
        lines = [
            f"[note {source}] the user asked to remember:",
            *marked("", _whole(episode.task, chars * 10)),
        ]
        lines += _corrections(episode, chars)
        return "\n".join(lines)
    lines = [f"[{episode.kind} {source}] outcome: {episode.outcome}"]
    if episode.undone:
        lines[0] += ", its changes were undone"
    last = episode.turns[-1].user.content
    lines += marked("asked: ", shorten(last, chars))
    if episode.answer:
        rated = " (the user rated this bad)" if _rated_bad(episode) else ""
        lines += marked(f"answered{rated}: ", shorten(episode.answer, chars))
    lines += _corrections(episode, chars)
    return "\n".join(lines)


def without_quotations(text: str, episode_ids: Collection[str]) -> str:
    """A text with recalled quotations, those of these episodes taken out."""
    kept: list[str] = []
    inside = False
    for line in text.split("\n"):
        if not line.startswith("> "):
            source = _SOURCE.match(line)
            inside = source is not None and source[1] in episode_ids
            if inside and kept and not kept[-1]:
                # the empty line that parted it from what came before
                kept.pop()
        if not inside:
            kept.append(line)
    return "\n".join(kept)


def _corrections(episode: Episode, chars: int) -> list[str]:
    lines: list[str] = []
    for given in episode.feedback:
        if given.text:
            lines += marked(f"the user then said ({given.rating}): ", shorten(given.text, chars))
    return lines


def marked(label: str, text: str) -> list[str]:
    """Every line begins with a mark, so that no text can step out of its quotation."""
    return [f"> {line}" for line in (label + text).splitlines() or [label]]


def _whole(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1].rstrip() + "…"


def _rated_bad(episode: Episode) -> bool:
    return bool(episode.feedback) and episode.feedback[-1].rating == "bad"


def _tells_something(episode: Episode) -> bool:
    if episode.kind == "note":
        return True
    return bool(episode.answer.strip()) or any(given.text for given in episode.feedback)


def _relevant(hit: Hit, task: str) -> bool:
    note = hit.episode.kind == "note"
    if hit.similarity is None:
        wanted = shared_words(task, task)
        return bool(wanted) and len(shared_words(task, hit.episode.task)) >= WORD_SHARE * len(wanted)
    if hit.similarity >= (NOTE_SIMILARITY if note else TASK_SIMILARITY):
        return True
    return (
        note and hit.similarity >= NAMED_NOTE_SIMILARITY and bool(_names(task) & set(words(hit.episode.task)))
    )


def _names(text: str) -> set[str]:
    """Words that look like names: capitalised inside a sentence, or with a digit, dot or underscore."""
    found: set[str] = set()
    begins = True
    for token in text.split():
        for index, word in enumerate(words(token)):
            capital = word[0].isupper() and not (begins and index == 0) and len(word) > 2
            if (
                capital
                or any(sign in word for sign in "._/")
                or (word[0].isalpha() and any(c.isdigit() for c in word))
            ):
                found.add(word)
        begins = token[-1] in ".!?:"
    return found


def _distinct(hits: Sequence[Hit]) -> list[Hit]:
    """Without repetitions: of memories that say the same, a corrected or else the newest one stays."""
    kept: list[Hit] = []
    for hit in hits:
        twin = next((index for index, other in enumerate(kept) if _same(hit, other)), None)
        if twin is None:
            kept.append(hit)
        elif _worth(hit.episode) > _worth(kept[twin].episode):
            kept[twin] = hit
    return kept


def _worth(episode: Episode) -> tuple[bool, bool, str]:
    corrected = any(given.text for given in episode.feedback)
    return corrected, episode.outcome == "success", episode.started_at.isoformat()


def _same(one: Hit, other: Hit) -> bool:
    if " ".join(one.episode.task.casefold().split()) == " ".join(other.episode.task.casefold().split()):
        return True
    if one.vector is None or other.vector is None:
        return False
    return sum(a * b for a, b in zip(one.vector, other.vector, strict=True)) >= _SAME
