"""Questions about what was never mentioned, made from the lessons' own phrasings with invented names.

A model that learned where one person lives should still say that it does not know where a stranger lives.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence

from agent.sleep.agree import says_unknown
from memory.learning import Lesson, Phrasing
from memory.types import Message

_ONSETS = ("Br", "D", "F", "Gl", "H", "J", "K", "Kr", "L", "M", "N", "Ph", "Qu", "R", "S", "T", "V", "W", "Z")
_MIDDLES = ("abor", "ael", "edri", "elu", "enka", "ilo", "imma", "irdo", "obri", "ondra", "orvi", "ulde")
_ENDS = ("", "c", "d", "ka", "l", "n", "ne", "r", "s", "sk", "th", "v", "x")
_SELF = frozenset(("i", "me", "my", "myself", "we", "us", "our", "you", "your", "user", "the user"))

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


def neighbours(
    lessons: Sequence[Lesson], count: int, seed: int
) -> list[tuple[Lesson, tuple[Message, ...], bool]]:
    """Up to `count` questions: each with the lesson it imitates, its prompt, and whether tools stand in it.

    Lessons take turns. One whose subject its questions do not name, or who is the user, has none.
    """
    made: list[tuple[Lesson, tuple[Message, ...], bool]] = []
    asking = [(lesson, _with_subject(lesson)) for lesson in lessons]
    longest = max((len(phrasings) for _, phrasings in asking), default=0)
    # few lessons are asked about several strangers each, so that there is enough to judge by
    for turn in range(_STRANGERS * longest):
        for lesson, phrasings in asking:
            if turn < _STRANGERS * len(phrasings):
                phrasing = phrasings[turn % len(phrasings)]
                name = invented_name(lesson.subject, f"{seed}:{lesson.id}:{turn}")
                last = phrasing.messages[-1]
                words = _named(lesson.subject).sub(name, last.content)
                asked = last.model_copy(update={"content": words, "context": ""})
                made.append((lesson, (*phrasing.messages[:-1], asked), phrasing.with_tools))
    return made[:count]


def _with_subject(lesson: Lesson) -> list[Phrasing]:
    """Phrasings that ask about the lesson's subject by name, held-out ones first."""
    if not lesson.subject or lesson.subject.casefold() in _SELF or lesson.kind in ("rule", "procedure"):
        return []
    return [
        phrasing
        for phrasing in (*lesson.examined, *lesson.trained)
        # a reverse question names the answer, and there the subject is what is asked for
        if phrasing.form not in ("reverse", "call", "statement")
        and _named(lesson.subject).search(phrasing.question)
    ]


def _named(subject: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(subject)}(?!\w)", re.IGNORECASE)
