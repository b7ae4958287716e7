"""IFEval's verifiable instructions, from the published description of each.

Source: Zhou et al., "Instruction-Following Evaluation for Large Language Models" (2023). The strict reading:
the answer as it is, no part stripped first. Sentences are cut by a simple rule, so counts near the asked
number may differ by one from other implementations. The language of an answer is told by its script;
languages written in Latin letters cannot be told apart so, and prompts that ask for one are left out.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

Options = Mapping[str, Any]

_SCRIPTS = {
    "ar": "ARABIC", "fa": "ARABIC", "ur": "ARABIC", "bg": "CYRILLIC", "ru": "CYRILLIC", "uk": "CYRILLIC",
    "bn": "BENGALI", "gu": "GUJARATI", "he": "HEBREW", "hi": "DEVANAGARI", "mr": "DEVANAGARI",
    "ne": "DEVANAGARI", "kn": "KANNADA", "ko": "HANGUL", "pa": "GURMUKHI", "ta": "TAMIL", "te": "TELUGU",
    "th": "THAI", "el": "GREEK", "zh": "CJK", "ml": "MALAYALAM",
}  # fmt: skip
_CHOICES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def can_check(kind: str, options: Options) -> bool:
    """Whether this instruction can be checked here."""
    if kind == "language:response_language":
        return options.get("language") in _SCRIPTS
    return kind in CHECKABLE


def follows(kind: str, options: Options, answer: str) -> bool:
    """Whether an answer follows one instruction. An empty answer follows none."""
    return bool(answer.strip()) and CHECKABLE[kind](answer, options)


def _relation(count: int, relation: str, wanted: int) -> bool:
    return count < wanted if relation == "less than" else count >= wanted


def _words(answer: str) -> int:
    return len(re.findall(r"\w+", answer))


def _sentences(answer: str) -> int:
    return len([part for part in re.split(r"(?<=[.!?])[\"'”’)]*\s+|\n{2,}", answer.strip()) if part.strip()])


def _has(word: str, answer: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE) is not None


def _existence(answer: str, options: Options) -> bool:
    return all(re.search(re.escape(word), answer, re.IGNORECASE) for word in options["keywords"])


def _frequency(answer: str, options: Options) -> bool:
    count = len(re.findall(re.escape(options["keyword"]), answer, re.IGNORECASE))
    return _relation(count, options["relation"], options["frequency"])


def _letters(answer: str, options: Options) -> bool:
    count = answer.lower().count(options["letter"].lower())
    return _relation(count, options["let_relation"], options["let_frequency"])


def _paragraphs(answer: str, options: Options) -> bool:
    """Paragraphs set apart by a line of three asterisks; none may be empty but at the very ends."""
    parts = re.split(r"\s?\*\*\*\s?", answer)
    inner = parts[1:] if not parts[0].strip() else parts
    inner = inner[:-1] if inner and not inner[-1].strip() else inner
    return all(part.strip() for part in inner) and len(inner) == int(options["num_paragraphs"])


def _nth_paragraph(answer: str, options: Options) -> bool:
    parts = [part for part in re.split(r"\n\n", answer) if part.strip()]
    number = int(options["nth_paragraph"])
    if len(parts) != options["num_paragraphs"] or number > len(parts):
        return False
    first = parts[number - 1].strip().split()[0].lstrip("\"'")
    return re.split(r"[.,?!'\"]", first)[0].lower() == str(options["first_word"]).lower()


def _highlights(answer: str, options: Options) -> bool:
    single = re.findall(r"\*[^\n*]*\*", answer)
    double = re.findall(r"\*\*[^\n*]*\*\*", answer)
    filled = [part for part in (*single, *double) if part.strip("* ")]
    return len(filled) >= int(options["num_highlights"])


def _sections(answer: str, options: Options) -> bool:
    marks = re.findall(rf"\s?{re.escape(options['section_spliter'])}\s?\d+\s?", answer)
    return len(marks) >= int(options["num_sections"])


def _bullets(answer: str, options: Options) -> bool:
    stars = re.findall(r"^\s*\*[^*].*$", answer, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", answer, re.MULTILINE)
    return len(stars) + len(dashes) == int(options["num_bullets"])


def _json(answer: str, options: Options) -> bool:
    bare = re.sub(r"^```(?:json)?|```$", "", answer.strip(), flags=re.IGNORECASE).strip()
    try:
        json.loads(bare)
    except (ValueError, RecursionError):
        return False
    return True


def _postscript(answer: str, options: Options) -> bool:
    marker = options["postscript_marker"].lower()
    spread = {"p.p.s": r"p\.\s?p\.\s?s", "p.s.": r"p\.\s?s\."}.get(marker, re.escape(marker))
    return re.search(rf"\s*{spread}.*$", answer.lower(), re.MULTILINE) is not None


def _two_answers(answer: str, options: Options) -> bool:
    parts = answer.split("******")
    inner = [part.strip() for number, part in enumerate(parts) if part.strip() or 0 < number < len(parts) - 1]
    return len(inner) == 2 and all(inner) and inner[0] != inner[1]


def _capital_words(answer: str, options: Options) -> bool:
    count = sum(word.isupper() for word in re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", answer))
    return _relation(count, options["capital_relation"], options["capital_frequency"])


def _language(answer: str, options: Options) -> bool:
    script = _SCRIPTS[options["language"]]
    letters = [char for char in answer if char.isalpha()]
    own = sum(unicodedata.name(char, "").startswith(script) for char in letters)
    return bool(letters) and own / len(letters) > 0.5


CHECKABLE: dict[str, Callable[[str, Options], bool]] = {
    "punctuation:no_comma": lambda answer, options: "," not in answer,
    "length_constraints:number_words": lambda answer, options: _relation(
        _words(answer), options["relation"], options["num_words"]
    ),
    "length_constraints:number_sentences": lambda answer, options: _relation(
        _sentences(answer), options["relation"], options["num_sentences"]
    ),
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph,
    "keywords:forbidden_words": lambda answer, options: (
        not any(_has(word, answer) for word in options["forbidden_words"])
    ),
    "keywords:existence": _existence,
    "keywords:frequency": _frequency,
    "keywords:letter_frequency": _letters,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:title": lambda answer, options: any(
        title.strip("<> ") for title in re.findall(r"<<[^\n]+>>", answer)
    ),
    "detectable_format:json_format": _json,
    "detectable_format:constrained_response": lambda answer, options: any(
        choice in answer for choice in _CHOICES
    ),
    "detectable_content:number_placeholders": lambda answer, options: (
        len(re.findall(r"\[.*?\]", answer)) >= options["num_placeholders"]
    ),
    "detectable_content:postscript": _postscript,
    "combination:repeat_prompt": lambda answer, options: (
        answer.strip().lower().startswith(options["prompt_to_repeat"].strip().lower())
    ),
    "combination:two_responses": _two_answers,
    "startend:quotation": lambda answer, options: (
        len(answer.strip()) > 1 and answer.strip()[0] == '"' and answer.strip()[-1] == '"'
    ),
    "startend:end_checker": lambda answer, options: (
        answer.strip().strip('"').lower().endswith(options["end_phrase"].strip().lower())
    ),
    "change_case:english_lowercase": lambda answer, options: answer == answer.lower(),
    "change_case:english_capital": lambda answer, options: answer == answer.upper(),
    "change_case:capital_word_frequency": _capital_words,
    "language:response_language": _language,
}
"""A rule for each kind of instruction."""
