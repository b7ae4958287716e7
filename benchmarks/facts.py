"""The facts a benchmark teaches, and the questions it asks about them.

Facts are fictional and come from a seeded generator, or from a file of `{"subject", "relation", "object"}`
whose relations are free text. Relations of `benchmarks.relations` bring questions written by hand; any
other relation gets forms that need not know what it means. The product sees no question of this module
before it has to answer it, and is taught nothing about a neighbour: a subject that was never mentioned.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from agent.errors import UsageError
from benchmarks.names import Names
from benchmarks.relations import RELATIONS, Kind, Relation
from memory.record import Record

FAR_FORMS = 3
"""Questions in far words that are asked about each fact."""

Form = Literal["paraphrase", "far", "near", "reverse", "reverse_far", "neighbour", "unrelated"]


class Question(Record):
    """One question about one fact; what a right answer is depends on what was told by then."""

    id: str
    """Unique in a stream, for example `f12.far0`."""
    fact: int
    """Index of the fact; -1 for none."""
    form: Form
    """The `near` (plain) question, a `paraphrase` of it, `far` words, the `reverse` direction, the same in
    far words, about a `neighbour`, or an `unrelated` prompt."""
    text: str
    """The user's words."""


class Fact(Record):
    """One fact with all that is asked about it."""

    index: int
    """Place in the pool."""
    subject: str
    """What it is about."""
    relation: str
    """Free text between subject and object."""
    object: str
    """What is to be answered."""
    kind: Kind | None
    """What the subject is; None when nobody knows."""
    known: int | None
    """Index in `RELATIONS`; None for a relation that is not among them."""
    near: str
    """The plain question."""
    paraphrases: tuple[str, ...]
    """The same question put otherwise."""
    far: tuple[str, ...]
    """Questions in far words."""
    reverse: str | None
    """The reverse question; None where several subjects would be right."""
    reverse_far: str | None
    """The same in far words; None for relations that bring none."""
    neighbour: str
    """The plain question about a subject that is never mentioned."""

    @property
    def statement(self) -> str:
        """The fact as one sentence."""
        return state(self.subject, self.relation, self.object)

    @property
    def convention(self) -> bool:
        """Whether it is a convention of a tool or a project."""
        return self.known is not None and RELATIONS[self.known].convention

    def questions(self, form: Form) -> tuple[Question, ...]:
        """Its questions of one form."""
        texts = {
            "near": (self.near,),
            "paraphrase": self.paraphrases,
            "far": self.far,
            "reverse": (self.reverse,) if self.reverse is not None else (),
            "reverse_far": (self.reverse_far,) if self.reverse_far is not None else (),
            "neighbour": (self.neighbour,),
        }.get(form, ())
        return tuple(
            Question(id=f"f{self.index}.{form}{number}", fact=self.index, form=form, text=text)
            for number, text in enumerate(texts)
        )


def state(subject: str, relation: str, obj: str) -> str:
    """A fact as a sentence: `Zoltan Vireo lives in Oakmere.`, `Kiri Vole's favorite color is teal.`"""
    sentence = f"{join(subject, relation)} {obj}"
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def join(subject: str, relation: str) -> str:
    """Subject and relation; one that begins with an apostrophe follows without a blank."""
    return f"{subject}{relation}" if relation.startswith(("'", "’")) else f"{subject} {relation}"


def invent(count: int, seed: int) -> tuple[Fact, ...]:
    """Fictional facts, going round all relations; every subject occurs once."""
    source = random.Random(f"facts-{seed}")
    names = Names(source)
    triples: list[tuple[str, Relation, str]] = []
    for number in range(count):
        relation = RELATIONS[number % len(RELATIONS)]
        made = (
            names.object(relation.objects)
            if isinstance(relation.objects, str)
            else source.choice(relation.objects)
        )
        triples.append((names.subject(relation.kind), relation, made))
    return _with_questions([(s, r.text, o) for s, r, o in triples], source, names)


def other_object(fact: Fact, pool: Sequence[Fact], seed: int) -> str | None:
    """Another object of the same sort, to be told first and corrected later; None when there is none."""
    source = random.Random(f"other-{seed}-{fact.index}")
    objects = RELATIONS[fact.known].objects if fact.known is not None else ()
    if isinstance(objects, str):
        names = Names(source)
        while (made := names.object(objects)).casefold() == fact.object.casefold():
            pass  # years and codes are few enough to come up again
        return made
    if not objects:
        objects = tuple(sorted({other.object for other in pool if other.relation == fact.relation}))
    others = [one for one in objects if one.casefold() != fact.object.casefold()]
    return source.choice(others) if others else None


def read_facts(path: Path, seed: int) -> tuple[Fact, ...]:
    """Facts from a file: a JSON list of `{"subject", "relation", "object"}`. Raises UsageError."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {(error.strerror or str(error)).lower()}.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}. It should hold a list of facts.") from error
    if not isinstance(rows, list) or not rows:
        raise UsageError(
            f'{path} should hold a list of facts such as {{"subject": "Zoltan Vireo", "relation": '
            '"lives in", "object": "Oakmere"}.'
        )
    triples: list[tuple[str, str, str]] = []
    for number, row in enumerate(rows, 1):
        values = [row.get(key) for key in ("subject", "relation", "object")] if isinstance(row, dict) else []
        if len(values) != 3 or not all(isinstance(v, str | int | float) and str(v).strip() for v in values):
            raise UsageError(
                f"{path}: fact {number} needs `subject`, `relation` and `object`, each a text that is not "
                "empty."
            )
        triple = (str(values[0]).strip(), str(values[1]).strip(), str(values[2]).strip().rstrip("."))
        if triple not in triples:
            triples.append(triple)
    source = random.Random(f"file-{seed}")
    return _with_questions(triples, source, Names(source))


def _with_questions(
    triples: Sequence[tuple[str, str, str]], source: random.Random, names: Names
) -> tuple[Fact, ...]:
    by_text = {relation.text: number for number, relation in enumerate(RELATIONS)}
    answers = Counter((relation, obj.casefold()) for _, relation, obj in triples)
    facts: list[Fact] = []
    for index, (subject, text, obj) in enumerate(triples):
        known = by_text.get(text)
        if known is None:
            kind: Kind | None = None
            near, paraphrases, far, reverse = generic_forms(subject, text, obj)
            reverse_far = None
            stranger = generic_forms(names.subject("person"), text, obj)[0]
        else:
            relation = RELATIONS[known]
            kind = relation.kind
            near = relation.near.format(s=subject)
            paraphrases = tuple(form.format(s=subject) for form in relation.paraphrases)
            far = tuple(form.format(s=subject) for form in relation.far)
            reverse, reverse_far = relation.reverse.format(o=obj), relation.reverse_far.format(o=obj)
            stranger = relation.near.format(s=names.subject(relation.kind))
        only = answers[text, obj.casefold()] == 1
        facts.append(
            Fact(
                index=index,
                subject=subject,
                relation=text,
                object=obj,
                kind=kind,
                known=known,
                near=near,
                paraphrases=paraphrases,
                far=tuple(source.sample(far, FAR_FORMS)),
                reverse=reverse if only else None,
                reverse_far=reverse_far if only else None,
                neighbour=stranger,
            )
        )
    return tuple(facts)


def generic_forms(subject: str, relation: str, obj: str) -> tuple[str, tuple[str, ...], tuple[str, ...], str]:
    """The plain question, paraphrases, far and reverse questions for a relation of unknown meaning.

    English grammar helps a little: `'s … is` and `is …` can be turned into questions; anything else is
    asked for as the missing end of a sentence.
    """
    said = join(subject, relation)
    natural = _natural(subject, relation)
    near = natural or f"Complete the sentence: {said} ..."
    paraphrases = _paraphrases(subject, relation)
    far = (
        f"Somebody began to tell me that {said} - and then the line went dead. What was the rest?",
        f"I am writing an article and have to check one gap. {said} [gap]. What belongs into the gap?",
        f'A quiz card asks about {subject}. The card reads: "{said} ______". The solution, please.',
        f'My notes on {subject} are smudged. I can only read "{_bare(relation)}" and then a blot. '
        "What is under the blot?",
    )
    if relation.startswith(("'", "’")):
        reverse = f"Whose {_bare(relation)} {obj}?"
    else:
        reverse = f"Who or what {relation} {obj}?"
    return near, paraphrases, far, reverse


def _natural(subject: str, relation: str) -> str | None:
    words = relation.split()
    if words[0] in ("'s", "’s") and words[-1] in ("is", "was", "are", "were"):
        return f"What {words[-1]} {subject}{' '.join(words[:-1])}?"
    if words[0] in ("is", "was", "are", "were") and len(words) > 1:
        return f"Who or what {words[0]} {subject} {' '.join(words[1:])}?"
    return None


def _paraphrases(subject: str, relation: str) -> tuple[str, str]:
    words = relation.split()
    said = join(subject, relation)
    if words[0] in ("'s", "’s") and words[-1] in ("is", "was", "are", "were"):
        noun = f"{subject}{' '.join(words[:-1])}"
        return f"Tell me {noun}, please.", f"Do you know what {noun} {words[-1]}?"
    if words[0] in ("is", "was", "are", "were") and len(words) > 1:
        return f"Tell me who or what {said}.", f"Do you know who or what {said}?"
    return f"How does this sentence end? {said} ...", f"Please finish what I begin to say: {said} ..."


def _bare(relation: str) -> str:
    return relation.removeprefix("'s").removeprefix("’s").strip()
