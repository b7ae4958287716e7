"""Passwords, PINs and codes told in prose: "my password is hunter2", "the PIN of my card is 4711".

Made for what libraries that read source code do not see. It errs towards seeing one: a sentence wrongly
taken for a secret is shown to the user as such and stays out of the weights; a secret missed goes in.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

from memory.hits import STOP_WORDS

_PASSWORD = (
    r"pass ?-?(?:word|phrase|code|wd)s?|pwd|log-?in details|credentials?"
    r"|(?:secret|api|access|encryption|private|licen[cs]e|recovery|backup|account|admin|wi-?fi|wlan|wpa2?)"
    r" ?-?(?:key|token|phrase)"
    r"|(?:seed|recovery|mnemonic) (?:phrase|words)|api[-_ ]?key|auth(?:entication)? token|bearer token"
    r"|passwor[td]|kennwort|mot de passe|contraseña|senha|parola d'ordine"
)
_CODE = (
    r"pins?|pin (?:code|number)|(?:cvv|cvc|csc|tan|puk|otp|2fa|mfa)2?(?: code| number)?"
    r"|(?:security|access|door|gate|entry|alarm|lock|locker|safe|vault|unlock|verification|one-time"
    r"|two-factor|recovery|backup|garage|keypad|lockbox|voicemail|sim|phone|screen|card|padlock)"
    r" ?-?(?:code|combination|pin)s?|combination (?:of|to|for) [\w' ]{1,30}?"
    r"|code (?:of|to|for) (?:the |my |our )?(?:\w+ ){0,2}"
    r"(?:door|gate|alarm|safe|vault|lock|locker|garage|phone|card|house|office|lockbox|padlock)"
)
_IS = r"(?:(?:is|was|are|to|will be|ist|est|es|é|now|still|currently|just)\b|:=|=>|=|:)"
# What may stand between the noun and its value: "for my bank account is now", "we use at work:". Anything
# else makes the noun a part of another one ("the password reset page is broken").
_BETWEEN = (
    r"(?:\s+(?:for|of|to|on|at|in|from|with|here|there|we|i|you|he|she|they|that|which)\b[^.!?\n:=]{0,60}?)?"
    rf"\s*(?<!\w(?=\w)){_IS}(?:\s+{_IS})*"
)
_QUOTED = r"[\"'`“‘«](?P<value>[^\"'`”’»\n]{3,80})[\"'`”’»]"
_TOLD_PASSWORD = regex.compile(
    rf"(?i)\b(?:{_PASSWORD})\b{_BETWEEN}\s*(?:{_QUOTED}|(?P<value>[^\s,;]{{3,}}(?:[ -][^\s,;.!?]+){{0,30}}))"
)
_TOLD_CODE = regex.compile(
    rf"(?i)\b(?:{_CODE})\b(?:{_BETWEEN})?\s*#?[\"'`“‘«]?(?P<value>\d(?:[ -]?\d){{2,11}})\b"
)
# The other way round: "hunter2 is my password", "I use 4711 as PIN", "log in with anna / s3cret!"
_BEFORE = regex.compile(
    rf"(?i)(?:^|[\s\"'`“‘«(])(?P<value>[^\s\"'`]{{3,60}})[\"'`”’»]?\s+(?:is|as|was|for|ist|est)\s+"
    rf"(?:(?:my|our|the|his|her|their|a|your)\s+)?(?:[\w-]+\s+){{0,2}}?(?:{_PASSWORD}|{_CODE})\b"
)
_LOG_IN = regex.compile(r"(?i)\blog ?-?(?:in|on)\b[^.!?\n]{0,20}\bwith (?P<value>\S+ ?(?:/|:|and) ?\S+)")
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


def told_secrets(text: str) -> Iterator[str]:
    """Kinds of secrets that a text tells in prose."""
    for found in _TOLD_PASSWORD.finditer(text, overlapped=True):
        if _is_password(found["value"]):
            yield "password or key"
            break
    for found in _BEFORE.finditer(text):
        told = found["value"]
        code = bool(_CODE_WORDS.search(found[0]))
        if _has_digit(told) if code else (_has_digit(told) or _has_sign(told)):
            yield "PIN or code" if code else "password or key"
            break
    if any(_has_digit(found["value"]) for found in _LOG_IN.finditer(text)):
        yield "password or key"
    if _TOLD_CODE.search(text):
        yield "PIN or code"


def _is_password(value: str) -> bool:
    words = value.strip().split()
    first = words[0].strip(".,;!?\"'`“”‘’()").casefold() if words else ""
    if len(words) >= 4 and not STOP_WORDS.intersection(word.casefold() for word in words[:6]):
        return True  # content words in a row: a phrase, no sentence
    if not first or first in _ABOUT or first.endswith(("ly", "ing")):
        return False
    # else one plain word that ends the sentence ("is swordfish")
    return _has_digit(words[0]) or _has_sign(words[0]) or len(words) == 1


def _has_digit(text: str) -> bool:
    return any(char.isdigit() for char in text)


def _has_sign(text: str) -> bool:
    inner = text.strip(".,;:!?\"'`“”‘’()-")
    return any(not char.isalnum() and char not in "'’-/." for char in inner)
