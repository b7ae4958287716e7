"""What kind of thing a user says in a sentence: a statement, a question, a request, small talk.

By the little words of English alone, without a model and without naming topics or relations: the gate asks
the moment an episode ends. It errs towards a statement; the night reads it properly.
"""

from __future__ import annotations

import regex

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
_OPENING = r"(?i)^\W*(?:(?:and|but|so|ok(?:ay)?|hey|hi|hello|please|well|then|now|also|next|just)[, ]+)*"
_ASKS = regex.compile(
    rf"{_OPENING}(?:who|what|when|where|which|whose|whom|why|how|is|are|was|were|do|does|did|can|could|will"
    r"|would|should|shall|may|might|has|have|had|am)\b"
)
_LITTLE = regex.compile(
    r"(?i)\b(?:i|i'm|i've|my|mine|we|we're|our|ours|he|she|his|her|they|their|its|it's|is|are|was|were|am|isn't"
    r"|aren't|wasn't|has|have|had|must|should|always|never|will|won't|doesn't|don't|didn't|means|called)\b"
)
# "Anna plays …", "The zet tool wants …": something named, then a verb in the third person or in the past
_NAMED = regex.compile(
    r"^(?:(?:The|A|An|Every|Each|All|My|Our) )?(?:[\p{L}\p{N}'’._-]+ ){1,6}?[\p{Ll}-]+(?:s|ed)\b"
)
_REQUEST = regex.compile(
    rf"{_OPENING}(?:(?:can|could|would|will) you\b|(?:i(?:'d| would) like (?:you )?to|i want you to"
    r"|i need you to|let'?s|let me|tell me|show me|give me|help me|thank|thanks)\b)"
)
_IMPERATIVE = regex.compile(
    rf"{_OPENING}(?:write|make|create|find|read|list|open|run|add|fix|delete|remove|rename|move|copy|count"
    r"|sort|print|show|search|look|check|change|replace|convert|build|test|explain|summari[sz]e|translate"
    r"|compute|calculate|update|install|download|generate|implement|refactor|edit|put|set|save|use|try|do|go"
    r"|stop|continue|start|answer|describe|compare|draw|plan|suggest|give|take|get|send|call|say|tell|help"
    r"|turn|merge|split|format|clean|append|insert|extract|parse|debug|execute|repeat|undo)\b"
)
_MOMENT = regex.compile(
    r"(?i)\b(?:today|tonight|yesterday|tomorrow|just now|right now|at the moment|soon|again|about to"
    r"|this (?:morning|afternoon|evening|minute|second|week)|a minute ago|in \w+ minutes|in an hour"
    r"|(?:for|in) a (?:second|minute|moment|hurry)|i(?:'m| am) (?:\w+ )?(?:going|off|about) to"
    r"|just (?:got|had|saw|came)|(?:is|are) finally|almost (?:out|there|done))\b"
)
_FEW_WORDS = 3


def sentences(text: str) -> list[str]:
    """The sentences of a text, by their marks; not exact, and nothing is lost."""
    return [part.strip() for part in _END.split(text) if part and part.strip()]


def asks_to_keep(text: str) -> bool:
    """Whether the user asks outright to remember something."""
    return any(_KEEP.search(part) and not _NOT_KEEP.search(part) for part in sentences(text))


def corrects(text: str) -> bool:
    """Whether a message that answers the agent begins by correcting it."""
    return bool(_CORRECTS.search(text))


def of_the_moment(text: str) -> bool:
    """Whether a text speaks of what will be over tomorrow: today's weather, a hurry."""
    return bool(_MOMENT.search(text))


def says_something(sentence: str) -> bool:
    """Whether a sentence states something that could be kept, rather than asking, requesting or greeting."""
    if asks_to_keep(sentence):
        return True
    if sentence.rstrip("\"'”’) ").endswith("?") or len(sentence.split()) < _FEW_WORDS:
        return False
    if _ASKS.search(sentence) or _REQUEST.search(sentence) or _IMPERATIVE.search(sentence):
        return False
    return bool(_LITTLE.search(sentence) or _NAMED.search(sentence))
