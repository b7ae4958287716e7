"""What a question is looked up by: politeness taken off, a double question as two searches.

Rules alone, in English; a question they do not know is its own only search. A model call for this would
cost as much as the answer.
"""

from __future__ import annotations

import re

_MOST = 3
_OPENING = re.compile(
    r"""(?:hi|hello|hey|please|kindly|thanks)\b[\s,!.:]*
    |(?:can|could|would|will)\s+you\s+(?:please\s+|kindly\s+)?(?:tell|explain|show|give|say|remind|help)
       (?:\s+to)?(?:\s+(?:me|us))?\s+(?=\S)
    |(?:do|would)\s+you\s+(?:happen\s+to\s+)?know\s+
    |i(?:\s+would|['’]d)?\s+(?:like|love|want|need)\s+to\s+know\s+
    |i\s+(?:was|am)\s+wondering\s+
    |(?:tell|show|remind)\s+(?:me|us)\s+
    """,
    re.IGNORECASE | re.VERBOSE,
)
_CLOSING = re.compile(r"[\s,]*(?:please|thanks|thank you)[\s.!]*(?=[?.!]*$)", re.IGNORECASE)
# a second question in the same sentence, or behind the first one's question mark
_SECOND = re.compile(
    r"(?<=\?)\s+|,?\s+(?:and|and\s+also|as\s+well\s+as)\s+"
    r"(?=(?:what|which|who|whom|whose|when|where|why|how)\b)",
    re.IGNORECASE,
)
_REFERS = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|that|this|those|these|there)\b",
    re.IGNORECASE,
)


def searches(question: str) -> tuple[str, ...]:
    """What to search for, at most three texts; the question itself when it is only one.

    A second question that refers to the first (`and who owns it?`) is searched together with it.
    """
    whole = plain(question)
    parts: list[str] = []
    for part in _SECOND.split(whole):
        text = plain(part)
        if not text:
            continue
        if parts and _REFERS.search(text):
            text = f"{parts[-1]} {text}"
        parts.append(text)
    return tuple(dict.fromkeys(parts[:_MOST])) if len(parts) > 1 else (whole or question.strip(),)


def plain(text: str) -> str:
    """A text without the politeness around it."""
    text = " ".join(text.split())
    while (opening := _OPENING.match(text)) and text[opening.end() :].strip(" ?.!"):
        text = text[opening.end() :]
    shorter = _CLOSING.sub("", text)
    return shorter if shorter.strip(" ?.!") else text
