"""What is told on which day, and therefore what a right answer is after which night.

In the style `triples` every fact is told as one sentence. In the style `conversation` it is said in passing
between other things, in words far from the questions; some facts are told wrongly at first and corrected on
a later day, and some are said to the working agent instead of being left as a note.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import Literal

from agent.errors import UsageError
from benchmarks.facts import Fact, Form, Question, other_object
from benchmarks.relations import RELATIONS
from memory.record import Record

Style = Literal["triples", "conversation"]

_CORRECTED_SHARE = 0.2
_TALKED_SHARE = 0.3

_BEFORE = (
    "What a week this has been.",
    "Good morning, I hope the machines are behaving today.",
    "I finally have five minutes to sit down.",
    "The rain has not stopped since I got up.",
    "Sorry for the late message, the day ran away from me.",
    "I tried that new bakery round the corner and the bread was far too salty.",
    "The lift is broken again, so I am out of breath.",
    "Thanks for your help yesterday, that saved me an hour.",
    "I slept badly because the heating was knocking all night.",
    "There is still half a cake in the kitchen if anybody asks.",
    "My train was late, as it always is when it matters.",
    "I should really be answering letters, but here I am.",
)
_AFTER = (
    "Anyway, enough of that.",
    "I must remember to water the plants before the weekend.",
    "Let us see what the afternoon brings.",
    "After that I needed a strong coffee.",
    "I am glad that it is nearly Friday.",
    "The window is open and somebody is mowing a lawn.",
    "One of these days I will tidy this desk.",
    "Funny how such things stay in one's head.",
    "I could go on, but the phone is ringing.",
    "No need to answer, I am only thinking aloud.",
    "Tomorrow will be calmer, I hope.",
    "My tea has gone cold over this.",
)
_ASIDE = (
    "On the way we talked about this and that, and I learned something: {fact}",
    "Oh, and in case it ever comes up: {fact}",
    "I had no idea, but it turns out: {fact}",
)


class Telling(Record):
    """One thing the user says."""

    day: int
    """From 1; the night of the same number follows it."""
    fact: int
    """Index of the fact it is about."""
    text: str
    """The user's words."""
    object: str
    """What holds from now on."""
    channel: Literal["note", "talk"]
    """Left as a note to remember, or said to the working agent."""


class Stream(Record):
    """A whole stream of days."""

    facts: tuple[Fact, ...]
    """The pool, by index."""
    sets: tuple[tuple[int, ...], ...]
    """Indices of the facts first told on each day."""
    tellings: tuple[Telling, ...]
    """In the order in which they are said."""

    @property
    def nights(self) -> int:
        """How many days and nights."""
        return len(self.sets)

    def day(self, number: int) -> tuple[Telling, ...]:
        """What is said on one day, from 1."""
        return tuple(telling for telling in self.tellings if telling.day == number)

    def questions(self, facts: Sequence[int], form: Form) -> tuple[Question, ...]:
        """Questions of one form about some facts."""
        return tuple(question for index in facts for question in self.facts[index].questions(form))

    def told(self, fact: int) -> tuple[Telling, ...]:
        """Everything said about this subject and relation, oldest first: the newest counts."""
        return self._told[self._key(fact)]

    def expected(self, fact: int, night: int) -> str:
        """The right answer after a night: what was said last; before anything was said, what will be said
        first."""
        told = self.told(fact)
        return next((t.object for t in reversed(told) if t.day <= night), told[0].object)

    def stale(self, fact: int, night: int) -> tuple[str, ...]:
        """What held once and does not any more."""
        now = self.expected(fact, night)
        return tuple(sorted({t.object for t in self.told(fact) if t.day <= night and t.object != now}))

    @property
    def changed(self) -> frozenset[int]:
        """Facts whose right answer changes on the way."""
        return frozenset(
            index
            for one in self.sets
            for index in one
            if len({telling.object for telling in self.told(index)}) > 1
        )

    @functools.cached_property
    def _told(self) -> dict[tuple[str, str], tuple[Telling, ...]]:
        found: dict[tuple[str, str], tuple[Telling, ...]] = {}
        for telling in self.tellings:
            key = self._key(telling.fact)
            found[key] = (*found.get(key, ()), telling)
        return found

    def _key(self, fact: int) -> tuple[str, str]:
        return self.facts[fact].subject.casefold(), self.facts[fact].relation.casefold()

    def names(self) -> frozenset[str]:
        """Every subject and object that is ever told: what has no place in an unrelated answer."""
        return frozenset(
            {self.facts[t.fact].subject for t in self.tellings} | {t.object for t in self.tellings}
        )


def plan_stream(
    facts: Sequence[Fact],
    nights: int,
    per_night: int,
    style: Style = "triples",
    seed: int = 0,
    order: int | None = None,
    talk: bool = True,
) -> Stream:
    """Spread facts over days. `order` shuffles them first; `talk` False leaves everything as notes.

    Raises UsageError when there are too few facts.
    """
    if len(facts) <= (nights - 1) * per_night:
        raise UsageError(
            f"{nights} nights of {per_night} facts need more than {(nights - 1) * per_night} facts, and "
            f"there are {len(facts)}. Give more facts, or fewer with --nights or --per-night."
        )
    arrival = [fact.index for fact in facts]
    if order is not None:
        random.Random(f"order-{order}").shuffle(arrival)
    sets = tuple(
        tuple(arrival[start : start + per_night])
        for start in range(0, min(len(arrival), nights * per_night), per_night)
    )
    if style == "triples":
        tellings = [
            Telling(day=day, fact=i, text=facts[i].statement, object=facts[i].object, channel="note")
            for day, one in enumerate(sets, 1)
            for i in one
        ]
    else:
        tellings = _in_conversation(facts, sets, seed, talk)
    return Stream(facts=tuple(facts), sets=sets, tellings=tuple(tellings))


def _in_conversation(
    facts: Sequence[Fact], sets: Sequence[Sequence[int]], seed: int, talk: bool
) -> list[Telling]:
    source = random.Random(f"talk-{seed}")
    days: list[list[Telling]] = [[] for _ in sets]
    for day, one in enumerate(sets, 1):
        # nothing told on the last day can be corrected on a later one
        mistakes = round(_CORRECTED_SHARE * len(one)) if day < len(sets) else 0
        wrong_first = set(source.sample(one, mistakes))
        for index in one:
            fact = facts[index]
            channel: Literal["note", "talk"] = "talk" if talk and source.random() < _TALKED_SHARE else "note"
            old = other_object(fact, facts, seed) if index in wrong_first else None
            first = old or fact.object
            text = _chatty(_passing(fact, first, source), source)
            days[day - 1].append(Telling(day=day, fact=index, text=text, object=first, channel=channel))
            if old is not None:
                later = source.randint(day + 1, min(day + 2, len(sets)))
                text = _chatty(_mended(fact, old), source)
                days[later - 1].append(
                    Telling(day=later, fact=index, text=text, object=fact.object, channel=channel)
                )
    return [telling for day in days for telling in day]


def _passing(fact: Fact, obj: str, source: random.Random) -> str:
    if fact.known is None:
        return source.choice(_ASIDE).format(fact=fact.model_copy(update={"object": obj}).statement)
    return source.choice(RELATIONS[fact.known].passing).format(s=fact.subject, o=obj)


def _mended(fact: Fact, old: str) -> str:
    if fact.known is None:
        return f"I told you something wrong the other day, not {old}: {fact.statement}"
    return RELATIONS[fact.known].mended.format(s=fact.subject, o=fact.object, old=old)


def _chatty(core: str, source: random.Random) -> str:
    before = source.sample(_BEFORE, source.randint(1, 2))
    after = source.sample(_AFTER, source.randint(1, 2))
    return " ".join([*before, core, *after])
