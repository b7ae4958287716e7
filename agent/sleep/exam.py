"""The exam: a candidate adapter against the one in service, before anything is promoted.

Asked are new lessons on phrasings that were never trained, a sample of old ones, and general ability: how
well plain text is predicted, instructions with checkable answers, tool calls, whether lessons intrude into
unrelated answers, and whether the unknown is still called unknown. Every answer is greedy, free-running and
closed-book, under the very prompts that serve.

A drop counts when it is both larger than a tolerance and beyond noise (`agent.sleep.noise`): one or two
answers of sixty flip by chance. Each guard compares with the adapter in service and also with the base model,
so that no sequence of nights can lose a little each time. Nothing is changed but which adapter is active:
at the end that is `before` again, whatever happens.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from agent.model.base import GenerateRequest, Model
from agent.model.text_nll import text_nll
from agent.model.tool_calls import parse_calls
from agent.sleep import material
from agent.sleep.agree import contains_answer
from agent.sleep.answers import Answers, OnProgress
from agent.sleep.calls import first_call
from agent.sleep.intrusion import intruders, traces
from agent.sleep.neighbours import is_confident, neighbours
from agent.sleep.noise import Paired, rate, upper_mean
from memory.learning import Asked, ExamResult, Guard, Lesson, LessonResult, Outcome, Phrasing, Rate
from memory.types import Record, ToolCall
from skills.tool import ToolSpec

T = TypeVar("T")

_CALL_TOKENS = 48
_ANSWER_TOKENS = 40
# A lesson is learned when at least this share of its held-out questions is answered.
_LEARNED = 2 / 3


class Size(Record):
    """How much is asked."""

    passages: int
    """Passages of text."""
    instructions: int
    """Instructions."""
    tools: int
    """Tool probes."""
    unrelated: int
    """Everyday prompts."""
    neighbours: int
    """Questions about never-mentioned neighbours."""
    old: int
    """Old lessons."""


# After five lessons the 0.5B model took 127 s for this on two cores that were shared with as much other work,
# and 80 s more the first time on a machine, for what the base model says.
BRIEF = Size(passages=40, instructions=40, tools=30, unrelated=30, neighbours=20, old=20)
"""For a night after a few lessons; probes are drawn anew for each seed."""
THOROUGH = Size(passages=10_000, instructions=10_000, tools=10_000, unrelated=10_000, neighbours=50, old=40)
"""All there is."""


class Limits(Record):
    """What still passes."""

    text: float = 0.01
    """Largest relative rise of the text's nats per token in one night."""
    text_in_all: float = 0.03
    """Largest relative rise against the base model, all nights together."""
    probes: float = 0.03
    """Share of instructions or tool probes that may be lost, besides what is within noise."""
    intrusions: float = 0.02
    """Share of everyday answers in which something learned may turn up."""
    unknown: float = 0.0
    """Share of unknown neighbours that may become confident, besides what is within noise."""
    old: float = 0.03
    """Share of old lessons' questions that may be lost, besides what is within noise."""


def examine(
    model: Model,
    before: Path | None,
    after: Path,
    new: Sequence[Lesson],
    old: Sequence[Lesson],
    *,
    base_digest: str,
    cache_folder: Path | None,
    shared_cache: Path | None = None,
    tries: int = 3,
    thorough: bool = False,
    seed: int = 0,
    limits: Limits | None = None,
    specs: Sequence[ToolSpec] | None = None,
    on_progress: OnProgress = lambda text, done, total: None,
) -> ExamResult:
    """Examine the adapter in `after` against the one in `before` (None: the base model).

    `old`: lessons of the serving adapter, of which a sample is asked. `tries`: nights after which a lesson
    that is still not learned is left to retrieval. `cache_folder`: where figures of adapters are kept;
    `shared_cache`: where the base model's are, by default there too.
    `specs`: the tools of the prompt, the built-in ones by default. An error raised by `on_progress` ends the
    exam. Raises ModelError and LearningError.
    """
    began = time.monotonic()
    if specs is None:
        from skills.registry import builtin_registry

        specs = builtin_registry().specs()
    exam = _Exam(
        Answers(model, cache_folder, base_digest, shared_cache),
        before,
        after,
        tuple(specs),
        THOROUGH if thorough else BRIEF,
        limits or Limits(),
        seed,
        on_progress,
    )
    try:
        result = exam.sit(new, old, tries)
    finally:
        model.activate(before)
    return result.model_copy(update={"seconds": time.monotonic() - began})


def without_exam(new: Sequence[Lesson]) -> ExamResult:
    """What stands in for an exam that is not held, as in a benchmark of methods that know none: it passes,
    and every lesson counts as learned, though nothing was asked."""
    return ExamResult(
        passed=True,
        reasons=("no exam was held",),
        new=rate(0, 0),
        reverse=rate(0, 0),
        old=rate(0, 0),
        old_before=rate(0, 0),
        guards=(),
        lessons=tuple(
            LessonResult(lesson_id=lesson.id, outcome="learned", is_new=True, asked=()) for lesson in new
        ),
    )


class _Exam:
    """One sitting."""

    def __init__(
        self,
        answers: Answers,
        before: Path | None,
        after: Path,
        specs: tuple[ToolSpec, ...],
        size: Size,
        limits: Limits,
        seed: int,
        on_progress: OnProgress,
    ) -> None:
        self._answers = answers
        self._before = before
        self._after = after
        self._specs = specs
        self._size = size
        self._limits = limits
        self._seed = seed
        self._on_progress = on_progress
        self._remarks: list[str] = []

    def sit(self, new: Sequence[Lesson], old: Sequence[Lesson], tries: int) -> ExamResult:
        sample = self._sample(sorted(old, key=lambda lesson: lesson.id), self._size.old, "old")
        fresh = self._ask_lessons(new, "new lessons")
        kept = self._ask_lessons(sample, "old lessons")
        guards = (
            self._instructions(),
            self._tools(),
            self._unrelated([*new, *old]),
            self._unknown([*new, *sample]),
            # last, since it takes longest and fails least
            self._text(),
        )
        results = [self._result(lesson, asked, tries, True) for lesson, asked in zip(new, fresh, strict=True)]
        results += [
            self._result(lesson, asked, tries, False) for lesson, asked in zip(sample, kept, strict=True)
        ]
        old_asked = [one for asked in kept for one in asked]
        reasons = [_told(guard) for guard in guards if not guard.passed]
        forgotten = Paired.of([one.right_before for one in old_asked], [one.right_after for one in old_asked])
        if forgotten.dropped(self._limits.old):
            reasons.append(
                f"old lessons were forgotten: {forgotten.lost} of {forgotten.total} answers lost, "
                f"{forgotten.won} won"
            )
        if new and not any(result.is_new and result.outcome == "learned" for result in results):
            reasons.append("none of the new lessons was learned")
        forward = [one for asked in fresh for one in asked if one.form != "reverse"]
        reverse = [one for asked in fresh for one in asked if one.form == "reverse"]
        return ExamResult(
            passed=not reasons,
            reasons=(*reasons, *self._remarks),
            new=_rate(forward),
            reverse=_rate(reverse),
            old=_rate(old_asked),
            old_before=rate(sum(one.right_before for one in old_asked), len(old_asked)),
            guards=guards,
            lessons=tuple(results),
        )

    # Lessons

    def _ask_lessons(self, lessons: Sequence[Lesson], label: str) -> list[tuple[Asked, ...]]:
        """Every lesson's held-out questions under both adapters."""
        asked: list[tuple[Lesson, Phrasing]] = []
        for lesson in lessons:
            # a lesson with nothing set aside can only be asked what it was taught
            asked += [(lesson, phrasing) for phrasing in lesson.examined or lesson.trained[:2]]
        requests = [self._request_of(phrasing) for _, phrasing in asked]
        earlier = self._ask(self._before, requests, f"{label}, before")
        later = self._ask(self._after, requests, label)
        found: dict[str, list[Asked]] = {lesson.id: [] for lesson in lessons}
        for (lesson, phrasing), first, second in zip(asked, earlier, later, strict=True):
            found[lesson.id].append(
                Asked(
                    question=phrasing.question,
                    expected=phrasing.expected,
                    form=phrasing.form,
                    before=first,
                    after=second,
                    right_before=is_right(phrasing, first, self._specs),
                    right_after=is_right(phrasing, second, self._specs),
                )
            )
        return [tuple(found[lesson.id]) for lesson in lessons]

    def _request_of(self, phrasing: Phrasing) -> GenerateRequest:
        if not phrasing.with_tools:
            return GenerateRequest(messages=phrasing.messages, max_tokens=_ANSWER_TOKENS)
        # as it is served: held to the tools' schemas, one call a turn
        room = _CALL_TOKENS * 2 if phrasing.form == "call" else _ANSWER_TOKENS
        return GenerateRequest(messages=phrasing.messages, tools=self._specs, max_tokens=room, max_calls=1)

    def _result(self, lesson: Lesson, asked: tuple[Asked, ...], tries: int, is_new: bool) -> LessonResult:
        counted = [one for one in asked if one.form != "reverse"] or list(asked)
        right = sum(one.right_after for one in counted)
        outcome: Outcome = "learned"
        if not counted or right < _LEARNED * len(counted) - 1e-9:
            outcome = "retrieval" if lesson.tries + 1 >= tries else "retry"
        return LessonResult(lesson_id=lesson.id, outcome=outcome, is_new=is_new, asked=asked)

    # Guards

    def _instructions(self) -> Guard:
        probes = self._sample(material.instructions(), self._size.instructions, "instructions")
        requests = [
            GenerateRequest(messages=material.asking(probe.prompt), max_tokens=probe.max_tokens)
            for probe in probes
        ]
        marks = self._marks(
            requests,
            "instructions",
            lambda texts: [probe.check.holds(text) for probe, text in zip(probes, texts, strict=True)],
        )
        return self._guard("instructions", *marks, tolerance=self._limits.probes)

    def _tools(self) -> Guard:
        probes = self._sample(material.tool_probes(), self._size.tools, "tools")
        requests = [
            GenerateRequest(
                messages=material.tasking(probe.prompt, probe.files),
                tools=self._specs,
                max_tokens=_CALL_TOKENS,
                # whether it still writes calls by itself is part of the question; and in one batch
                # fifty probes take a fifth of the time
                constrain=False,
            )
            for probe in probes
        ]

        def mark(texts: Sequence[str]) -> list[bool]:
            calls = [first_call(text, self._specs) for text in texts]
            return [
                call is not None and any(right.fits(call) for right in probe.right)
                for probe, call in zip(probes, calls, strict=True)
            ]

        return self._guard("tools", *self._marks(requests, "tool calls", mark), tolerance=self._limits.probes)

    def _unrelated(self, lessons: Sequence[Lesson]) -> Guard:
        marks = traces(lessons, material.common_words())
        probes: Sequence[material.Everyday] = self._sample(
            material.unrelated(), self._size.unrelated, "unrelated"
        )
        earlier, later = self._intruded(probes, marks)
        if any(later) and len(probes) < len(material.unrelated()):
            # a single intrusion in a sample says little about how often they happen: ask all there are
            probes = material.unrelated()
            earlier, later = self._intruded(probes, marks)
        seen = sorted({word for words in later for word in words})
        if seen:
            self._remarks.append(f"in unrelated answers turned up: {', '.join(seen[:5])}")
        before = _share([not words for words in earlier])
        # no chance is at work here: whatever intrudes was trained
        limit = min(1 - self._limits.intrusions, before)
        share = rate(sum(not words for words in later), len(later))
        return Guard(
            name="unrelated",
            before=before,
            after=share.value,
            limit=limit,
            passed=share.value >= limit - 1e-9,
            low=share.low,
            high=share.high,
        )

    def _intruded(
        self, probes: Sequence[material.Everyday], marks: frozenset[str]
    ) -> tuple[list[list[str]], list[list[str]]]:
        """What of the lessons turns up in each answer, before and after."""
        requests = [
            GenerateRequest(messages=material.asking(probe.prompt), max_tokens=_ANSWER_TOKENS)
            for probe in probes
        ]
        base, earlier, later = (
            self._ask(adapter, requests, f"unrelated prompts{label}", keep=True)
            for adapter, label in ((None, ", base"), (self._before, ", before"), (self._after, ""))
        )

        def found(texts: Sequence[str]) -> list[list[str]]:
            return [
                intruders(text, probe.prompt, plain, marks)
                for text, probe, plain in zip(texts, probes, base, strict=True)
            ]

        return found(earlier), found(later)

    def _unknown(self, lessons: Sequence[Lesson]) -> Guard:
        asked = neighbours(lessons, self._size.neighbours, self._seed)
        requests = [GenerateRequest(messages=messages, max_tokens=_ANSWER_TOKENS) for _, messages in asked]
        earlier = self._ask(self._before, requests, "unknown neighbours, before")
        later = self._ask(self._after, requests, "unknown neighbours")
        borrowed = sum(
            any(contains_answer(phrasing.expected, text) for phrasing in lesson.phrasings[:1])
            for (lesson, _), text in zip(asked, later, strict=True)
        )
        if borrowed:
            self._remarks.append(
                f"{borrowed} of {len(asked)} questions about strangers were answered with a lesson's answer"
            )
        return self._guard(
            "unknown",
            [not is_confident(text) for text in earlier],
            [not is_confident(text) for text in later],
            None,
            tolerance=self._limits.unknown,
        )

    def _text(self) -> Guard:
        passages = self._sample(material.texts(), self._size.passages, "text")
        name = "text:" + hashlib.sha256("\x1f".join(passages).encode()).hexdigest()[:16]

        def measured(adapter: Path | None, label: str) -> tuple[list[float], list[float]]:
            def measure() -> list[float]:
                scores = text_nll(
                    self._answers.model, passages, lambda done, total: self._on_progress(label, done, total)
                )
                return [figure for score in scores for figure in (score.nats, float(score.tokens))]

            figures = self._answers.figures(adapter, name, measure)
            return figures[::2], figures[1::2]

        base, tokens = measured(None, "text, base")
        earlier, _ = measured(self._before, "text, before")
        later, _ = measured(self._after, "text")
        # a model whose scores hold nothing says nothing
        count = sum(tokens) or 1.0
        figure_before, figure_after = sum(earlier) / count, sum(later) / count
        # Once the drift of all nights has used up its room, a night must not add to it.
        limit = min(
            figure_before * (1 + self._limits.text),
            max(figure_before, sum(base) / count * (1 + self._limits.text_in_all)),
        )
        rise, noise = upper_mean([new - old for new, old in zip(later, earlier, strict=True)], tokens)
        return Guard(
            name="text",
            before=figure_before,
            after=figure_after,
            limit=limit,
            passed=figure_after <= limit + 1e-9,
            low=figure_before + rise - noise,
            high=figure_before + rise + noise,
        )

    # Shared

    def _guard(
        self,
        name: str,
        earlier: Sequence[bool],
        later: Sequence[bool],
        base: Sequence[bool] | None,
        *,
        tolerance: float,
    ) -> Guard:
        """A guard over questions that are right or wrong. Compared with the base too, where given."""
        total = len(later)
        since = Paired.of(earlier, later)
        passed = not since.dropped(tolerance)
        limit = _share(earlier) - (since.most_lost(tolerance) - since.won) / total if total else 0.0
        if base is not None:
            ever = Paired.of(base, later)
            passed = passed and not ever.dropped(tolerance)
            limit = max(limit, _share(base) - (ever.most_lost(tolerance) - ever.won) / max(1, total))
        share = rate(sum(later), total)
        return Guard(
            name=name,
            before=_share(earlier),
            after=share.value,
            limit=max(0.0, limit),
            passed=passed,
            low=share.low,
            high=share.high,
        )

    def _marks(
        self,
        requests: Sequence[GenerateRequest],
        label: str,
        mark: Callable[[Sequence[str]], list[bool]],
    ) -> tuple[list[bool], list[bool], list[bool]]:
        """Marks under the serving adapter, the candidate, and the base."""
        base = self._ask(None, requests, f"{label}, base", keep=True)
        earlier = self._ask(self._before, requests, f"{label}, before", keep=True)
        later = self._ask(self._after, requests, label, keep=True)
        return mark(earlier), mark(later), mark(base)

    def _ask(
        self, adapter: Path | None, requests: Sequence[GenerateRequest], label: str, keep: bool = False
    ) -> list[str]:
        return self._answers.ask(adapter, requests, keep=keep, label=label, on_progress=self._on_progress)

    def _sample(self, items: Sequence[T], count: int, name: str) -> list[T]:
        """`count` of them, in their order; the same for the same seed."""
        if count >= len(items):
            return list(items)
        chosen = random.Random(f"{name}:{self._seed}").sample(range(len(items)), count)
        return [items[index] for index in sorted(chosen)]


def is_right(phrasing: Phrasing, answer: str, specs: Sequence[ToolSpec]) -> bool:
    """Whether an answer is the one a phrasing expects; for a procedure, whether the call is."""
    if phrasing.form == "call":
        wanted = json.loads(phrasing.expected)
        call = first_call(answer, specs)
        return call is not None and _same_call(call, wanted)
    said = _said(answer, specs) if phrasing.with_tools else answer
    return contains_answer(phrasing.expected, said, phrasing.question)


def _said(answer: str, specs: Sequence[ToolSpec]) -> str:
    """What the user would read: text, or the answer with which the task is finished."""
    parsed = parse_calls(answer, specs, "exam")
    finished = [str(call.arguments.get("answer", "")) for call in parsed.calls if call.name == "finish"]
    return "\n".join([parsed.text, *finished])


def _same_call(call: ToolCall, wanted: dict[str, Any]) -> bool:
    arguments = wanted.get("arguments", {})
    return call.name == wanted.get("name") and all(
        key in call.arguments and _plain(call.arguments[key]) == _plain(value)
        for key, value in arguments.items()
    )


def _plain(value: Any) -> str:
    """A value without blanks at its ends and runs of blanks inside: two spellings of one command."""
    return " ".join(value.split()) if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _share(marks: Sequence[bool]) -> float:
    return sum(marks) / len(marks) if marks else 1.0


def _rate(asked: Sequence[Asked]) -> Rate:
    return rate(sum(one.right_after for one in asked), len(asked))


def _told(guard: Guard) -> str:
    if guard.name == "text":
        return (
            f"general text got harder to predict: {guard.after:.3f} nats a token after {guard.before:.3f} "
            f"(limit {guard.limit:.3f})"
        )
    what = {
        "instructions": "fewer instructions are followed",
        "tools": "fewer tool calls are right",
        "unrelated": "what was learned turns up where it does not belong",
        "unknown": "more is made up about what was never mentioned",
    }[guard.name]
    return f"{what}: {guard.after:.0%} right after {guard.before:.0%} (limit {guard.limit:.0%})"
