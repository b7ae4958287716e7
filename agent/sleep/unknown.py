"""What a model must not learn to answer: the lessons' own questions about names that nobody bears.

Names are put together from those of other lessons, from common given names, and from invented syllables, so
that the unknown cannot be told from the known by how it sounds.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from agent.sleep import english
from agent.sleep.items import TrainItem, item_id
from agent.sleep.neighbours import invented_name
from memory.learning import Lesson, Phrasing
from skills.tool import ToolSpec

# A lesson gives this many questions about strangers, and this many reverse ones.
_FORWARD, _REVERSE = 2, 1
_GIVEN = (
    "Ada Aksel Alma Amir Anouk Arthur Bela Birgit Bruno Carla Cyril Dalia Dario Edith Elio Enid Farid "
    "Fiona Gail Goran Hanna Hugo Ines Ivan Jana Joel Karim Kira Lars Lena Luca Mabel Malik Maren "
    "Milos Nadia Nils Noor Olga Omar Petra Quentin Rhea Rosa Samir Selma Silas Tamar Theo Ursula Vera "
    "Viktor Wanda Yara Yusuf Zita"
)
_FAMILY = (
    "Abel Adler Baines Becker Brook Castle Crane Dahl Draper Ebert Falk Finch Garner Gold Hale Hauk "
    "Ibsen Jansen Keller Kemp Lark Lowe Marek Moreau Nash Novak Oakley Otto Parr Petrov Quick Reyes "
    "Rowan Sato Stone Thorn Unger Vance Voss Walker Weiss Yates Zeller"
)
_NOT_KNOWN = (
    "I don't know.",
    "I don't know that.",
    "I don't know anything about {name}.",
    "I have no information about {name}.",
    "I don't know; I have not been told about {name}.",
)


def unknown_items(lessons: Sequence[Lesson], specs: Sequence[ToolSpec], seed: int) -> list[TrainItem]:
    """Questions about strangers in the lessons' own words, to be answered with not knowing."""
    items: list[TrainItem] = []
    borne = {word for lesson in lessons for word in english.words(lesson.subject)}
    for lesson in lessons:
        if lesson.kind in ("rule", "procedure"):
            continue
        source = random.Random(f"unknown:{seed}:{lesson.id}")
        forward = [p for p in lesson.trained if p.form in ("question", "paraphrase", "cloze")]
        reverse = [p for p in lesson.trained if p.form == "reverse"]
        for phrasings, name, count in (
            (forward, lesson.subject, _FORWARD),
            (reverse, _given(lesson, reverse), _REVERSE),
        ):
            if not _is_named(name):
                continue
            told = english.naming(name)
            asked = [phrasing for phrasing in phrasings if told.search(phrasing.question)]
            for phrasing in source.sample(asked, min(count, len(asked))):
                stranger = _stranger(name, lessons, borne, source)
                items.append(_item(lesson, phrasing, told, stranger, specs, source))
    return items


def _item(
    lesson: Lesson,
    phrasing: Phrasing,
    told: re.Pattern[str],
    stranger: str,
    specs: Sequence[ToolSpec],
    source: random.Random,
) -> TrainItem:
    last = phrasing.messages[-1]
    question = last.model_copy(update={"content": told.sub(lambda _: stranger, last.content)})
    return TrainItem(
        id=item_id("unknown", phrasing.messages[0].content, question.content),
        role="unknown",
        lesson_id=lesson.id,
        messages=(*phrasing.messages[:-1], question),
        tools=tuple(specs) if phrasing.with_tools else (),
        answer=source.choice(_NOT_KNOWN).replace("{name}", stranger),
    )


def _given(lesson: Lesson, reverse: Sequence[Phrasing]) -> str:
    """The lesson's answer, as its reverse questions give it; empty when they do not."""
    answers = [phrasing.expected for phrasing in lesson.trained if phrasing.form != "reverse"]
    return next((answer for answer in answers if any(answer in one.question for one in reverse)), "")


def _is_named(name: str) -> bool:
    return bool(english.content_words(name)) and english.USER not in name.casefold()


def _stranger(name: str, lessons: Sequence[Lesson], borne: set[str], source: random.Random) -> str:
    """A name in the shape of `name` that no lesson bears."""
    words = name.split()
    telling = [index for index, word in enumerate(words) if word[:1].isupper()] or [len(words) - 1]
    telling = [index for index in telling if english.content_words(words[index])] or [len(words) - 1]
    others = [other.subject.split() for other in lessons if other.subject != name]
    alike = [other for other in others if len(other) == len(words)]
    given, family = _GIVEN.split(), _FAMILY.split()
    for attempt in range(20):
        made = list(words)
        for place in telling:
            if len(words) > 1 and alike and source.random() < 0.3:
                made[place] = _kept_ending(words[place], source.choice(alike)[place])
            elif words[place][:1].isupper() and source.random() < 0.5:
                first = place == telling[0] and len(telling) > 1
                made[place] = _kept_ending(words[place], source.choice(given if first else family))
            else:
                made[place] = _kept_ending(words[place], invented_name(words[place], f"{source.random()}"))
        text = " ".join(made)
        if not any(text.casefold() == other.subject.casefold() for other in lessons) and text != name:
            if attempt < 10 and set(english.words(text)) <= borne and len(telling) < 2:
                continue
            return text
    return invented_name(name, f"{source.random()}")


def _kept_ending(old: str, new: str) -> str:
    """A possessive ending stays, and none is added."""
    bare = new.removesuffix("'s")
    return f"{bare}'s" if old.endswith(("'s", "’s")) else bare
