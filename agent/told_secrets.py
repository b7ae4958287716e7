"""Passwords, PINs, codes and document numbers told in prose: "my password is hunter2", "the PIN is 4711".

Made for what libraries that read source code do not see. It errs towards seeing one: a sentence wrongly
taken for a secret is shown to the user as such and stays out of the weights; a secret missed goes in.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

from memory.hits import STOP_WORDS

_PASSWORD = (
    r"pass ?-?(?:word|phrase|code|wd)s?|pwd?|log-?in details|credentials?|security answer"
    r"|(?:secret|code) word|(?:recovery|backup|activation|licen[cs]e) codes?"
    r"|(?:secret|api|access|encryption|private|licen[cs]e|recovery|backup|account|admin|wi-?fi|wlan|wpa2?)"
    r" ?-?(?:key|token|phrase)"
    r"|(?:seed|recovery|mnemonic) (?:phrase|words)|api[-_ ]?key|auth(?:entication)? token|bearer token"
    r"|passwor[td]|kennwort|mot de passe|contraseña|senha|parola d'ordine"
)
_CODE = (
    r"pins?|pin (?:code|number)|(?:cvv|cvc|csc|tan|puk|otp|2fa|mfa)2?(?: code| number)?"
    r"|(?:security|access|door|gate|entry|alarm|lock|locker|safe|vault|unlock|verification|one-time"
    r"|two-factor|recovery|backup|garage|keypad|lockbox|padlock) ?-?(?:code|combination|pin)s?"
    r"|(?:voicemail|sim|phone|screen|card) ?-?pin|combination(?: (?:of|to|for) [\w' ]{1,30}?)?"
    r"|code (?:of|to|for) (?:the |my |our )?(?:\w+ ){0,2}"
    r"(?:door|gate|alarm|safe|vault|lock|locker|garage|card|house|office|lockbox|padlock)"
)
_DOCUMENT = (
    r"(?:passport|driving licen[cs]e|driver'?s? licen[cs]e|identity card|id card|residence permit|visa"
    r"|social security|social insurance|national insurance|health insurance|national id|identity|tax id|tax"
    r"|id)[ -]?(?:number|no\.?|nr\.?|#)|tax id|licen[cs]e number|steuer-?id(?:entifikationsnummer)?"
    r"|steuernummer|reisepass(?:nummer)?|(?:personal)?ausweis(?:nummer)?|führerschein(?:nummer)?"
    r"|sozialversicherungsnummer|ssn|nino|tfn"
)
_IS = r"(?:(?:is|was|are|to|will be|ist|est|es|é|now|still|currently|just)\b|['’]s\b|:=|=>|=|:)"
# What may stand between the noun and its value: "for my bank account is now", "we use at work:". Anything
# else makes the noun a part of another one ("the password reset page is broken").
_BETWEEN = (
    r",?(?:\s+(?:for|of|to|on|at|in|from|with|here|there|we|i|you|he|she|they|that|which)\b[^.!?\n:=]{0,60}?)?"
    rf"\s*(?<!\w(?=\w)){_IS}(?:\s+{_IS})*"
)
_QUOTED = r"[\"'`“‘«](?P<quoted>[^\"'`”’»\n]{3,80})[\"'`”’»]"
_TOLD_PASSWORD = regex.compile(
    rf"(?i)\b(?:{_PASSWORD})\b{_BETWEEN}\s*(?:{_QUOTED}|(?P<value>[^\s,;]{{3,}}(?:[ -][^\s,;.!?]+){{0,30}}))"
)
# a value that looks like one may follow at once ("password admin123"), or come with the next words
_BARE = regex.compile(rf"(?i)\b(?:{_PASSWORD}|pass)\b[:=]?\s+(?P<value>\S{{5,80}})")
_MINE = regex.compile(rf"(?i)\b(?:my|our)\b(?:\s+\S+){{0,3}}?\s+(?:{_PASSWORD})\b(?P<rest>[^\n]{{0,120}})")
_SETTING = regex.compile(
    r"\b(?:[A-Z0-9]+_)*(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASS|PWD)(?:_[A-Z0-9]+)*\s*[=:]\s*[\"']?(?P<value>[^\s\"']{6,})"
)
_TOLD_CODE = regex.compile(
    rf"(?i)\b(?:{_CODE})\b(?:{_BETWEEN})?\s*#?[\"'`“‘«]?(?P<value>\d(?:[ -]?\d){{2,11}})\b"
)
_ENTERS = regex.compile(
    r"(?i)\b(?:enter|type|key in|get in(?:to)?|come in(?:to)?|open|unlock|with)\b[^.!?\n\d]{0,30}"
    r"\bcode\b[ :]*(?P<value>\d{4,12})\b"
)
# a token of a service whose form nobody listed
_KEY = regex.compile(
    r"(?<![\w/.-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=(?:[A-Za-z_-]*\d){3})(?P<value>[\w-]{24,})(?![\w/.])"
)
_OPENS = regex.compile(
    r"(?i)\b(?:unlock|open|disarm|log)(?:s|ed|ing)?\b[^.!?\n\d]{0,30}\b(?:with|by|using)\b[^.!?\n\d]{0,20}"
    r"(?P<value>\d(?:[ -]?\d){2,11})\b(?![.,:]?\d)"
)
# The other way round: "hunter2 is my password", "I use 4711 as PIN"
_BEFORE = regex.compile(
    rf"(?i)(?:^|[\s\"'`“‘«(])(?P<value>[^\s\"'`]{{3,60}})[\"'`”’»]?\s+(?:is|as|was|for|ist|est)\s+"
    rf"(?:(?:my|our|the|his|her|their|a|your)\s+)?(?:[\w-]+\s+){{0,2}}?(?:{_PASSWORD}|{_CODE})\b"
)
_LOG_IN = regex.compile(
    r"(?i)\blog(?:s|ged|ging)? ?-?(?:in|on|into)s?\b[^.!?\n]{0,40}?(?:\bwith|:|\s)\s?"
    r"\S+\s*(?:/|\band\b|:|,)\s*(?P<value>\S+)"
)
_DOCUMENT_NUMBER = regex.compile(
    rf"(?i)\b(?:{_DOCUMENT})(?:\s*{_IS})*\s*"
    r"(?P<value>[A-Z]{0,5}\d[A-Z\d]*(?:[ -]?[A-Z\d]*\d[A-Z\d]*){0,6})"
)
_DOCUMENT_DIGITS = 5
# Words with which one talks about a password instead of telling it.
_ABOUT_WORDS = """
    a about again all already also always an and another any as at bad because been being best between but by
    can changed check compromised confidential correct different difficult due easy empty encrypted enough
    everywhere expired expires expiring forgotten for from given gone good hard hashed hidden identical if
    important in incorrect invalid just kept known like long lost managed missing my necessary needed never
    new no not nothing now ok old on one only optional our out private protected random rejected required
    reset reused rotated safe same saved secret secure sensitive set shared short similar so something still
    stolen stored strong synced that the there these this those to too transmitted typed unique unknown
    unsafe up updated useless valid very visible weak what when where which whose with without written wrong
    years your
"""
_ABOUT = frozenset(_ABOUT_WORDS.split())
_CODE_WORDS = regex.compile(rf"(?i)\b(?:{_CODE})\b")
_WORD_CHARS = 6


def told_secrets(text: str) -> Iterator[str]:
    """Kinds of secrets that a text tells in prose."""
    if _tells_password(text):
        yield "password or key"
    if any(
        found["value"]
        for found in (*_TOLD_CODE.finditer(text), *_OPENS.finditer(text), *_ENTERS.finditer(text))
    ):
        yield "PIN or code"
    for found in _BEFORE.finditer(text):
        told = found["value"]
        if _CODE_WORDS.search(found[0]):
            if _has_digit(told):
                yield "PIN or code"
        elif _has_digit(told) or _has_sign(told):
            yield "password or key"
    for found in _DOCUMENT_NUMBER.finditer(text):
        if sum(char.isdigit() for char in found["value"]) >= _DOCUMENT_DIGITS:
            yield "identity document number"


def _tells_password(text: str) -> bool:
    for found in _TOLD_PASSWORD.finditer(text, overlapped=True):
        if found["quoted"] or _is_password(found["value"]):
            return True
    if any(_looks_made_up(found["value"]) for found in (*_BARE.finditer(text), *_LOG_IN.finditer(text))):
        return True
    if _KEY.search(text) or any(_looks_made_up(found["value"]) for found in _SETTING.finditer(text)):
        return True
    rest = (word for found in _MINE.finditer(text) for word in found["rest"].split())
    return any(_looks_made_up(word) for word in rest)


def _is_password(value: str) -> bool:
    words = value.strip().split()
    first = words[0].strip(".,;!?\"'`“”‘’()").casefold() if words else ""
    if len(words) >= 4 and not STOP_WORDS.intersection(word.casefold() for word in words[:6]):
        return True  # content words in a row: a phrase, no sentence
    if not first or first in _ABOUT or first.endswith(("ly", "ing")):
        return False
    # else one plain word that ends the sentence ("is swordfish")
    return _has_digit(words[0]) or _has_sign(words[0]) or len(words) == 1


def _looks_made_up(word: str) -> bool:
    """Letters mixed with digits or signs, as in nothing but a password, a key or a version."""
    bare = word.strip(".,;:!?\"'`“”‘’()[]")
    letters = any(char.isalpha() for char in bare)
    return len(bare) >= _WORD_CHARS - 1 and letters and _has_digit(bare) and not bare.startswith("--")


def _has_digit(text: str) -> bool:
    return any(char.isdigit() for char in text)


def _has_sign(text: str) -> bool:
    inner = text.strip(".,;:!?\"'`“”‘’()-")
    return any(not char.isalnum() and char not in "'’-/." for char in inner)
