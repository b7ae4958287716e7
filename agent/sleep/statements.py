"""Sentences of a user made into statements that stand by themselves.

The model rewrites, and what it writes is held against the user's very words: a statement with a word of
meaning that nobody said is dropped. Where nothing holds, the sentence itself is put into the third person,
provided that it needs no earlier one to be understood.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.model.base import Model
from agent.sleep import english, examples
from agent.sleep.prompting import lean, shown, written

# the model calls a sentence worth keeping from this probability on; set on the development conversations
_LEAST = 0.35
_TOKENS = 90
_EARLIER = 3

_PRONOUN = re.compile(
    r"\b(?:he|she|it|they|him|her|his|hers|its|their|theirs|them|there|this|these|those)\b", re.IGNORECASE
)
_OPEN = re.compile(r"^(?:he|she|it|they|his|her|its|their|this|these|those)\b", re.IGNORECASE)
_ASKS = re.compile(r",?\s*\b(?:and |so |but )?(?:can|could|would|will) (?:you|we)\b.*$", re.IGNORECASE)
_LEADS = (
    r"by the way|btw|(?:just )?so you know|fyi|for your information|for the record|for next time|anyway|oh|"
    r"ah|also|and|so|well|actually|but|now|still|at least|incidentally|as it happens|funny enough",
    r"(?:please )?(?:remember|note|keep in mind|don'?t forget)(?: that)?",
    r"in case it (?:ever )?(?:comes up|matters)|(?:it )?turns out(?: that)?",
    r"i(?:'ve)? (?:just )?(?:heard|learned|learnt|found out|realised|realized)(?: that)?",
    r"(?:he|she|they|somebody|someone) (?:told|tells) (?:me|us)(?: that)?",
)
_LEAD = re.compile(rf"^(?:(?:{'|'.join(_LEADS)})\b[\s,:–—-]*)+", re.IGNORECASE)
_LATE_LEAD = re.compile(r"^.*?\b(?:turns? out|told (?:me|us)|learned|learnt|heard) that\s+", re.IGNORECASE)
_TRAILS = (
    r"by the way|btw|you know|after all|if that helps|(?:just )?so you know|fyi|please",
    r"in case (?:it|that|you)\b.*",
    r"so (?:please|do|don'?t|plan|put|leave|keep|take|use|make|be|he|she|they|it|we|you|i)\b.*",
)
_TRAIL = re.compile(rf"(?:,|\s[–—-])?\s+(?:{'|'.join(_TRAILS)})$", re.IGNORECASE)
_COLON = re.compile(r"^[^:]{3,80}:\s+(?=\S+\s+\S+\s+\S+)")
_SPLIT = re.compile(
    r"(?:,\s+(?:and|but|while|whereas)|\s+(?:and|but|while|whereas)|,)\s+"
    r"(?=(?:i|we|he|she|it|they|my|our|his|her|its|their|the|this|that|there)\b|(?:I|We)'(?:m|re|ve)\b)",
    re.IGNORECASE,
)

_SPLICE = re.compile(r"(?:i|we|he|she|it|they)\b", re.IGNORECASE)
_QUESTION = re.compile(
    r"^(?:who|whom|whose|which|what|when|where|why|how|is|are|am|was|were|do|does|did|has|have|had|can|could|"
    r"will|would|shall|should|may|might)\b",
    re.IGNORECASE,
)


def clauses(sentence: str) -> list[str]:
    """What a sentence says by the parts that could stand alone, without what leads in and out."""
    body = sentence.strip()
    if body.rstrip("\"'”)").endswith("?"):
        # what stands before a question's last comma may still tell something
        body = body.rpartition(",")[0]
        if _QUESTION.match(body):
            return []
    colon = _COLON.match(body)
    if colon and len(english.content_words(body[colon.end() :])) > 1:
        body = body[colon.end() :]
    body = _ASKS.sub("", body)
    body = _LATE_LEAD.sub("", _LEAD.sub("", body))
    body = _TRAIL.sub("", body.rstrip(" .!?")).strip(" ,:–—-")
    found: list[str] = []
    for part in _parts_of(body):
        part = _TRAIL.sub("", _LEAD.sub("", part)).strip(" ,")
        if part:
            found.append(part)
    return found


def is_worth(model: Model, clause: str) -> bool:
    """Whether a clause tells something that lasts."""
    if len(english.content_words(clause)) < 1:
        return False
    return worth(model, clause) >= _LEAST


def worth(model: Model, clause: str) -> float:
    """How likely a clause tells something that lasts, in [0, 1]."""
    return lean(model, shown(examples.SORT_TASK, examples.SORT, finished(clause)), examples.KEEP)


def tell(model: Model, clause: str, earlier: Sequence[str]) -> list[str]:
    """The facts of one clause, each as a sentence that stands by itself."""
    context = " ".join(earlier[-_EARLIER:])
    needs = _PRONOUN.search(clause) is not None
    said = finished(clause)
    text = f"Earlier: {context}\nNow: {said}" if context and needs else said
    kept = [
        line
        for line in _lines(written(model, shown(examples.TELL_TASK, examples.TELL, text), _TOKENS))
        if holds(line, clause, context if needs else "")
    ]
    if not kept and not (needs and _OPEN.match(clause)):
        kept = [finished(english.third_person(clause))]
    return kept


def mend(model: Model, question: str, wrong: str, correction: str) -> str:
    """What a correction says, as a sentence that stands by itself; empty when it cannot be made out."""
    said = finished(correction)
    text = f"Question: {question}\nWrong: {wrong}\nCorrection: {said}"
    lines = _lines(written(model, shown(examples.MEND_TASK, examples.MEND, text), _TOKENS))
    new = english.stems(affirmed(correction)) - english.stems(question)
    for line in lines[:1]:
        words = english.stems(line)
        if holds(line, correction, question) and (new & words or not new):
            return line
    plain = affirmed(correction)
    return (
        ""
        if _OPEN.match(plain) or len(english.content_words(plain)) < 2
        else finished(english.third_person(plain))
    )


def parts(model: Model, statement: str, said: str = "") -> tuple[str, str]:
    """Subject and answer of a statement, both spans of it; the answer also a span of `said`, if given."""
    text = written(model, shown(examples.PARTS_TASK, examples.PARTS, statement), 48)
    named = dict(re.findall(r"^(subject|answer):\s*(.+?)\s*$", text, re.MULTILINE))
    body = statement.rstrip(" .!")
    subject = _span(named.get("subject", ""), body)
    answer = _span(named.get("answer", ""), body)
    if not subject or (answer and english.fold(answer) in english.fold(subject)):
        subject = _beginning(body)
    if not answer or english.fold(answer) in english.fold(subject) or not english.content_words(answer):
        answer = _end(body, subject)
    if said and english.fold(answer) not in english.fold(said):
        answer = _common(answer, said) or answer
    return _narrow(subject), answer


def is_rule(model: Model, statement: str) -> bool:
    """Whether a sentence says how things are to be done, beyond the task at hand."""
    if not _RULE.search(statement):
        return False
    return lean(model, shown(examples.RULE_TASK, examples.RULE, statement), "rule") >= 0.5


def finished(line: str) -> str:
    """A line as a sentence: capital first, full stop last."""
    line = line.strip().rstrip(" ,;:")
    line = line[:1].upper() + line[1:]
    return line if line.endswith((".", "!", "?")) else f"{line}."


def holds(statement: str, clause: str, context: str = "") -> bool:
    """Whether a statement says only what the user said, says something of this clause, and stands alone."""
    words = english.stems(statement) - {"user"}
    here = english.stems(clause)
    if _OPEN.match(statement) or english.is_first_person(statement) or statement.endswith("?"):
        return False
    if "user" in english.stems(statement) and not english.is_first_person(f"{clause} {context}"):
        return False
    if len(statement.split()) < 3:
        return False
    return words <= here | english.stems(context) and len(words & here) >= min(2, len(here))


def _lines(text: str) -> list[str]:
    found: list[str] = []
    for line in text.splitlines():
        line = line.strip(" -*•\t")
        if line and finished(line) not in found:
            found.append(finished(line))
    return found


def _parts_of(body: str) -> list[str]:
    """A sentence cut where a clause with a subject of its own begins."""
    found: list[str] = []
    start = 0
    for cut in _SPLIT.finditer(body):
        left, right = body[start : cut.start()], body[cut.end() :]
        enough = len(english.content_words(left)) >= 2 and len(english.content_words(right)) >= 2
        # a comma alone may stand inside a list or before an apposition
        if not enough or len(right.split()) < 4:
            continue
        if cut.group().strip() == "," and not _SPLICE.match(right):
            continue
        found.append(left)
        start = cut.end()
    return [*found, body[start:]]


def affirmed(correction: str) -> str:
    """A correction without what it denies and without the no before it."""
    text = _CUE.sub("", correction.strip()).strip(" ,.:–—-")
    text = re.sub(r",?\s*\b(?:and )?not\b[^,.;]*$", "", text).strip(" ,")
    return re.sub(r"^not\b[^,;]*[,;]\s*(?:but\s+)?", "", text, flags=re.IGNORECASE)


def _span(part: str, statement: str) -> str:
    """`part` as it stands in the statement; empty when it does not."""
    part = part.strip(" .")
    at = english.fold(statement).find(english.fold(part))
    return statement[at : at + len(part)] if at >= 0 and part else ""


def _beginning(statement: str) -> str:
    """The first run of words that could be what a sentence is about."""
    words = statement.split()
    for end in range(1, len(words)):
        if not english.content_words(words[end]) and english.content_words(words[end - 1]):
            return " ".join(words[:end]).removesuffix("'s")
    return words[0] if words else ""


def _end(statement: str, subject: str) -> str:
    """The last words of a statement that hang together."""
    rest = statement[len(subject) :] if statement.startswith(subject) else statement
    words = rest.split()
    begin = len(words) - 1
    while begin > 0 and english.content_words(words[begin - 1]) and len(words) - begin < 3:
        begin -= 1
    return " ".join(words[begin:]) if words else statement


def _common(answer: str, said: str) -> str:
    """The longest run of the answer's words that the user said, with meaning in it."""
    words = answer.split()
    heard = english.fold(said)
    for length in range(len(words) - 1, 0, -1):
        for start in range(len(words) - length + 1):
            run = words[start : start + length]
            while run and not english.content_words(run[-1]):
                run.pop()
            text = " ".join(run)
            if (
                english.content_words(text)
                and english.fold(text) in heard
                and "user" not in english.stems(text)
            ):
                return text
    return ""


def _narrow(subject: str) -> str:
    """The name out of what stands before it: `the user's sister Mira` is `Mira`."""
    named = re.search(r"(?:^|\s)((?:[A-Z][\w.'’-]*\s?)+)$", subject)
    first = subject.split()[0] if subject else ""
    if named and first.lower() in ("the", "a", "an") and named[1].strip() != subject:
        name = named[1].strip()
        return name if name.lower() not in ("the", "a", "an") else subject
    return subject


CORRECTS = re.compile(
    r"^(?:no|nope|wrong|actually|incorrect|not quite|not true|that(?:'?s| is) (?:not|wrong|incorrect|false)|"
    r"you(?:'?re| are) wrong|not (?=\S+(?: \S+)?,))",
    re.IGNORECASE,
)
_CUE = re.compile(
    r"^(?:(?:no|nope|wrong|actually|incorrect|not quite|not true|sorry|that(?:'?s| is) "
    r"(?:not (?:right|true|correct)|wrong|incorrect|false)|you(?:'?re| are) wrong)\b[\s,.:;!–—-]*)+",
    re.IGNORECASE,
)
_RULE = re.compile(
    r"\b(?:always|never|every time|whenever|from now on|in future|must|should|each time)\b", re.IGNORECASE
)
