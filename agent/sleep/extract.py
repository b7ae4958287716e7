"""From an episode to what can be learned from it: facts, corrections, rules and procedures.

Facts are found by the model, sentence by sentence, from worked examples; what it writes is checked against
the user's very words, and where it does not hold the sentence itself is put into the third person. Only
what the user said counts: nothing of tools, files, web pages, recalled episodes or the assistant is a
source. Knows no relation and no subject matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agent.model.base import Model
from agent.sleep import english, statements
from agent.sleep.procedures import procedures
from memory.learning import LessonKind
from memory.types import Episode, Message, Record, Turn


class Candidate(Record):
    """Something an episode may teach."""

    kind: LessonKind
    """A fact, a correction, a rule or a procedure."""
    statement: str
    """One sentence that stands by itself."""
    subject: str
    """What it is about, as named in it; empty when nothing stands out."""
    answer: str
    """Its core: a span of what the user said. For a procedure the call's markup."""
    span: str
    """The user's very words it came from."""
    turn: int
    """Index of the turn it was said in; feedback counts as said in the last one."""
    request: tuple[Message, ...] = ()
    """For a procedure the prompt that the call answers, system message first."""


def candidates(model: Model, episode: Episode, seed: int) -> list[Candidate]:
    """What an episode may teach, in the order it was said; the seed is for what samples, which nothing here
    does. Raises ModelError."""
    drafts: list[_Draft] = []
    said: list[str] = []
    for index, turn in enumerate(episode.turns):
        text = english.own_words(turn.user.content) if turn.user.provenance == "user" else ""
        before = episode.turns[index - 1] if index else None
        if episode.kind == "note":
            drafts += _noted(model, text, index)
        else:
            drafts += _told(model, text, said, index, before)
    drafts += _remarked(model, episode)
    return _distinct([*_candidates(model, drafts), *_procedures(episode)])


def restated(model: Model, statement: str, kind: LessonKind, seed: int) -> Candidate:
    """A candidate from a sentence that a user wrote as it is to be learned. Raises ModelError."""
    [one] = _candidates(model, [_Draft(kind, statement, statement, 0)])
    return one


class _Draft(NamedTuple):
    """A statement whose parts are not yet known."""

    kind: LessonKind
    statement: str
    span: str
    turn: int


def _noted(model: Model, text: str, turn: int) -> Iterator[_Draft]:
    """A note is meant to be kept: every sentence of it counts, and one alone is taken as it is."""
    pieces = english.sentences(text)
    for number, piece in enumerate(pieces):
        if piece.endswith("?"):
            continue
        if len(pieces) == 1:
            lines = [statements.finished(english.third_person(piece))]
        else:
            lines = [
                line
                for clause in statements.clauses(piece)
                for line in statements.tell(model, clause, pieces[:number])
            ]
        for line in lines:
            yield _Draft("rule" if statements.is_rule(model, line) else "fact", line, piece, turn)


def _told(model: Model, text: str, said: list[str], turn: int, before: Turn | None) -> Iterator[_Draft]:
    """What a message says in passing, or to put the last answer right; `said` grows by it."""
    pieces = english.sentences(text)
    corrects = before is not None and bool(pieces) and statements.CORRECTS.match(pieces[0]) is not None
    parted: list[tuple[str, list[str]]] = []
    for piece in pieces:
        line = ""
        if corrects and before is not None and english.content_words(statements.affirmed(piece)):
            corrects = False
            line = statements.mend(model, before.user.content, before.answer, piece)
            if line:
                yield _Draft("correction", line, piece, turn)
        parted.append((piece, [] if line else statements.clauses(piece)))
    clauses = [clause for _, parts in parted for clause in parts]
    lasting = dict(zip(clauses, statements.worth(model, clauses), strict=True))
    for piece, parts in parted:
        for clause in parts:
            lines: list[str] = []
            if statements.is_rule(model, statements.finished(clause)):
                yield _Draft("rule", statements.as_rule(clause), piece, turn)
            elif lasting[clause]:
                lines = statements.tell(model, clause, said)
            for line in lines:
                yield _Draft("fact", line, piece, turn)
            said += lines or [statements.finished(clause)]
        said += [] if parts else [piece]


def _remarked(model: Model, episode: Episode) -> Iterator[_Draft]:
    """What feedback says: a bad rating with words corrects the last answer, or states a rule."""
    last = len(episode.turns) - 1
    turn = episode.turns[-1]
    for given in episode.feedback:
        for piece in english.sentences(english.own_words(given.text)):
            plain = statements.affirmed(piece)
            if piece.endswith("?") or not english.content_words(plain):
                continue
            plain = statements.finished(plain)
            if statements.is_rule(model, plain):
                yield _Draft("rule", statements.as_rule(plain), piece, last)
            elif not statements.worth(model, [plain])[0]:
                continue
            elif given.rating == "bad":
                line = statements.mend(model, turn.user.content, turn.answer, piece)
                if line:
                    yield _Draft("correction", line, piece, last)
            else:
                for line in statements.tell(model, plain, [turn.user.content]):
                    yield _Draft("fact", line, piece, last)


def _candidates(model: Model, drafts: Sequence[_Draft]) -> list[Candidate]:
    """Drafts with their subjects and answers."""
    named = statements.parts(model, [draft.statement for draft in drafts], [draft.span for draft in drafts])
    return [
        _as_written(Candidate(**draft._asdict(), subject=subject, answer=answer))
        for draft, (subject, answer) in zip(drafts, named, strict=True)
    ]


def _as_written(found: Candidate) -> Candidate:
    """With the subject spelled as the user did: a sentence made of `rg takes a pattern` begins with a
    capital, and a question about the command does not."""
    subject = found.subject
    begins = subject.split()[:1]
    if not begins or not english.content_words(begins[0]) or not found.statement.startswith(subject):
        return found
    if subject in found.span or not (own := re.search(rf"(?<!\w){re.escape(subject)}", found.span, re.I)):
        return found
    statement = own[0] + found.statement[len(subject) :]
    if found.answer not in statement:
        return found
    return found.model_copy(update={"subject": own[0], "statement": statement})


def _procedures(episode: Episode) -> Iterator[Candidate]:
    for way in procedures(episode):
        yield Candidate(
            kind="procedure",
            statement=way.statement,
            subject="",
            answer=way.markup,
            span=way.span,
            turn=way.turn,
            request=way.request,
        )


def _distinct(found: Sequence[Candidate]) -> list[Candidate]:
    kept: dict[str, Candidate] = {}
    for one in found:
        kept.setdefault(english.fold(one.statement), one)
    return list(kept.values())
