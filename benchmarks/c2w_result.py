"""One result from a finished run of `bench c2w`: judged answers, figures with intervals, costs, and where
the facts that are wrong were lost.

The top level holds ACC, W, BWT, FWT, forgetting, paraphrase_gap, reverse_recall and general_nll_change as
fractions, over the questions named by `scored`; `intervals` the 95% bootstrap of each. `by_form` holds the
same for paraphrases and for far words. A paraphrase or reverse question that was trained word for word is no
unseen question and counts nowhere. `marks` is enough to pool several runs (`benchmarks.pool`).
"""

from __future__ import annotations

import importlib.metadata
import math
import platform
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.config import Settings
from agent.device import detect
from agent.learning_calls import NightReport
from agent.sleep.neighbours import is_confident
from benchmarks.c2w import C2wOptions, Finished, total_tokens
from benchmarks.facts import Form, Question
from benchmarks.metrics import Marks, figures, intervals, known_facts, matrix, slope
from benchmarks.relations import RELATIONS
from benchmarks.run_log import RunLog
from benchmarks.stream import Stream
from benchmarks.unrelated import PROMPTS, intruders
from memory.learning import Lesson

Judge = Callable[[str, str, str], bool]
"""Whether an answer gives what is expected: `(expected, answer, question)`."""

_PACKAGES = ("nightschool", "torch", "transformers", "peft", "numpy")
_SHOWN_WRONG = 40
# Objects of these sorts are ordinary numbers, and stand in many an innocent answer.
_ORDINARY = ("year", "code")


class Judged:
    """The answers of a run as right and wrong."""

    def __init__(
        self,
        stream: Stream,
        log: RunLog,
        judge: Judge,
        taught: bool,
        trained: frozenset[str] = frozenset(),
    ) -> None:
        """`taught` False: the model was asked only before the first day, and stays as it is. `trained` are
        the questions that were trained on, as `_squashed` writes them."""
        self._stream = stream
        self._trained = trained
        self._log = log
        self._judge = judge
        self._taught = taught
        self._set_of = {index: number for number, one in enumerate(stream.sets) for index in one}

    def answer(self, night: int, question: str) -> str | None:
        """What was answered, None when it was not asked."""
        return self._log.answers.get((night if self._taught else 0, question))

    def right(self, night: int, question: Question) -> bool | None:
        """Whether the answer is right by what was told until then; None where it was not asked, or where
        the question has lost its sense."""
        answer = self.answer(night, question.id)
        if answer is None:
            return None
        expected = self._stream.expected(question.fact, night)
        if question.form in ("reverse", "reverse_far"):
            fact = self._stream.facts[question.fact]
            return self._judge(fact.subject, answer, question.text) if fact.object == expected else None
        return self._judge(expected, answer, question.text) and not self.stale(night, question)

    def stale(self, night: int, question: Question) -> bool:
        """Whether the answer gives what held once and does not any more."""
        answer = self.answer(night, question.id) or ""
        stale = self._stream.stale(question.fact, night)
        return any(self._judge(old, answer, question.text) for old in stale)

    def questions(self, form: Form) -> list[Question]:
        """All of one form; paraphrases and reverse questions without those trained word for word."""
        asked = [question for one in self._stream.sets for question in self._stream.questions(one, form)]
        if form not in ("paraphrase", "reverse"):
            return asked
        return [question for question in asked if _squashed(question.text) not in self._trained]

    def marks(self, form: Form) -> Marks:
        """All questions of one form."""
        questions = self.questions(form)
        rows = []
        for night in range(self._stream.nights + 1):
            found = {question.id: self.right(night, question) for question in questions}
            rows.append({name: value for name, value in found.items() if value is not None})
        named = [(one.id, self._set_of[one.fact], one.fact) for one in questions]
        return Marks.of(rows, named, self._stream.changed)


def sum_up(
    settings: Settings,
    stream: Stream,
    options: C2wOptions,
    log: RunLog,
    end: Finished,
    judge: Judge,
    model: str,
) -> dict[str, Any]:
    """The whole result, ready for JSON."""
    trained = frozenset(_squashed(way.question) for lesson in end.lessons for way in lesson.trained)
    judged = Judged(stream, log, judge, options.method != "base", trained)
    near, reverse, reverse_far = (judged.marks(form) for form in ("near", "reverse", "reverse_far"))
    by_form = {form: judged.marks(form) for form in ("paraphrase", "far")}
    scored = by_form[options.scored]
    last = stream.nights

    def measure(marks: Marks, weights: Any = None) -> dict[str, float]:
        plain = near.of_facts(weights, last)
        return {
            **figures(marks, weights),
            "paraphrase_gap": plain - marks.of_facts(weights, last),
            "reverse_recall": reverse.of_facts(weights, last),
            "reverse_far_recall": reverse_far.of_facts(weights, last),
        }

    retained = known_facts(scored, last) - known_facts(scored, 0)
    result: dict[str, Any] = {
        "benchmark": "c2w",
        "method": options.method,
        "model": model,
        "scored": options.scored,
        **measure(scored),
        "general_nll_change": general_change(log, options),
        "intervals": intervals(scored, measure, seed=options.seed),
        "near_recall": near.of_facts(None, last),
        "R": matrix(scored).tolist(),
        "by_form": {
            form: {**measure(marks), "R": matrix(marks).tolist(), "questions": len(marks.facts)}
            for form, marks in by_form.items()
        },
        "facts": {
            "told": len({index for one in stream.sets for index in one}),
            "right_before": len(known_facts(scored, 0)),
            "right_after": len(known_facts(scored, last)),
            "retained": len(retained),
            "by_relation": _by(stream, scored, lambda index: stream.facts[index].relation),
            "by_sort": _by(stream, scored, lambda i: "convention" if stream.facts[i].convention else "fact"),
            "by_channel": _by(stream, scored, lambda index: stream.told(index)[0].channel),
        },
        "corrections": _corrections(stream, judged, options.scored),
        "neighbours": _neighbours(stream, judged),
        "unrelated": _unrelated(stream, judged),
        "general_nll": {
            "before": log.figures.get("text_before"),
            "after": log.figures.get("text_after"),
            "exams": [_guard(report, "text") for report in end.reports],
        },
        "cost": _cost(end.reports, len(retained), log),
        "lost": _lost(stream, scored, end),
        "seen": _seen(stream, end.lessons, trained),
        "nights": [_night(report) for report in end.reports],
        "options": {**options.model_dump(), "budget_in_force": options.tokens},
        "settings": settings.model_dump(exclude={"tui", "policy", "sandbox", "agent"}),
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": {**detect().model_dump(), "processor": _processor(), "system": platform.system()},
        "wrong": _wrong(stream, judged, options.scored),
        "marks": pack(scored),
    }
    plain: dict[str, Any] = _plain(result)
    return plain


def general_change(log: RunLog, options: C2wOptions) -> float | None:
    """Relative change of the NLL of general text; None when it could not be measured."""
    before, after = log.figures.get("text_before"), log.figures.get("text_after")
    if not options.trains:
        return 0.0
    return after / before - 1 if before and after else None


def pack(marks: Marks) -> dict[str, Any]:
    """Marks in few characters: one word a question, `1` right, `0` wrong, `-` not asked, by night."""
    words = [
        "".join("-" if math.isnan(value) else str(int(value)) for value in column) for column in marks.right.T
    ]
    return {
        "right": words,
        "sets": marks.sets.tolist(),
        "facts": marks.facts.tolist(),
        "changed": [int(value) for value in marks.changed],
    }


def unpack(packed: Mapping[str, Any]) -> Marks:
    """The marks again."""
    import numpy as np

    values = {"1": 1.0, "0": 0.0, "-": math.nan}
    return Marks(
        np.array([[values[char] for char in word] for word in packed["right"]], dtype=float).T,
        np.array(packed["sets"], dtype=np.int64),
        np.array(packed["facts"], dtype=np.int64),
        np.array(packed["changed"], dtype=np.bool_),
    )


def _by(stream: Stream, marks: Marks, key: Callable[[int], str]) -> dict[str, float]:
    found: dict[str, list[float]] = defaultdict(list)
    for fact, right in zip(marks.facts.tolist(), marks.right[-1].tolist(), strict=True):
        if not math.isnan(right):
            found[key(fact)].append(right)
    return {name: sum(values) / len(values) for name, values in sorted(found.items())}


def _corrections(stream: Stream, judged: Judged, form: Form) -> dict[str, Any]:
    """Facts that were told otherwise later on: whether the newest counts."""
    questions = stream.questions(sorted(stream.changed), form)
    last = stream.nights
    asked = [one for one in questions if judged.answer(last, one.id) is not None]
    return {
        "facts": len(stream.changed),
        "right": _share([judged.right(last, one) is True for one in asked]),
        "stale": _share([judged.stale(last, one) for one in asked]),
    }


def _neighbours(stream: Stream, judged: Judged) -> list[dict[str, Any]]:
    """After each night: answers about strangers that name something, and those that name something told."""
    everything = [question for one in stream.sets for question in stream.questions(one, "neighbour")]
    rows = []
    for night in range(stream.nights + 1):
        told: dict[str, set[str]] = defaultdict(set)
        for telling in stream.tellings:
            if telling.day <= night:
                told[stream.facts[telling.fact].relation].add(telling.object)
        answers = [(one, judged.answer(night, one.id)) for one in everything]
        asked = [(one, answer) for one, answer in answers if answer is not None]
        rows.append(
            {
                "night": night,
                "asked": len(asked),
                "confident": _share([is_confident(answer) for _, answer in asked]),
                "told_to_others": _share(
                    [
                        bool(intruders(answer, "", one.text, told[stream.facts[one.fact].relation]))
                        for one, answer in asked
                    ]
                ),
            }
        )
    return rows


def _unrelated(stream: Stream, judged: Judged) -> dict[str, Any]:
    """Answers to unrelated prompts, before and after: what was told must not show up."""
    ordinary = {
        telling.object
        for telling in stream.tellings
        if (known := stream.facts[telling.fact].known) is not None
        and (not isinstance(RELATIONS[known].objects, str) or RELATIONS[known].objects in _ORDINARY)
    }
    names = stream.names() - ordinary
    last = stream.nights
    found, ordinary_found, same, words = [], 0, 0, [0, 0]
    asked = 0
    for number, prompt in enumerate(PROMPTS):
        before = judged.answer(0, f"unrelated{number}")
        after = judged.answer(last, f"unrelated{number}")
        if before is None or after is None:
            continue
        asked += 1
        same += before == after
        words = [words[0] + len(before.split()), words[1] + len(after.split())]
        if seen := intruders(after, before, prompt, names):
            found.append({"prompt": prompt, "names": list(seen), "answer": after})
        ordinary_found += bool(intruders(after, before, prompt, ordinary))
    return {
        "prompts": asked,
        "intrusions": len(found),
        "ordinary_words": ordinary_found,
        "unchanged": same,
        "words_before": words[0],
        "words_after": words[1],
        "examples": found[:10],
    }


def _cost(reports: Sequence[NightReport], retained: int, log: RunLog) -> dict[str, Any]:
    """Tokens and seconds, in all, for each fact that stays, and from night to night."""
    kinds = Counter[str]()
    for report in reports:
        kinds.update(report.tokens)
    seconds = [report.seconds for report in reports]
    training = [report.stages.get("train", 0.0) for report in reports]
    trained = [float(report.tokens.get("trained", 0)) for report in reports]
    total = sum(total_tokens(report) for report in reports)
    changes = {}
    for name, values in (("seconds", seconds), ("training_seconds", training), ("trained_tokens", trained)):
        # without the first night, which has nothing to rehearse and finds nothing computed before
        change, relative = slope(values[1:])
        changes[name] = {"each_night": values, "slope": change, "relative_slope": relative}
    return {
        "tokens": dict(kinds),
        "total_tokens": total,
        "seconds": sum(seconds),
        "tokens_per_retained_fact": total / retained if retained else None,
        "seconds_per_retained_fact": sum(seconds) / retained if retained else None,
        "by_night": changes,
        "asking_seconds": log.asking_seconds,
    }


def _lost(stream: Stream, scored: Marks, end: Finished) -> dict[str, int]:
    """Where the facts that are wrong at the end were lost; the rest is `right`."""
    right = known_facts(scored, stream.nights)
    episodes: dict[str, list[str]] = defaultdict(list)
    for episode_id, text in end.episodes.items():
        episodes[text].append(episode_id)
    lessons: dict[str, list[Lesson]] = defaultdict(list)
    for lesson in end.lessons:
        lessons[lesson.episode_id].append(lesson)
    counts = Counter[str]()
    for index in (index for one in stream.sets for index in one):
        if index in right:
            counts["right"] += 1
            continue
        last = stream.told(index)[-1]
        mine = [
            lesson
            for episode in episodes[last.text]
            for lesson in lessons[episode]
            if last.object.casefold() in lesson.statement.casefold()
        ]
        if not mine:
            counts["no_lesson"] += 1
        elif not any(lesson.state == "approved" for lesson in mine):
            counts[f"lesson_{mine[0].state}"] += 1
        elif not any(lesson.id in end.learned for lesson in mine):
            counts["not_learned"] += 1
        else:
            counts["learned_but_wrong"] += 1
    return dict(counts)


def _seen(stream: Stream, lessons: Sequence[Lesson], everything: frozenset[str]) -> dict[str, Any]:
    """How near the trained phrasings came to the questions of each form: those that are the same, and the
    mean over questions of the largest share of words in common (Jaccard) with one of the same subject."""
    trained: dict[str, list[frozenset[str]]] = defaultdict(list)
    subjects = {stream.facts[index].subject for one in stream.sets for index in one}
    for lesson in lessons:
        for phrasing in lesson.trained:
            for subject in subjects:
                if subject in phrasing.question:
                    trained[subject].append(_words(phrasing.question))
    found: dict[str, Any] = {}
    for form in ("near", "paraphrase", "far", "reverse"):
        questions = [question for one in stream.sets for question in stream.questions(one, form)]
        nearest = []
        for question in questions:
            mine = _words(question.text)
            others = trained[stream.facts[question.fact].subject]
            nearest.append(max((len(mine & other) / len(mine | other) for other in others), default=0.0))
        found[form] = {
            "questions": len(questions),
            "trained_word_for_word": sum(_squashed(question.text) in everything for question in questions),
            "nearest_trained_overlap": sum(nearest) / len(nearest) if nearest else 0.0,
        }
    return found


def _wrong(stream: Stream, judged: Judged, form: Form) -> list[dict[str, str]]:
    """Some wrong answers of the last row, to be read."""
    last = stream.nights
    wrong = [one for one in judged.questions(form) if judged.right(last, one) is False]
    step = max(1, len(wrong) // _SHOWN_WRONG)
    return [
        {
            "question": one.text,
            "expected": stream.expected(one.fact, last),
            "answer": judged.answer(last, one.id) or "",
        }
        for one in wrong[::step][:_SHOWN_WRONG]
    ]


def _night(report: NightReport) -> dict[str, Any]:
    exam = report.exam
    return {
        "night": report.night,
        "outcome": report.outcome,
        "reason": report.reason,
        "seconds": report.seconds,
        "stages": report.stages,
        "tokens": report.tokens,
        "learned": len(report.learned),
        "adapter": report.adapter.id if report.adapter else None,
        "kind": report.adapter.kind if report.adapter else None,
        "exam": None
        if exam is None
        else {
            "passed": exam.passed,
            "reasons": exam.reasons,
            "scale": exam.scale,
            "new": exam.new.value,
            "reverse": exam.reverse.value,
            "old": exam.old.value,
            "guards": {guard.name: [guard.before, guard.after] for guard in exam.guards},
            "outcomes": dict(Counter(result.outcome for result in exam.lessons)),
        },
    }


def _guard(report: NightReport, name: str) -> list[float] | None:
    guards = report.exam.guards if report.exam is not None else ()
    return next(([guard.before, guard.after] for guard in guards if guard.name == name), None)


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def _squashed(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        return platform.processor()


def _plain(value: Any) -> Any:
    """JSON without NaN, figures short enough to read."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
