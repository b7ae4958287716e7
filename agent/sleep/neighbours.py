"""Questions about what was never mentioned, made from the lessons' own phrasings with strangers' names.

A model that learned where one person lives should still say that it does not know where a stranger lives.
Half of the strangers' names are common ones and half are made up, none from the same stock as those that
training uses: what is examined is knowing, not recognising how an invented name sounds.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Collection, Sequence

from agent.sleep import english
from agent.sleep.agree import says_unknown
from memory.learning import Lesson, Phrasing
from memory.types import Message

_ONSETS = ("Br", "D", "F", "Gl", "H", "J", "K", "Kr", "L", "M", "N", "Ph", "Qu", "R", "S", "T", "V", "W", "Z")
_MIDDLES = ("abor", "ael", "edri", "elu", "enka", "ilo", "imma", "irdo", "obri", "ondra", "orvi", "ulde")
_ENDS = ("", "c", "d", "ka", "l", "n", "ne", "r", "s", "sk", "th", "v", "x")
# The exam's own stock.
_COMMON = (
    "Agnes Alina Anton Basil Beatrix Casper Celia Conrad Daria Desmond Dina Edgar Elsa Emil Esther Felix "
    "Flora Frida Gideon Greta Hassan Hilda Igor Imani Irene Jasper Judith Kasia Kenji Leon Lidia Lorenz "
    "Magnus Mina Miriam Nikola Nora Oscar Paula Priya Rafael Roland Ruben Sasha Stella Tobias Uma "
    "Veronika Xenia Zoltan"
)
_FAMILIES = (
    "Abbott Bauer Brandt Carver Cohen Duarte Eklund Farrow Fischer Grant Haas Hughes Ito Jensen Kaya "
    "Lindgren Lopez Marsh Meyer Moss Nagy Okafor Olsen Payne Pereira Quist Ramos Richter Romano Sharp "
    "Silva Tanaka Turner Urban Varga Weber Winter Yilmaz Zhang Ziegler"
)
_SYLLABLES = "ba den fel go hin jar ka lor mu nev pel ro sto tar vin wes yo zim"
_SELF = frozenset(("i", "me", "my", "myself", "we", "us", "our", "you", "your"))

# Most invented names put into one phrasing.
_STRANGERS = 4
# Answers that state nothing either: asking back, or taking the name for an invention.
_STATES_NOTHING = re.compile(
    r"\b(?:please|could you|can you)\b[^.!?]{0,40}\b(?:provide|clarify|specify|give|tell)\b"
    r"|\bmore (?:context|information|details)\b|\bfictional\b|\bdoes not exist\b"
    r"|\bno (?:specific|known|such|widely)\b|\b(?:not|n't) (?:have|refer|known|clear|a (?:real|known))\b"
    r"|\bunable to\b|\bas an ai\b|\bi(?: a|')m sorry\b",
    re.IGNORECASE,
)


def is_confident(answer: str) -> bool:
    """Whether an answer states something, instead of saying that the asked thing is not known."""
    text = answer.replace("\u2019", "'")
    return bool(text.strip()) and not says_unknown(text) and _STATES_NOTHING.search(text) is None


def invented_name(like: str, seed: str) -> str:
    """A name that nobody bears, in the shape of `like`: as many words, capitals where it has them."""
    draw = random.Random(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]))
    words = []
    for word in like.split() or ["X"]:
        made = draw.choice(_ONSETS) + draw.choice(_MIDDLES) + draw.choice(_ENDS)
        words.append(made if word[:1].isupper() else made.lower())
    return " ".join(words)


def neighbours(lessons: Sequence[Lesson], count: int, seed: int) -> list[tuple[Lesson, tuple[Message, ...]]]:
    """Up to `count` questions, each with the lesson it imitates and its prompt, without tools.

    Lessons take turns. One whose subject its questions do not name, or who is the user, has none.
    """
    made: list[tuple[Lesson, tuple[Message, ...]]] = []
    asking = [(lesson, _with_subject(lesson)) for lesson in lessons]
    borne = {word for lesson in lessons for word in _words(lesson.subject)}
    longest = max((len(phrasings) for _, phrasings in asking), default=0)
    # few lessons are asked about several strangers each, so that there is enough to judge by
    for turn in range(_STRANGERS * longest):
        for lesson, phrasings in asking:
            if turn < _STRANGERS * len(phrasings):
                phrasing = phrasings[turn % len(phrasings)]
                draw = random.Random(f"neighbour:{seed}:{lesson.id}:{turn}")
                name = stranger(lesson.subject, borne, draw)
                last = phrasing.messages[-1]
                words = english.naming(lesson.subject).sub(lambda _, name=name: name, last.content)  # type: ignore[misc]
                made.append((lesson, (*phrasing.messages[:-1], last.model_copy(update={"content": words}))))
    return made[:count]


def stranger(subject: str, borne: Collection[str], draw: random.Random) -> str:
    """A name in the shape of `subject` of which no word is in `borne`: where it has capitals another name
    stands, else its last word is another."""
    words = subject.split()
    telling = [place for place, word in enumerate(words) if word[:1].isupper()] or [len(words) - 1]
    for number, place in enumerate(telling):
        stock = _FAMILIES if number else _COMMON
        proper = words[place][:1].isupper()
        ending = "'s" if words[place].endswith("'s") else ""
        while True:
            new = "".join(draw.sample(_SYLLABLES.split(), 2 + (draw.random() < 0.4)))
            if proper:
                new = draw.choice(stock.split()) if draw.random() < 0.5 else new.capitalize()
            if new.casefold() not in borne:
                break
        words[place] = new + ending
    return " ".join(words)


def _with_subject(lesson: Lesson) -> list[Phrasing]:
    """Phrasings that ask about the lesson's subject by name, held-out ones first."""
    own = _words(lesson.subject)
    if not own or own <= _SELF or "user" in own or lesson.kind in ("rule", "procedure"):
        return []
    return [
        phrasing
        for phrasing in (*lesson.examined, *lesson.trained)
        # a reverse question names the answer, and there the subject is what is asked for; under the tools
        # prompt a call may be a way to find out
        if phrasing.form not in ("reverse", "call", "statement")
        and not phrasing.with_tools
        and english.naming(lesson.subject).search(phrasing.question)
    ]


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text.casefold()))
