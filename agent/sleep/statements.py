"""Sentences of a user made into statements that stand by themselves.

The model rewrites, and what it writes is held against the user's very words: a statement with a word of
meaning that nobody said is dropped. Where nothing holds, the sentence itself is put into the third person,
provided that it needs no earlier one to be understood.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import log

from agent.model.base import Model
from agent.sleep import english, examples
from agent.sleep.prompting import leanings, shown, written

# Log-odds, set on the development conversations: below the first a clause is dropped at once; the sum of
# the three votes must reach the second.
_HOPELESS, _LEAST = -2.5, -1.75
_TOKENS = 90
_EARLIER = 3
# share of a sentence's words of meaning that its parts must hold
_COVERED = 0.75

_PRONOUN = re.compile(
    r"\b(?:he|she|it|they|him|her|his|hers|its|their|theirs|them|there|this|these|those)\b", re.IGNORECASE
)
_OPEN = re.compile(r"^(?:he|she|it|they|his|her|its|their)\b", re.IGNORECASE)
_OBJECT = re.compile(r"(?<=\s)(?:it|him|them)\b(?!\s+(?:is|was|has|will|can)\b)", re.IGNORECASE)
_SEVERAL = re.compile(r"\band\b|\b(?:who|which|whose)\b", re.IGNORECASE)
_RELATIVE = re.compile(r"\b(?:who|which|whose)\b", re.IGNORECASE)
_ASKS = re.compile(r",?\s*\b(?:and |so |but )?(?:can|could|would|will) (?:you|we)\b.*$", re.IGNORECASE)
_LEADS = (
    r"by the way|btw|(?:just )?so you know|fyi|for your information|for the record|for next time|anyway|oh|"
    r"ah|also|and|so|well|actually|but|now|still|at least|incidentally|as it happens|funny enough",
    r"(?:please )?(?:remember|note|keep in mind|don'?t forget)(?: that)?",
    r"in case it (?:ever )?(?:comes up|matters)|(?:it )?turns out(?: that)?",
    r"i(?:'ve)? (?:just )?(?:heard|learned|learnt|found out|realised|realized) that",
    r"(?:he|she|they|somebody|someone) (?:told|tells) (?:me|us) that",
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

_ARTICLE = re.compile(r"^(?:an?|the)\s+", re.IGNORECASE)
# what a name at the end of a sentence is said to be or do
_WHO = re.compile(r"(?:^|\s)(?P<name>[A-Z][\w.'’-]*(?:\s[A-Z][\w.'’-]*)*),\s+who\s+(?P<rest>[^,]+)$")
_COMMON_VERB = r"(?:is|was|has|had|are|were|have|can|will)"
_FROM_NOW = re.compile(r"^(?:from now on|in future|in the future)\b[\s,:]*", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*•–]|\d+[.)])\s+")
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
    body = _TRAIL.sub("", body.rstrip(" .!?-")).strip(" ,:–—")
    found: list[str] = []
    for part in _parts_of(body):
        part = _TRAIL.sub("", _LEAD.sub("", part)).strip(" ,")
        who = _WHO.search(part)
        if who is not None:
            part = f"{who['name']} {who['rest']}"
        if part:
            found.append(part)
    return found


def worth(model: Model, clauses: Sequence[str]) -> list[bool]:
    """Whether each clause tells something that lasts: by three votes of the model."""
    votes = [0.0] * len(clauses)
    left = list(range(len(clauses)))
    for task, shots, yes in (
        (examples.SORT_TASK, examples.SORT, examples.KEEP),
        (examples.ASKS_TASK, examples.ASKS, examples.TELL),
        (examples.LASTS_TASK, examples.LASTS, examples.YES),
    ):
        prompts = [shown(task, shots, finished(clauses[index])) for index in left]
        for index, chance in zip(left, leanings(model, prompts, yes), strict=True):
            votes[index] += _log_odds(chance)
        left = [index for index in left if votes[index] > _HOPELESS]
    return [index in left and votes[index] >= _LEAST for index in range(len(clauses))]


def tell(model: Model, clause: str, earlier: Sequence[str]) -> list[str]:
    """The facts of one clause, each as a sentence that stands by itself; none when it needs a word for
    which nothing was said."""
    resolved = resolve(model, clause, earlier)
    if not resolved:
        return []
    plain = finished(english.third_person(resolved))
    if not _SEVERAL.search(plain):
        return [plain]
    [text] = written(model, [shown(examples.SPLIT_TASK, examples.SPLIT, plain)], _TOKENS)
    lines = _lines(text)
    return lines if _splits(lines, plain) else _split_by_verb(plain)


def resolve(model: Model, clause: str, earlier: Sequence[str]) -> str:
    """A clause with what its first word stands for put into its place; empty when that cannot be made out.

    Only a pronoun that opens the clause is resolved: what one further on stands for is guessed too badly.
    """
    if _OBJECT.search(clause):
        return ""
    pronoun = _OPEN.match(clause)
    if pronoun is None:
        return clause
    telling = [sentence for sentence in earlier if len(english.content_words(sentence)) > 1]
    for before in (" ".join(telling[-count:]) for count in range(1, min(_EARLIER, len(telling)) + 1)):
        meant = _meant(model, before, clause, pronoun[0])
        if meant:
            break
    else:
        return ""
    put = f"{meant}'s" if _is_possessive(pronoun, clause) and not meant.endswith("'s") else meant
    return english.capital(put) + clause[pronoun.end() :]


def _meant(model: Model, before: str, clause: str, pronoun: str) -> str:
    """What a pronoun stands for, in words of `before`; empty when the model names nothing that could be."""
    text = f"Before: {before}\nSentence: {finished(clause)}\nWord: {pronoun}"
    [answer] = written(model, [shown(examples.REFER_TASK, examples.REFER, text)], 20)
    named = answer.splitlines()[0].strip(" .") if answer else ""
    meant = _span(english.third_person(named), english.third_person(before))
    words = english.stems(meant)
    whole = any(words >= english.stems(sentence) for sentence in english.sentences(before))
    if not words or whole or words & english.stems(clause) or _PRONOUN.search(meant):
        return ""
    return re.sub(r"^an?\b", "the", meant, flags=re.IGNORECASE)


def mend(model: Model, question: str, wrong: str, correction: str) -> str:
    """What a correction says, as a sentence that stands by itself; empty when it cannot be made out."""
    plain = affirmed(correction)
    text = f"Question: {question}\nWrong: {wrong}\nCorrection: {correction}\nRight:"
    [answer] = written(model, [shown(examples.MEND_TASK, examples.MEND, text)], _TOKENS)
    new = english.stems(plain) - english.stems(question)
    for line in _lines(_of_user(answer))[:1]:
        if holds(line, plain, question) and new <= english.stems(line) and not _CUE.match(line):
            return line
    if len(english.content_words(plain)) < 2:
        return ""
    resolved = resolve(model, plain, [question]) if _OPEN.match(plain) else plain
    return finished(english.third_person(resolved)) if resolved else ""


def parts(model: Model, statements: Sequence[str], said: Sequence[str]) -> list[tuple[str, str]]:
    """Subject and answer of each statement, both spans of it; the answer also of what was said, if it can."""
    prompts = [shown(examples.PARTS_TASK, examples.PARTS, statement) for statement in statements]
    return [
        _parts(text, statement, heard)
        for text, statement, heard in zip(written(model, prompts, 48), statements, said, strict=True)
    ]


def is_rule(model: Model, statement: str) -> bool:
    """Whether a sentence says how things are to be done, beyond the task at hand."""
    if not _RULE.search(statement):
        return False
    [chance] = leanings(model, [shown(examples.RULE_TASK, examples.RULE, statement)], examples.RULE_WORD)
    return chance >= 0.5


def as_rule(clause: str) -> str:
    """A clause that states a rule as a sentence of its own."""
    return finished(english.third_person(_FROM_NOW.sub("", clause)))


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


def _log_odds(chance: float) -> float:
    bounded = min(max(chance, 1e-6), 1 - 1e-6)
    return log(bounded / (1 - bounded))


def _lines(text: str) -> list[str]:
    found: list[str] = []
    for line in text.splitlines():
        line = _BULLET.sub("", line).strip()
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
    text = _CUE.sub("", correction.strip()).strip(" ,.:–—")
    text = re.sub(r",?\s*\b(?:and )?not\b[^,.;]*$", "", text).strip(" ,")
    return re.sub(r"^not\b[^,;]*[,;]\s*(?:but\s+)?", "", text, flags=re.IGNORECASE)


def _parts(text: str, statement: str, said: str) -> tuple[str, str]:
    named = dict(re.findall(r"^(subject|answer):\s*(.+?)\s*$", text, re.MULTILINE))
    body = statement.rstrip(" .!")
    subject = _span(named.get("subject", ""), body)
    answer = _span(named.get("answer", ""), body) or _span(_ARTICLE.sub("", named.get("answer", "")), body)
    if not subject or (answer and english.fold(answer) in english.fold(subject)):
        subject = _beginning(body)
    empty = english.fold(answer) in english.fold(subject) or not english.content_words(answer)
    end = _end(body, subject)
    if empty or _is_told_by(end, answer):
        answer = end
    if english.fold(answer) not in english.fold(said):
        answer = _common(answer, said) or answer
    return _narrow(subject), answer


def _is_possessive(pronoun: re.Match[str], clause: str) -> bool:
    word = pronoun[0].lower()
    if word == "her":
        return re.match(r"\s+\w", clause[pronoun.end() :]) is not None
    return word in ("his", "its", "their")


def _splits(lines: Sequence[str], plain: str) -> bool:
    """Whether lines are the sentence in several parts: its own words, and nearly all of them."""
    words = english.stems(plain) - {"user"}
    found = [english.stems(line) - {"user"} for line in lines]
    return (
        bool(lines)
        and all(one <= words and len(one) >= 1 for one in found)
        and not any(_OPEN.match(line) for line in lines)
        and len(set[str]().union(*found)) >= _COVERED * len(words)
        and (len(lines) > 1 or _RELATIVE.search(plain) is not None)
    )


def _split_by_verb(plain: str) -> list[str]:
    """A sentence that says two things of its subject, each with a verb of its own out of the commonest."""
    first = re.search(rf"\s{_COMMON_VERB}\s", plain)
    second = re.search(rf",?\s+and\s+(?={_COMMON_VERB}\s)", plain)
    if first is None or second is None or second.start() < first.end():
        return [plain]
    subject = plain[: first.start()]
    return [finished(plain[: second.start()]), finished(f"{subject} {plain[second.end() :]}")]


def _of_user(text: str) -> str:
    """What is said to the user, told of the user."""
    text = re.sub(r"\b(?:your|my|our)\b", "the user's", text, flags=re.IGNORECASE)
    return re.sub(r"\byou\b", english.USER, text, flags=re.IGNORECASE)


def _span(part: str, statement: str) -> str:
    """`part` as it stands in the statement; empty when it does not."""
    part = part.strip(" .")
    found = re.search(re.escape(part), statement, re.IGNORECASE) if part else None
    return found[0] if found else ""


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


def _is_told_by(end: str, answer: str) -> bool:
    """Whether a statement's end is what it tells, rather than the answer."""
    return (
        english.stands_out(end)
        and not english.stands_out(answer)
        and english.fold(answer) not in english.fold(end)
    )


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
    r"\b(?:always|never|every time|whenever|from now on|in future|must|each time)\b", re.IGNORECASE
)
