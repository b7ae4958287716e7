"""What kind of thing a user says in a sentence: a statement, a question, a request, small talk.

By the little words of English alone, without a model and without naming topics or relations: the gate asks
the moment an episode ends. It errs towards a statement; the night reads it properly.
"""

from __future__ import annotations

import regex

from memory.hits import STOP_WORDS, words

_END = regex.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[\p{Lu}\p{N}\"'“‘(])|\n+")
_KEEP = regex.compile(
    r"(?i)\b(?:remember|memori[sz]e|(?:keep|bear) in mind|(?:don'?t|do not|never) (?:ever )?forget"
    r"|make a note|take note|note (?:that|down)|for (?:future|your|the) (?:reference|records?)"
    r"|from now on|learn (?:that|this)|save this|store this)\b"
)
# Asking what the agent remembers is no request to remember, nor is telling what one remembers oneself.
_NOT_KEEP = regex.compile(
    r"(?i)\b(?:(?:do|did|can|could|will) you (?:still )?remember\b.*\?|i (?:can'?t|don'?t|do not|cannot|still"
    r"|do|always|barely|vaguely)? ?remember|as (?:you|i) (?:may |might )?remember|remember when)"
)
_CORRECTS = regex.compile(
    r"(?i)^\W*(?:(?:sorry|oops|wait|hold on|ah|oh|hm+),?\s*)?(?:"
    r"no\b(?! (?:problem|worries|need|thanks|thank|hurry|rush|matter|idea|one))|nope\b|wrong\b|incorrect\b"
    r"|(?:that|this|it)(?:'s| is| was|s) (?:wrong|false|incorrect|untrue|a mistake"
    r"|not (?:correct|right|true|quite|what))"
    r"|(?:that|this|it) (?:isn'?t|wasn'?t) (?:correct|right|true|quite)"
    r"|not (?:quite|true|right|correct|exactly)"
    r"|you(?:'re| are|r) (?:wrong|mistaken)|you got (?:it|that) wrong"
    r"|i meant|i mean\b|correction\b|scratch that|actually\b(?!.*\?))"
)
_RECANTS = regex.compile(
    r"(?i)\b(?:i|we) (?:was|were|am|are|had|have|got|noted|read|wrote|said|told|spelled|heard|called|typed)\b"
    r"[^.!?\n]{0,30}?\b(?:wrong(?:ly)?|mistaken|mixed up|confused)\b"
    r"|\b(?:i|we) (?:\w+ )?(?:misremember|misread|misheard|misspoke|misstated|confus|mistook|mixed)\w*"
    r"[^.!?\n]{0,20}?(?:\b(?:up|two|something|with|the|said|called|named)\b|:)"
    r"|\bcorrection\b|\bcorrect myself\b|\bcorrect what i said\b|\bmy mistake\b|\bmistake of mine\b"
    r"|\bon my part\b|\bwas thinking of (?:another|someone|something|a different)\b|\bthan i (?:said|told)\b"
    r"|\bi take (?:that )?back\b|\bit (?:was|is) not [^.!?\n]{1,40}?[:;]|^\W*not [^.!?\n]{1,40}?[:;,]"
    r"|\bscratch that\b"
)
_DENIES = frozenset(
    ("not", "never", "instead", "wrong", "wrongly", "mistake", "mistaken", "longer", "rather")
)
_OPENING = r"(?i)^\W*(?:(?:and|but|so|ok(?:ay)?|hey|hi|hello|please|well|then|now|also|next|just)[, ]+)*"
_ASKS = regex.compile(
    rf"{_OPENING}(?:who|what|when|where|which|whose|whom|why|how|is|are|was|were|do|does|did|can|could|will"
    r"|would|should|shall|may|might|has|have|had|am)\b"
)
# An opening like a request may still lead to a statement ("Show her red ones and she takes them all").
_STATES = regex.compile(r"(?i)(?:[,;:]|\band|\bbut|\bbecause|\bsince)\s+(?:i|we|he|she|they|it)\b")
_REQUEST = regex.compile(
    rf"{_OPENING}(?:(?:can|could|would|will) you\b|(?:i(?:'d| would) like (?:you )?to|i want you to"
    r"|i need you to|let'?s|let me|tell me|show me|give me|help me|thank|thanks)\b)"
)
_IMPERATIVE = regex.compile(
    rf"{_OPENING}(?:write|make|create|find|read|list|open|run|add|fix|delete|remove|rename|move|copy|count"
    r"|sort|print|show|search|look|check|change|replace|convert|build|test|explain|summari[sz]e|translate"
    r"|compute|calculate|update|install|download|generate|implement|refactor|edit|put|set|save|use|try|do|go"
    r"|stop|continue|start|answer|describe|compare|draw|plan|suggest|give|take|get|send|call|say|tell|help"
    r"|turn|merge|split|format|clean|append|insert|extract|parse|debug|execute|repeat|undo|name|spell|wrap"
    r"|reply|correct|only|pick|choose|finish|complete|rewrite|rephrase|sum|think|imagine|let|recommend|invent"
    r"|subtract|divide|multiply|begin|review|analy[sz]e)\b"
)
_MOMENT = regex.compile(
    r"(?i)\b(?:today|tonight|yesterday|tomorrow|just now|right now|at the moment|soon|again|about to"
    r"|this (?:morning|afternoon|evening|minute|second|week)|a minute ago|in \w+ minutes|in an hour"
    r"|(?:for|in) a (?:second|minute|moment|hurry)|i(?:'m| am) (?:\w+ )?(?:going|off|about) to"
    r"|just (?:got|had|saw|came)|(?:is|are) finally|almost (?:out|there|done))\b"
)
_FEW_WORDS = 3
_TOPIC_CHARS = 4_000
_SMALL_WORDS = """
    hi hello hey hiya greetings morning afternoon evening night day good nice great cool ok okay thanks thank
    please bye goodbye welcome sure yes no well fine lovely awesome perfect cheers wow haha lol going i'm it's
    doing today there again very much just sorry alright right meet later see soon all everything lot really
    that's so too he she her his him
"""
_SMALL_TALK = STOP_WORDS | frozenset(_SMALL_WORDS.split())


def sentences(text: str) -> list[str]:
    """The sentences of a text, by their marks; not exact, and nothing is lost."""
    return [part.strip() for part in _END.split(text) if part and part.strip()]


def asks_to_keep(text: str) -> bool:
    """Whether the user asks outright to remember something."""
    return any(_KEEP.search(part) and not _NOT_KEEP.search(part) for part in sentences(text))


def corrects(text: str) -> bool:
    """Whether a message that answers the agent begins by correcting it."""
    return bool(_CORRECTS.search(text))


def recants(text: str) -> bool:
    """Whether the user takes back something they said themselves."""
    return bool(_RECANTS.search(text))


def denies(text: str, value: str) -> bool:
    """Whether a text names a value and says that it is not so: "in Lund, not in Oakmere"."""
    said = [word.casefold() for word in words(text)]
    wanted = [word.casefold() for word in words(value)]
    if not wanted or not any(said[i : i + len(wanted)] == wanted for i in range(len(said))):
        return False
    return recants(text) or not _DENIES.isdisjoint(said)


def of_the_moment(text: str) -> bool:
    """Whether a text speaks of what will be over tomorrow: today's weather, a hurry."""
    return bool(_MOMENT.search(text))


def says_something(sentence: str) -> bool:
    """Whether a sentence states something that could be kept, rather than asking, requesting or greeting.

    Whatever is none of these counts as a statement: a fact that is missed here is lost, and one too many only
    costs the night a look.
    """
    if asks_to_keep(sentence):
        return True
    if sentence.rstrip("\"'”’) ").endswith("?") or len(sentence.split()) < _FEW_WORDS:
        return False
    if _REQUEST.search(sentence) or _IMPERATIVE.search(sentence):
        return bool(_STATES.search(sentence))
    # "When I was young, …" opens like a question and is none
    asks = _ASKS.search(sentence) and "," not in sentence
    return not asks and bool(topic(sentence))


def topic(text: str) -> frozenset[str]:
    """What a text is about: its words without those that could stand anywhere, small talk included."""
    plain = (word.casefold().replace("’", "'").removesuffix("'s") for word in words(text[:_TOPIC_CHARS]))
    return frozenset(word for word in plain if word not in _SMALL_TALK)
