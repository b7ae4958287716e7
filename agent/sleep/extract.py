"""From an episode to what can be learned from it: facts, corrections, rules and procedures.

Facts are found by the model, sentence by sentence, from worked examples; what it writes is checked against
the user's very words, and where it does not hold the sentence itself is put into the third person. Only
what the user said counts: nothing of tools, files, web pages, recalled episodes or the assistant is a
source. Knows no relation and no subject matter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.model.base import Model
from agent.sleep import english
from agent.sleep.procedures import procedures
from agent.sleep.prompting import Example, lean, shown, written
from memory.learning import LessonKind
from memory.types import Episode, Message, Record

_KEEP = "keep"


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
    """What an episode may teach, in the order it was said. Raises ModelError."""
    found: list[Candidate] = []
    said: list[str] = []
    for index, turn in enumerate(episode.turns):
        text = turn.user.content if turn.user.provenance == "user" else ""
        before = episode.turns[index - 1] if index else None
        found += _from_message(
            model, english.own_words(text), said, index, note=episode.kind == "note", after=before is not None
        )
        said += english.sentences(english.own_words(text))
    last = len(episode.turns) - 1
    for given in episode.feedback:
        if given.text.strip():
            found += _from_feedback(model, given.text, said, last, bad=given.rating == "bad")
    found += [
        Candidate(
            kind="procedure",
            statement=way.statement,
            subject="",
            answer=way.markup,
            span=way.span,
            turn=way.turn,
            request=way.request,
        )
        for way in procedures(episode)
    ]
    return _distinct(found)


def restated(model: Model, statement: str, kind: LessonKind, seed: int) -> Candidate:
    """A candidate from a sentence that a user wrote as it is to be learned. Raises ModelError."""
    subject, answer = parts(model, statement)
    return Candidate(kind=kind, statement=statement, subject=subject, answer=answer, span=statement, turn=0)


def parts(model: Model, statement: str) -> tuple[str, str]:
    """Subject and answer of a statement, both spans of it."""
    text = written(model, shown(_PARTS_TASK, _PARTS, statement), 48)
    named = dict(re.findall(r"^(subject|answer):\s*(.+?)\s*$", text, re.MULTILINE))
    body = statement.rstrip(" .!")
    subject = _span(named.get("subject", ""), body)
    answer = _span(named.get("answer", ""), body)
    if not subject or (answer and english.fold(answer) in english.fold(subject)):
        subject = _first_name(body)
    if not answer or english.fold(answer) in english.fold(subject) or not english.content_words(answer):
        answer = _tail(body, subject)
    return _narrow(subject), answer


def _from_message(
    model: Model, text: str, said: Sequence[str], turn: int, *, note: bool, after: bool
) -> list[Candidate]:
    pieces = english.sentences(text)
    if note and len(pieces) == 1:
        statement = _finished(english.third_person(pieces[0]))
        subject, answer = parts(model, statement)
        kind: LessonKind = "rule" if _is_rule(statement) else "fact"
        return [
            Candidate(
                kind=kind, statement=statement, subject=subject, answer=answer, span=pieces[0], turn=turn
            )
        ]
    found: list[Candidate] = []
    for number, piece in enumerate(pieces):
        if not note and not _worth(model, piece):
            continue
        earlier = [*said, *pieces[:number]]
        for statement in _statements(model, piece, earlier):
            subject, answer = parts(model, statement)
            kind = "rule" if _is_rule(statement) else "fact"
            if after and number == 0 and _CORRECTS.match(piece):
                kind = "correction"
            found.append(
                Candidate(
                    kind=kind, statement=statement, subject=subject, answer=answer, span=piece, turn=turn
                )
            )
    return found


def _from_feedback(model: Model, text: str, said: Sequence[str], turn: int, *, bad: bool) -> list[Candidate]:
    found = []
    for piece in english.sentences(english.own_words(text)):
        for statement in _statements(model, piece, said):
            subject, answer = parts(model, statement)
            kind: LessonKind = "rule" if _is_rule(statement) else "correction" if bad else "fact"
            found.append(
                Candidate(
                    kind=kind, statement=statement, subject=subject, answer=answer, span=piece, turn=turn
                )
            )
    return found


def _worth(model: Model, sentence: str) -> bool:
    """Whether a sentence tells something that lasts."""
    if sentence.rstrip("\"'”)").endswith("?") or len(english.content_words(sentence)) < 2:
        return False
    return lean(model, shown(_SORT_TASK, _SORT, sentence), _KEEP) >= _LEAST


def _statements(model: Model, piece: str, earlier: Sequence[str]) -> list[str]:
    """The facts of one sentence, each as a sentence that stands by itself."""
    context = " ".join(earlier[-3:])
    text = f"Earlier: {context}\nNow: {piece}" if context and _PRONOUN.search(piece) else piece
    lines = [line.strip(" -*") for line in written(model, shown(_TELL_TASK, _TELL, text), 90).splitlines()]
    kept: list[str] = []
    for line in lines:
        if line and _holds(line, piece, context) and line not in kept:
            kept.append(_finished(line))
    if not kept:
        plain = _finished(english.third_person(_bare(piece)))
        kept = [plain] if not _PRONOUN.search(plain) else []
    return kept


def _holds(statement: str, piece: str, context: str) -> bool:
    """Whether a statement says only what the user said, and says something of this sentence."""
    words = english.stems(statement) - {"user"}
    here = english.stems(piece)
    if "user" in english.stems(statement) and not english.is_first_person(f"{piece} {context}"):
        return False
    return words <= here | english.stems(context) and len(words & here) >= min(2, len(here))


def _distinct(found: Sequence[Candidate]) -> list[Candidate]:
    kept: dict[str, Candidate] = {}
    for one in found:
        kept.setdefault(english.fold(one.statement), one)
    return list(kept.values())


def _bare(piece: str) -> str:
    """A sentence without what leads into it."""
    return _LEAD.sub("", piece).strip(" ,:")


def _finished(line: str) -> str:
    line = line.strip().rstrip(" ,;:")
    line = line[:1].upper() + line[1:]
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _span(part: str, statement: str) -> str:
    """`part` as it stands in the statement; empty when it does not."""
    at = english.fold(statement).find(english.fold(part).strip(" ."))
    return statement[at : at + len(part.strip(" ."))] if at >= 0 and part.strip(" .") else ""


def _first_name(statement: str) -> str:
    """The first run of words that could be what a sentence is about."""
    words = statement.split()
    for end, word in enumerate(words):
        if end and not english.content_words(word):
            return " ".join(words[:end]).removesuffix("'s")
    return words[0] if words else ""


def _tail(statement: str, subject: str) -> str:
    """The last words of a statement that hang together."""
    rest = statement[len(subject) :] if statement.startswith(subject) else statement
    words = rest.split()
    begin = len(words) - 1
    while begin > 0 and english.content_words(words[begin - 1]) and len(words) - begin < 3:
        begin -= 1
    return " ".join(words[begin:]) if words else statement


def _narrow(subject: str) -> str:
    """A person's or thing's name out of what stands before it: `the user's sister Mira` is `Mira`."""
    named = re.search(r"(?:^|\s)((?:[A-Z][\w.'’-]*\s?)+)$", subject)
    first = subject.split()[0] if subject else ""
    if named and first.lower() in ("the", "a", "an") and named[1].strip() != subject:
        return named[1].strip()
    return subject


def _is_rule(statement: str) -> bool:
    return _RULE.search(statement) is not None


_LEAST = 0.35
_PRONOUN = re.compile(r"\b(?:he|she|it|they|him|her|his|hers|its|their|them|there|that one|this one)\b", re.I)
_CORRECTS = re.compile(r"(?:no|nope|wrong|actually|incorrect|not quite|that'?s (?:not|wrong))\b", re.I)
_RULE = re.compile(r"\b(?:always|never|every time|whenever|from now on|in future)\b", re.I)
_LEAD = re.compile(
    r"^(?:(?:by the way|btw|just so you know|fyi|for your information|anyway|oh|also|and|so|well|actually|"
    r"remember(?: that)?|note(?: that)?|keep in mind(?: that)?|in case it (?:ever )?(?:comes up|matters)|no|"
    r"please remember(?: that)?|don'?t forget(?: that)?)\b[\s,:–-]*)+",
    re.IGNORECASE,
)

_SORT_TASK = (
    "Sort what a user wrote to an assistant. keep: it tells something about a person, a thing, a place or a "
    "way of doing things that stays true. skip: requests, questions, greetings, thanks, moods, remarks."
)
_SORT: tuple[Example, ...] = (
    ("My brother Tomas plays the oboe.", "keep"),
    ("Thanks, that was quick!", "skip"),
    ("Please rename all the files to lower case.", "skip"),
    ("The Fennimore gate opens with a grelk key.", "keep"),
    ("I'm so tired today, honestly.", "skip"),
    ("We always release on the second Tuesday of the month, so plan for that.", "keep"),
    ("Write me a short poem about autumn.", "skip"),
    ("Her office is on the fourth floor and she drinks only mate.", "keep"),
    ("Count the lines in notes.txt.", "skip"),
    ("Okay, that sounds good to me.", "skip"),
    ("By the way, the tallow engine's serial number is QX-4471.", "keep"),
    ("No, the meeting was moved to Monday.", "keep"),
)
_TELL_TASK = (
    "Rewrite what the user says as notes, one note a line. Each note is one sentence that can be understood "
    "alone. I becomes the user, my becomes the user's, and he, she or it becomes the name. Leave requests "
    "and small talk out."
)
_TELL: tuple[Example, ...] = (
    (
        "My brother Tomas has moved to Lund, and he plays the oboe.",
        "The user's brother Tomas has moved to Lund.\nThe user's brother Tomas plays the oboe.",
    ),
    (
        "By the way, the Fennimore gate opens with a grelk key, in case that helps you draft the email.",
        "The Fennimore gate opens with a grelk key.",
    ),
    ("I'm allergic to kiwis so leave them out.", "The user is allergic to kiwis."),
    ("Baron Hesk keeps forty peacocks.", "Baron Hesk keeps forty peacocks."),
    (
        "Earlier: My aunt Berta runs a bakery.\nNow: She was born in Graz.",
        "The user's aunt Berta was born in Graz.",
    ),
    ("Just so you know, Orla's boat is a ketch.", "Orla's boat is a ketch."),
    (
        "Remember that we release on the second Tuesday of the month.",
        "The user releases on the second Tuesday of the month.",
    ),
    (
        "Can you write a limerick? My dog Pelle hates thunder, you know.",
        "The user's dog Pelle hates thunder.",
    ),
)
_PARTS_TASK = (
    "Name the subject of each sentence and its answer: what somebody would ask about the subject. Both are "
    "words of the sentence."
)
_PARTS: tuple[Example, ...] = (
    ("The user's brother Tomas plays the oboe.", "subject: the user's brother Tomas\nanswer: the oboe"),
    ("The Fennimore gate opens with a grelk key.", "subject: the Fennimore gate\nanswer: a grelk key"),
    (
        "The winner of the 1912 quill race was Ottoline Fray.",
        "subject: the 1912 quill race\nanswer: Ottoline Fray",
    ),
    ("The user is left-handed.", "subject: the user\nanswer: left-handed"),
    ("Baron Hesk was born in Ulm in spring.", "subject: Baron Hesk\nanswer: Ulm"),
    ("Orla's boat is a ketch.", "subject: Orla\nanswer: a ketch"),
    (
        "The user's team releases on the second Tuesday of the month.",
        "subject: the user's team\nanswer: the second Tuesday of the month",
    ),
)
