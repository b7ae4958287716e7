"""From an episode to what can be learned from it: facts, corrections, rules and procedures.

Facts are found by the model, sentence by sentence, from worked examples; what it writes is checked against
the user's very words, and where it does not hold the sentence itself is put into the third person. Only
what the user said counts: nothing of tools, files, web pages, recalled episodes or the assistant is a
source. Knows no relation and no subject matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    found: list[Candidate] = []
    said: list[str] = []
    for index, turn in enumerate(episode.turns):
        text = english.own_words(turn.user.content) if turn.user.provenance == "user" else ""
        before = episode.turns[index - 1] if index else None
        if episode.kind == "note":
            found += _noted(model, text, index)
        else:
            found += _told(model, text, said, index, before)
        said += english.sentences(text)
    found += _remarked(model, episode)
    found += _procedures(episode)
    return _distinct(found)


def restated(model: Model, statement: str, kind: LessonKind, seed: int) -> Candidate:
    """A candidate from a sentence that a user wrote as it is to be learned. Raises ModelError."""
    return _candidate(model, kind, statement, statement, 0)


def _noted(model: Model, text: str, turn: int) -> Iterator[Candidate]:
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
            kind: LessonKind = "rule" if statements.is_rule(model, line) else "fact"
            yield _candidate(model, kind, line, piece, turn)


def _told(
    model: Model, text: str, said: Sequence[str], turn: int, before: Turn | None
) -> Iterator[Candidate]:
    """What a message says in passing, or to put the last answer right."""
    pieces = english.sentences(text)
    corrects = False
    for number, piece in enumerate(pieces):
        if before is not None and number == 0:
            corrects = statements.CORRECTS.match(piece) is not None
        if corrects and before is not None and english.content_words(statements.affirmed(piece)):
            corrects = False
            line = statements.mend(model, before.user.content, before.answer, piece)
            if line:
                yield _candidate(model, "correction", line, piece, turn)
                continue
        earlier = [*said, *pieces[:number]]
        for clause in statements.clauses(piece):
            rule = statements.is_rule(model, statements.finished(clause))
            if rule:
                yield _candidate(
                    model, "rule", statements.finished(english.third_person(clause)), piece, turn
                )
            elif statements.is_worth(model, clause):
                for line in statements.tell(model, clause, earlier):
                    yield _candidate(model, "fact", line, piece, turn)
            earlier.append(statements.finished(clause))


def _remarked(model: Model, episode: Episode) -> Iterator[Candidate]:
    """What feedback says: a bad rating with words corrects the last answer, or states a rule."""
    last = len(episode.turns) - 1
    turn = episode.turns[-1]
    for given in episode.feedback:
        for piece in english.sentences(english.own_words(given.text)):
            if piece.endswith("?") or not english.content_words(statements.affirmed(piece)):
                continue
            plain = statements.finished(statements.affirmed(piece))
            if statements.is_rule(model, plain):
                yield _candidate(model, "rule", english.third_person(plain), piece, last)
            elif not statements.is_worth(model, plain):
                continue
            elif given.rating == "bad":
                line = statements.mend(model, turn.user.content, turn.answer, piece)
                if line:
                    yield _candidate(model, "correction", line, piece, last)
            else:
                for line in statements.tell(model, plain, [turn.user.content]):
                    yield _candidate(model, "fact", line, piece, last)


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


def _candidate(model: Model, kind: LessonKind, statement: str, span: str, turn: int) -> Candidate:
    subject, answer = statements.parts(model, statement, span)
    return Candidate(kind=kind, statement=statement, subject=subject, answer=answer, span=span, turn=turn)


def _distinct(found: Sequence[Candidate]) -> list[Candidate]:
    kept: dict[str, Candidate] = {}
    for one in found:
        kept.setdefault(english.fold(one.statement), one)
    return list(kept.values())
