"""A little English grammar: sentences, words that carry meaning, and the first person.

Rules of the language, never of any subject matter. They cut text and rewrite `I` and `my`; what a sentence
means is left to the model.
"""

from __future__ import annotations

import re
import unicodedata

USER = "the user"


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# an abbreviation before a blank and a capital does not end a sentence
_ABBREVIATION = re.compile(
    r"\b(?:Dr|Mr|Mrs|Ms|Prof|St|Sr|Jr|Mt|Ft|No|vs|etc|e\.g|i\.e|approx|dept|tel|ext|[A-Z])\.$", re.IGNORECASE
)
_END = re.compile(r"(?:[.!?…]+[\"'”’)\]]*|\.{3})(?=\s|$)|\n+|(?<=[\w)\"'”’]);(?=\s)")
_FENCED = re.compile(r"(?:```|~~~).*?(?:```|~~~|\Z)", re.DOTALL)
_QUOTED_LINE = re.compile(r"^[ \t]*>.*$", re.MULTILINE)
_WORD = re.compile(r"[^\W_]+(?:['’.:@+&][^\W_]+)*[%+#]*|[+\-]\d+(?::\d+)*")

_FUNCTION = _set(
    """a an the this that these those there here it its he him his she her hers they them their theirs one
    ones i me my mine myself we us our ours ourselves you your yours who whom whose which what when where why
    how and or but nor so yet if then than as because while though although since until unless whether
    of in on at by to from for with about into onto over under after before between during through without
    within against across along around near off out up down per via upon
    be am is are was were been being have has had having do does did done doing will would shall should can
    could may might must ought get gets got gotten
    not no n't never also too very just only even still already now again ever always usually really quite
    some any all each every both either neither such same other another more most less least much many few
    itself himself herself themselves 's s t d ll m re ve yes ok okay please well oh hey hi hello"""
)

# the month and the man are written with a capital
_NAMES = _set("May Will")


def own_words(message: str) -> str:
    """A user's message without what was pasted into it: fenced blocks and quoted lines."""
    return _QUOTED_LINE.sub("", _FENCED.sub("\n", message))


def sentences(text: str) -> list[str]:
    """The sentences of a text, each a span of it; a semicolon and a line break part them too."""
    found: list[str] = []
    start = 0
    for end in _END.finditer(text):
        piece = text[start : end.start() if end.group().startswith((";", "\n")) else end.end()]
        if end.group() == "." and (_ABBREVIATION.search(piece) and end.end() < len(text)):
            continue
        found.append(piece)
        start = end.end()
    found.append(text[start:])
    return [piece.strip() for piece in found if any(map(str.isalnum, piece))]


def fold(text: str) -> str:
    """Without case and accents, with plain apostrophes."""
    decomposed = unicodedata.normalize("NFKD", text.replace("’", "'")).casefold()
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def content_words(text: str) -> list[str]:
    """The words that carry meaning, folded, possessive endings off, in order."""
    found = []
    for raw in _WORD.findall(text.replace("’", "'")):
        word = re.sub(r"n't$|'(?:s|m|re|ve|ll|d)$|'$", "", fold(raw))
        if word and (word not in _FUNCTION or raw in _NAMES):
            found.append(word)
    return found


def stands_out(part: str) -> bool:
    """Whether a part holds a name, a number or a code: what nobody could guess, and so would ask for."""
    return re.search(r"[A-Z0-9]|\S[._/@#-]\S|--?\w", part) is not None


def words(text: str) -> list[str]:
    """All words, folded."""
    return _WORD.findall(fold(text))


def naming(name: str) -> re.Pattern[str]:
    """Finds a name as whole words, whatever its case."""
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)


def capital(text: str) -> str:
    """With a capital first letter."""
    return text[:1].upper() + text[1:]


def stem(word: str) -> str:
    """A word without its commonest endings; good enough to see that `lives` is `live`."""
    for ending, least in (("ies", 3), ("ing", 4), ("ied", 3), ("ed", 3), ("es", 3), ("s", 3), ("e", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
            cut = word[: -len(ending)]
            cut = cut + "y" if ending in ("ies", "ied") else cut
            # `stopped` is `stop`
            if len(cut) > 3 and cut[-1] == cut[-2] and cut[-1] not in "lsz":
                cut = cut[:-1]
            return cut
    return word


def stems(text: str) -> set[str]:
    """Stems of the words that carry meaning."""
    return {stem(word) for word in content_words(text)}


_IRREGULAR = {"am": "is", "'m": " is", "have": "has", "'ve": " has", "do": "does", "are": "is", "were": "was"}
_MODAL = _set(
    "will would shall should can could may might must ought was had did is has does 'll 'd never always only "
    "also just still usually often really not"
)
_FIRST = re.compile(r"\b(?:i|me|my|mine|myself|we|us|our|ours|ourselves)\b(?!\.)", re.IGNORECASE)
_ADVERB = _set("never always only also just still usually often really now currently recently")
_PAST_WORDS = _set(
    """went came grew bought brought caught taught thought got kept left lost made met paid put ran said sat
    saw sold sent spent stood took told won wore wrote began broke built chose drank drove ate fell felt found
    flew forgot gave had heard held hid hurt knew learnt led lent let lit meant read rode rose sang shot shut
    slept spoke stole swam threw understood woke was were did quit cut set hit cost split"""
)

_ADVERBS = rf"((?:\s+(?:{'|'.join(sorted(_ADVERB))}))*)"
_SUBJECT = re.compile(rf"\b(I|we)('m|'re|'ve|'ll|'d)?\b{_ADVERBS}(\s+[A-Za-z]+(?:'t)?)?", re.IGNORECASE)
# `my sister and I play`: the verb belongs to both
_COMPOUND = re.compile(
    r"(?:^|[,.;:]\s*)(?:(?!(?:i|we|you|he|she|it|they|this|that|there)\b)[^\s,.;:]+\s+){1,3}and\s+$",
    re.IGNORECASE,
)


def is_first_person(text: str) -> bool:
    """Whether somebody speaks of himself in it."""
    return _FIRST.search(text.replace("’", "'")) is not None


def third_person(sentence: str) -> str:
    """A sentence in which the user speaks of himself, told of the user: `I live` becomes `The user lives`.

    Mechanical: it looks one or two words ahead of `I` and `we` for the verb.
    """
    text = sentence.replace("’", "'")
    text = _SUBJECT.sub(_agree, text)
    text = re.sub(r"\b(?:my|our)\b", "the user's", text, flags=re.IGNORECASE)
    text = re.sub(r"\b(?:mine|ours)\b", "the user's", text, flags=re.IGNORECASE)
    text = re.sub(r"\b(?:myself|ourselves|me|us)\b", "the user", text)
    return text[:1].upper() + text[1:]


def _agree(match: re.Match[str]) -> str:
    clitic, adverbs, verb = match[2] or "", match[3] or "", match[4] or ""
    if clitic:
        put = {"'m": " is", "'re": " is", "'ve": " has", "'ll": " will", "'d": " would"}[clitic.lower()]
        return f"{USER}{put}{adverbs}{verb}"
    word = verb.strip()
    if _COMPOUND.search(match.string[: match.start()]):
        return f"{USER}{adverbs}{verb}"
    return f"{USER}{adverbs}{' ' + third_form(word) if word else verb}"


def third_form(verb: str) -> str:
    """A verb after `I`, as it is after `she`; a past form or an auxiliary stays."""
    low = verb.lower()
    if low in _IRREGULAR:
        return _IRREGULAR[low]
    if low in ("don't", "haven't", "aren't", "weren't"):
        return {"don't": "doesn't", "haven't": "hasn't", "aren't": "isn't", "weren't": "wasn't"}[low]
    if low in _MODAL or low in _PAST_WORDS or low.endswith(("ed", "n't")) or low in _FUNCTION:
        return verb
    if low.endswith(("s", "x", "z", "ch", "sh", "o")):
        return verb + "es"
    if low.endswith("y") and low[-2:-1] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


def second_person(statement: str) -> str:
    """A sentence about the user, said to the user: `The user's cat` becomes `Your cat`."""
    text = re.sub(r"\b([Tt])he user's\b", lambda m: "Your" if m[1] == "T" else "your", statement)
    text = re.sub(rf"\b([Tt])he user\b{_ADVERBS}(\s+[A-Za-z']+)?", _to_you, text)
    return text if text == statement else capital(text)


def _to_you(match: re.Match[str]) -> str:
    adverbs, verb = match[2] or "", (match[3] or "").strip()
    you = "You" if match[1] == "T" else "you"
    return f"{you}{adverbs} {plain_form(verb)}" if verb else f"{you}{adverbs}"


def plain_form(verb: str) -> str:
    """A verb after `she`, as it is after `you`; a past form or an auxiliary stays."""
    low = verb.lower()
    back = {"is": "are", "was": "were", "has": "have", "does": "do", "isn't": "aren't", "wasn't": "weren't"}
    back |= {"hasn't": "haven't", "doesn't": "don't"}
    if low in back:
        return back[low]
    if low in _ADVERB or low in _FUNCTION or not low.endswith("s") or low.endswith("ss"):
        return verb
    if low.endswith("ies") and len(low) > 4:
        return verb[:-3] + "y"
    return verb[:-2] if low.endswith(("ches", "shes", "xes", "zes", "sses", "oes")) else verb[:-1]


def first_person(text: str) -> str:
    """Words about the user, as the user says them: `the user's cat` becomes `my cat`."""
    text = re.sub(r"\bthe user's\b", "my", text, flags=re.IGNORECASE)
    return re.sub(r"\bthe user\b", "me", text, flags=re.IGNORECASE)
