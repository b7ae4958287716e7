"""`nightschool bench squad`: passages read by day, asked about without them after the night.

Follows the continual protocol of SEAL (Zweiger et al., "Self-Adapting Language Models", 2025): passages are
learned one after another into one model, and after each update the questions of all passages so far are
asked closed-book. Runs the product's own nights on a home of its own. No judge model is at hand, so an answer
counts when it holds the gold answer after SQuAD's normalisation; word F1 stands beside it (Rajpurkar et al.
2016). What is done is in the run's folder: the same command goes on where it was killed.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import json
import re
import shutil
import string
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import filelock

from agent.calls import RuntimeCalls
from agent.config import Settings, cache_dir
from agent.connect import open_runtime
from agent.errors import LearningError, UsageError
from agent.learning_calls import NightReport, NightRequest
from agent.sleep.noise import rate
from benchmarks.run_log import RunLog
from memory.record import Record

Say = Callable[[str], None]
OpenRuntime = Callable[[Path, Settings], AbstractAsyncContextManager[RuntimeCalls]]

_CHUNK = 64
_POLL_SECONDS = 1.0
_OPEN_BOOK = "open:"


class Asked(Record):
    """One question of a passage."""

    id: str
    """`PASSAGE.QUESTION`, both counted from 0."""
    question: str
    """As published."""
    answers: tuple[str, ...]
    """Gold answers."""


class Passage(Record):
    """One passage with its questions."""

    title: str
    """Of the article it is from."""
    text: str
    """The passage."""
    questions: tuple[Asked, ...]
    """Each asked once, however often it stands in the file."""


class SquadOptions(Record):
    """What one run is."""

    passages: int = 8
    """How many, from the beginning of the file."""
    per_night: int = 1
    """Passages read on one day."""
    seed: int = 0
    """Of the training."""
    digest: str = ""
    """Of the file."""


def read_passages(path: Path, count: int) -> list[Passage]:
    """The first passages of a file as SEAL publishes it. Raises UsageError."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {(error.strerror or str(error)).lower()}.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}.") from error
    if not isinstance(rows, list) or not rows:
        raise UsageError(f"{path} is no list of passages with `title`, `context` and `questions`.")
    found = []
    for number, row in enumerate(rows[:count]):
        try:
            found.append(_passage(number, row))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"Passage {number + 1} of {path} needs `title`, `context` and `questions`: {error!r}."
            ) from error
    return found


def _passage(number: int, row: dict[str, Any]) -> Passage:
    golds: dict[str, list[str]] = {}
    for one in row["questions"]:
        answer = one.get("answer", one.get("answers"))
        golds.setdefault(one["question"].strip(), []).extend([answer] if isinstance(answer, str) else answer)
    return Passage(
        title=row.get("title", ""),
        text=row["context"].strip(),
        questions=tuple(
            Asked(id=f"{number}.{place}", question=question, answers=tuple(dict.fromkeys(answers)))
            for place, (question, answers) in enumerate(golds.items())
        ),
    )


def normalised(text: str) -> list[str]:
    """Words as SQuAD's evaluation compares them: lower case, no punctuation, no articles."""
    bare = "".join(" " if char in "-–—" else char for char in text.lower())
    bare = "".join(char for char in bare if char not in string.punctuation)
    return re.sub(r"\b(?:a|an|the)\b", " ", bare).split()


def holds(answer: str, golds: Sequence[str]) -> bool:
    """Whether an answer contains a gold answer, word for word."""
    said = f" {' '.join(normalised(answer))} "
    return any(f" {' '.join(normalised(gold))} " in said for gold in golds if normalised(gold))


def f1(answer: str, golds: Sequence[str]) -> float:
    """Best word F1 against any gold answer."""
    return max((_f1(normalised(answer), normalised(gold)) for gold in golds), default=0.0)


def _f1(said: list[str], gold: list[str]) -> float:
    common = sum((collections.Counter(said) & collections.Counter(gold)).values())
    return 2 * common / (len(said) + len(gold)) if common else 0.0


class SquadSession:
    """One run from options to result, and the folder in which it can go on."""

    def __init__(self, settings: Settings, options: SquadOptions, path: Path) -> None:
        """Raises UsageError for a file that cannot be used."""
        self.passages = read_passages(path, options.passages)
        self.options = options.model_copy(
            update={
                "passages": len(self.passages),
                "digest": hashlib.sha256(path.read_bytes()).hexdigest()[:16],
            }
        )
        learning = settings.learning.model_copy(update={"review": "auto", "lessons_per_night": 1000})
        sleep = settings.sleep.model_copy(update={"schedule": "", "idle_minutes": 0})
        self.settings = settings.model_copy(update={"learning": learning, "sleep": sleep})
        what = [self.options.model_dump(), self.settings.model_dump(mode="json", exclude={"tui", "policy"})]
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = cache_dir() / "bench" / f"squad-{digest}"

    @property
    def home(self) -> Path:
        """The run's own home."""
        return self.folder / "home"

    @property
    def begun(self) -> bool:
        """Whether there is a run to go on from."""
        return (self.folder / "run.jsonl").exists()

    def remove(self) -> None:
        """Take the run's folder away."""
        shutil.rmtree(self.folder, ignore_errors=True)

    async def run(self, say: Say, open_home: OpenRuntime = open_runtime) -> dict[str, Any]:
        """Do what is not done yet and sum up. Raises UsageError and LearningError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with filelock.FileLock(self.folder / "run.lock", timeout=0):
                log = RunLog(self.folder / "run.jsonl")
                async with open_home(self.home, self.settings) as runtime:
                    return await _Run(runtime, self, log, say).go()
        except filelock.Timeout as error:
            raise UsageError(
                f"Another process is running this very benchmark in {self.folder}. Wait for it, or change an "
                "option."
            ) from error


class _Run:
    def __init__(self, runtime: RuntimeCalls, session: SquadSession, log: RunLog, say: Say) -> None:
        self._runtime = runtime
        self._options = session.options
        self._passages = session.passages
        self._log = log
        self._say = say

    @property
    def _nights(self) -> int:
        return -(-len(self._passages) // self._options.per_night)

    def _day(self, day: int) -> list[int]:
        first = (day - 1) * self._options.per_night
        return list(range(first, min(first + self._options.per_night, len(self._passages))))

    async def go(self) -> dict[str, Any]:
        everything = range(len(self._passages))
        await self._ask(0, everything)
        await self._ask(0, everything, open_book=True)
        said = {turn.user.content for e in await self._runtime.episodes(1_000_000) for turn in e.turns}
        reports = []
        for day in range(1, self._nights + 1):
            for number in self._day(day):
                if self._passages[number].text not in said:
                    await self._runtime.remember(self._passages[number].text)
            reports.append(await self._sleep(day))
            await self._ask(day, range(self._day(day)[-1] + 1))
        return self._sum_up(reports)

    async def _ask(self, night: int, passages: Sequence[int], open_book: bool = False) -> None:
        texts: dict[str, str] = {}
        for number in passages:
            passage = self._passages[number]
            for one in passage.questions:
                key = f"{_OPEN_BOOK}{one.id}" if open_book else one.id
                if (night, key) not in self._log.answers:
                    texts[key] = f"{passage.text}\n\n{one.question}" if open_book else one.question
        keys = list(texts)
        for start in range(0, len(keys), _CHUNK):
            part = keys[start : start + _CHUNK]
            began = time.monotonic()
            found = await self._runtime.ask_many(tuple(texts[key] for key in part), memory=False)
            answers = {key: answer.answer for key, answer in zip(part, found, strict=True)}
            self._log.answered(night, answers, time.monotonic() - began)
            self._say(f"after night {night}: {start + len(part)}/{len(keys)} questions")

    async def _sleep(self, day: int) -> NightReport:
        """The night after a day, unless it is over already."""
        report = await self._report(self._log.nights.get(day))
        if report is None or report.outcome in ("error", "stopped"):
            night = await self._runtime.sleep(NightRequest(seed=self._options.seed))
            self._log.begun(day, night)
            report = await self._wait(night)
            self._say(f"night {day}: {report.outcome} {report.reason} ({report.seconds:.0f} s)")
        if report.outcome in ("error", "stopped"):
            raise LearningError(
                f"Night {day} did not end well: {report.reason or report.outcome}. Run the same command "
                "again to try it once more."
            )
        return report

    async def _wait(self, night: str) -> NightReport:
        """The night's report, which is there once it is over; events may get lost, a report does not."""
        report = await self._report(night)
        while report is None:
            await asyncio.sleep(_POLL_SECONDS)
            report = await self._report(night)
        return report

    async def _report(self, night: str | None) -> NightReport | None:
        if night is None:
            return None
        try:
            return await self._runtime.report(night)
        except UsageError:
            return None

    def _sum_up(self, reports: Sequence[NightReport]) -> dict[str, Any]:
        last = self._nights
        first_night = {number: day for day in range(1, last + 1) for number in self._day(day)}
        rows = [
            [self._share(night, [number]) for number in range(len(self._passages))]
            for night in range(last + 1)
        ]
        everything = range(len(self._passages))
        right = [holds(answer, golds) for answer, golds in self._answers(last, everything)]
        share = rate(sum(right), len(right))
        own = [rows[first_night[number]][number] or 0.0 for number in everything]
        kept = [rows[last][number] or 0.0 for number in everything]
        return {
            "passages": len(self._passages),
            "questions": len(right),
            "per_night": self._options.per_night,
            "seed": self._options.seed,
            "R": rows,
            "accuracy": share.value,
            "interval": [share.low, share.high],
            "F1": self._f1(last),
            "before": {"accuracy": self._share(0, everything), "F1": self._f1(0)},
            "open_book": {
                "accuracy": self._share(0, everything, _OPEN_BOOK),
                "F1": self._f1(0, _OPEN_BOOK),
            },
            "after_its_own_night": sum(own) / len(own),
            "forgetting": sum(a - b for a, b in zip(own, kept, strict=True)) / len(own),
            "nights": [
                {"outcome": r.outcome, "seconds": r.seconds, "learned": len(r.learned), "tokens": r.tokens}
                for r in reports
            ],
        }

    def _answers(
        self, night: int, passages: Sequence[int], prefix: str = ""
    ) -> list[tuple[str, tuple[str, ...]]]:
        return [
            (self._log.answers[night, f"{prefix}{one.id}"], one.answers)
            for number in passages
            for one in self._passages[number].questions
            if (night, f"{prefix}{one.id}") in self._log.answers
        ]

    def _share(self, night: int, passages: Sequence[int], prefix: str = "") -> float | None:
        found = [holds(answer, golds) for answer, golds in self._answers(night, passages, prefix)]
        return sum(found) / len(found) if found else None

    def _f1(self, night: int, prefix: str = "") -> float:
        found = [
            f1(answer, golds) for answer, golds in self._answers(night, range(len(self._passages)), prefix)
        ]
        return sum(found) / len(found) if found else 0.0
