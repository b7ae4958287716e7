"""Whether a text gives the answer that was expected, and whether two answers are the same.

Judged by words, not by a model: case, accents, articles, punctuation and the way numbers are written do
not matter; whole words do. A text that denies the answer ("not Oakmere") or offers it among others
("Oakmere or Lund") does not give it. Meaning beyond that is not seen: a paraphrase without the answer's
words is no match.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence


def _split(words: str) -> list[str]:
    return words.split()


_ARTICLES = frozenset({"a", "an", "the"})
_NEGATORS = frozenset({"not", "no", "never", "neither", "nor", "without", "cannot", "nobody", "nothing"})
# "not only in Oakmere", "no doubt", "no: it is Oakmere" deny nothing about what follows
_HARMLESS = (("not", "only"), ("no", "doubt"), ("not", "just"))
_SMALL = _split(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = _split("twenty thirty forty fifty sixty seventy eighty ninety")
_ORDINALS = _split(
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
_NUMBERS = {
    **{word: str(value) for value, word in enumerate(_SMALL)},
    **{word: str(value) for value, word in enumerate(_TENS, 2) for value in [value * 10]},
    **{word: str(value) for value, word in enumerate(_ORDINALS)},
}
_TOKEN = re.compile(r"[+\-]?\d+(?:[.:]\d+)*|[^\W\d_]+|\d+|[;!?.,:/|\n]|_")
_STOP = frozenset(";!?.\n")
# an "or" this near to the answer offers it as one of several
_NEAR = 5
_UNKNOWN = re.compile(
    r"\b(?:do|does|did|could|can|was|were|am|is|are|have|has)\s?(?:not|n't)\b[^.!?\n]{0,40}?\b(?:know|sure|"
    r"certain|aware|informed|information|idea|recall|remember|familiar|told|tell|say|answer|learned|learnt|find|"
    r"details|knowledge|access)\b"
    r"|\bcan(?:not|'t| not)\b[^.!?\n]{0,20}?\b(?:know|say|tell|answer|recall|remember|find)\b"
    r"|\bno (?:\w+ ){0,2}(?:information|idea|records?|knowledge|data|details)\b"
    r"|\bnot (?:\w+ ){0,2}(?:sure|certain|aware|informed|familiar|told|mentioned|provided|available)\b"
    r"|\b(?:unknown|not known) to me\b|\b(?:is|are|was|were) (?:unknown|not known)(?=[.!?,]|$)|\bunsure\b"
    r"|\bnever (?:been told|heard)\b",
    re.IGNORECASE,
)
# `the river Musuve`, `the year 2004`: the name alone says as much
_CLASSED = re.compile(r"the\s+[a-z]+\s+([A-Z][^\W_]*(?:['’-][^\W_]+)*|\d{3,})")


def contains_answer(expected: str, text: str, question: str = "") -> bool:
    """Whether `text` gives the answer `expected`.

    `question` matters only when it is itself negative ("What does she not eat?"): then a negation before
    the answer repeats the question and denies nothing.
    """
    classed = _CLASSED.fullmatch(expected.strip())
    if classed is not None and contains_answer(classed[1], text, question):
        return True
    wanted = _words(expected)
    if not wanted:
        return False
    own_choice = "or" in wanted
    negative = bool(_NEGATORS & set(_words(question)))
    given = False
    for sentence in _sentences(text):
        if not own_choice and _is_list(sentence, wanted):
            return False
        places = _places(wanted, sentence)
        for place in places:
            if not own_choice and _among_others(sentence, place, len(wanted)):
                return False
            if not negative and _denied(sentence, place):
                return False
            given = True
    return given


def same_answer(one: str, other: str) -> bool:
    """Whether two answers to one question say the same: equal but for form, or one holding the other."""
    if says_unknown(one) or says_unknown(other):
        return says_unknown(one) and says_unknown(other)
    if _words(one) == _words(other):
        return True
    return contains_answer(one, other) or contains_answer(other, one)


def says_unknown(text: str) -> bool:
    """Whether a text says that the answer is not known."""
    return bool(_UNKNOWN.search(text.replace("’", "'")))


def words(text: str) -> list[str]:
    """The words of a text as they are compared here: folded, without articles and punctuation."""
    return _words(text)


def _sentences(text: str) -> list[list[str]]:
    """Tokens of each sentence; commas and the like stay in as marks."""
    found: list[list[str]] = [[]]
    for token in _tokens(text):
        if token in _STOP:
            found.append([])
        else:
            found[-1].append(token)
    return [sentence for sentence in found if sentence]


def _words(text: str) -> list[str]:
    return [token for token in _tokens(text) if token[0].isalnum() or token[0] in "+-"]


def _tokens(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKD", text.replace("’", "'")).casefold()
    folded = "".join(character for character in folded if not unicodedata.combining(character))
    folded = re.sub(r"\bwon't\b", "will not", folded)
    folded = re.sub(r"\bcan't\b|\bcannot\b", "can not", folded)
    folded = re.sub(r"n't\b", " not", folded)
    folded = re.sub(r"'s\b|s'(?=\s|$)|(?<=\w)'(?=\w)", lambda m: "s" if m.group() == "s'" else "", folded)
    folded = re.sub(r"(?<=\d)[,_\u202f\u00a0](?=\d{3}\b)", "", folded)
    folded = re.sub(r"(?<![\w.,:])\d{1,3}(?: \d{3})+(?![\w.,:]\d)\b", lambda m: m[0].replace(" ", ""), folded)
    folded = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", folded)
    # a dot inside a name, as in `harrow.conf`, ends no sentence
    folded = re.sub(r"(?<=\w)\.(?=[^\W\d_])", " ", folded)
    # a sign is part of a number only where a number begins
    folded = re.sub(r"(?<=[\w)])-(?=\w)", " ", folded)
    folded = folded.replace("%", " percent ").replace("&", " and ")
    tokens = []
    for token in _TOKEN.findall(folded):
        if token in _ARTICLES or token == "_":
            continue
        token = _NUMBERS.get(token, token)
        if re.fullmatch(r"[+\-]?\d+\.\d+", token):
            token = token.rstrip("0").rstrip(".")
        tokens.append(token)
    return _joined(tokens)


def _joined(tokens: list[str]) -> list[str]:
    """Tens and units that were written apart ("forty two") as one number."""
    found: list[str] = []
    for token in tokens:
        tens = found[-1] if found else ""
        if re.fullmatch(r"[2-9]0", tens) and re.fullmatch(r"[1-9]", token):
            found[-1] = str(int(tens) + int(token))
        else:
            found.append(token)
    return found


def _places(wanted: Sequence[str], sentence: Sequence[str]) -> list[int]:
    """Where the answer begins in the sentence; marks between its words do not matter."""
    spoken = [index for index, token in enumerate(sentence) if token not in ",:/|"]
    length = len(wanted)
    return [
        spoken[start]
        for start in range(len(spoken) - length + 1)
        if [sentence[index] for index in spoken[start : start + length]] == list(wanted)
    ]


def _denied(sentence: Sequence[str], place: int) -> bool:
    """Whether a negation before the answer, in its own clause, takes it back."""
    clause: list[str] = []
    for token in sentence[:place]:
        if token in (",", ":", "but", "rather", "instead"):
            clause = []
        else:
            clause.append(token)
    for index, token in enumerate(clause):
        if token in _NEGATORS and tuple(clause[index : index + 2]) not in _HARMLESS:
            return True
    return False


def _among_others(sentence: Sequence[str], place: int, length: int) -> bool:
    near = [*sentence[max(0, place - _NEAR) : place], *sentence[place + length : place + length + _NEAR]]
    return "or" in near or sentence[place - 1 : place] == ["/"] or sentence[place + length :][:1] == ["/"]


def _is_list(sentence: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether a sentence is nothing but a list of at least three things, the answer one of them."""
    items: list[list[str]] = [[]]
    for token in sentence:
        if token in (",", "|", "/"):
            items.append([])
        elif not (token == "and" and not items[-1]):
            items[-1].append(token)
    return (
        len(items) >= 3
        and list(wanted) in items
        and all(0 < len(item) <= max(2, len(wanted)) for item in items)
    )
