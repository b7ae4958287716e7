"""`nightschool bench c2w`: what is told by day, closed-book the morning after, over many nights.

Runs the product's own days and nights through its runtime, on a home of its own. Everything done is in the
run's folder, so that the same command goes on where it was killed. Old sets are asked in part while the
nights go by (`SAMPLE_FACTS` of each, always the same ones) and in full after the last.

Methods: `night` is the product; `naive`, `naive_same_data`, `replay`, `ewc`, `l2` and `joint` train otherwise
and are promoted without an exam; `retrieval` asks with memory on and never sleeps; `context` pastes
everything told so far before each question; `base` is asked and not taught.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Literal, get_args

import filelock

from agent.calls import RuntimeCalls, TaskRequest
from agent.config import Settings
from agent.connect import open_runtime
from agent.errors import LearningError, UsageError
from agent.events import Event, NightFinished, NightProgress, RunFinished
from agent.learning_calls import NightReport, NightRequest
from agent.sleep.items import TrainMethod
from benchmarks.facts import Form, Question
from benchmarks.run_log import RunLog
from benchmarks.stream import Stream, Style, Telling
from benchmarks.unrelated import PROMPTS
from memory.learning import Lesson
from memory.record import Record

Method = TrainMethod | Literal["retrieval", "context", "base"]
_TRAINING: tuple[TrainMethod, ...] = get_args(TrainMethod)
METHODS: tuple[Method, ...] = (*_TRAINING, "retrieval", "context", "base")

SAMPLE_FACTS = 10
"""Facts of an old or coming set that are asked about while the nights go by."""
NEIGHBOURS = 30
"""Questions about strangers after each night."""
TOKENS_PER_FACT = 12_000
"""What `night` may spend on a fact in all (generated, teacher and trained) with the default settings: the
budget of the other methods unless one is given. An estimate, not a measurement: 10 phrasings of about 60
tokens, 8 passes, half of the trained tokens for new lessons make 9,600, and about 2,000 go into making them.
For a fair comparison run `night` first and give its `total_tokens` as --budget."""
_OVERHEAD_PER_FACT = 2_000
"""Of which generated and teacher tokens, assumed before the first night has shown it."""
_CHUNK = 64
_TALK_STEPS = 4
# who knows says so in the first sentence; one that talks on would hold up the others of its batch
_ANSWER_TOKENS = 64
_POLL_SECONDS = 60.0
_SAY_SECONDS = 20.0

Say = Callable[[str], None]
OpenRuntime = Callable[[Path, Settings], AbstractAsyncContextManager[RuntimeCalls]]


class C2wOptions(Record):
    """What one run is."""

    method: Method = "night"
    """What teaches."""
    nights: int = 5
    """How many."""
    per_night: int = 10
    """Facts first told on each day."""
    seed: int = 0
    """Of the facts, the talk, and the training."""
    order: int | None = None
    """Shuffles the order in which facts arrive."""
    style: Style = "triples"
    """How they are told."""
    budget: int | None = None
    """Tokens of all nights together: generated, teacher and trained. None: `night` has no limit, the other
    methods get what it would spend."""
    facts: str = ""
    """Digest of the facts' file; empty for the generator."""

    @property
    def scored(self) -> Form:
        """The questions that R, ACC and the like are about: facts that were told plainly are asked for in
        other words, and what was said in passing in words far from those."""
        return "far" if self.style == "conversation" else "paraphrase"

    @property
    def trains(self) -> bool:
        """Whether there are nights."""
        return self.method in _TRAINING

    @property
    def tokens(self) -> int:
        """The budget in force; 0 is none."""
        if self.budget is not None:
            return self.budget
        return 0 if self.method == "night" else TOKENS_PER_FACT * self.nights * self.per_night


class Finished(Record):
    """What a run leaves besides its log."""

    reports: tuple[NightReport, ...]
    """Cards of the nights, in order."""
    lessons: tuple[Lesson, ...]
    """All lessons, newest first."""
    learned: tuple[str, ...]
    """Lessons in the serving adapter."""
    episodes: dict[str, str]
    """What the user said first in each episode, by id."""
    adapter: str | None
    """Serving at the end."""


async def run_c2w(
    settings: Settings,
    stream: Stream,
    options: C2wOptions,
    folder: Path,
    say: Say,
    open_home: OpenRuntime = open_runtime,
) -> tuple[RunLog, Finished]:
    """Run, or go on with, one benchmark in its folder. Raises UsageError when another process is at it, and
    LearningError when a night breaks."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with filelock.FileLock(folder / "run.lock", timeout=0):
            log = RunLog(folder / "run.jsonl")
            async with open_home(folder / "home", bench_settings(settings, stream)) as runtime:
                run = _Run(runtime, stream, options, log, say)
                await run.go()
                return log, await run.finished()
    except filelock.Timeout as error:
        raise UsageError(
            f"Another process is running this very benchmark in {folder}. Wait for it, or change an option."
        ) from error


def bench_settings(settings: Settings, stream: Stream) -> Settings:
    """The settings in force, but that no night begins by itself, nobody has to approve, a whole day fits into
    one night, and a small model that repeats itself without end is cut off."""
    most = max(len(stream.day(day)) for day in range(1, stream.nights + 1))
    learning = settings.learning.model_copy(
        update={"review": "auto", "lessons_per_night": max(settings.learning.lessons_per_night, most)}
    )
    sleep = settings.sleep.model_copy(update={"schedule": "", "idle_minutes": 0})
    agent = settings.agent.model_copy(update={"turn_tokens": min(settings.agent.turn_tokens, _ANSWER_TOKENS)})
    return settings.model_copy(update={"learning": learning, "sleep": sleep, "agent": agent})


class Row:
    """Which questions are asked after a night."""

    def __init__(self, stream: Stream, seed: int) -> None:
        self._stream = stream
        source = random.Random(f"sample-{seed}")
        self._samples = [
            tuple(sorted(source.sample(one, min(SAMPLE_FACTS, len(one))))) for one in stream.sets
        ]
        everything = [index for one in stream.sets for index in one]
        self._strangers = tuple(sorted(source.sample(everything, min(NEIGHBOURS, len(everything)))))

    def __call__(self, night: int) -> tuple[Question, ...]:
        """In full: row 0, the newest set, and the last row. In part: older sets, and the next one."""
        stream, last = self._stream, self._stream.nights
        full = night in (0, last)
        asked: list[Question] = []
        for number, one in enumerate(stream.sets, 1):
            if number <= night + 1 or full:
                some = one if full or number == night else self._samples[number - 1]
                asked += stream.questions(some, "paraphrase") + stream.questions(some, "far")
            if night and (night == last or number == night):
                asked += stream.questions(one, "near")
            if night and night == last:
                asked += stream.questions(one, "reverse") + stream.questions(one, "reverse_far")
        asked += stream.questions(self._strangers, "neighbour")
        if full:
            asked += [
                Question(id=f"unrelated{number}", fact=-1, form="unrelated", text=prompt)
                for number, prompt in enumerate(PROMPTS)
            ]
        return tuple(asked)


class _Run:
    def __init__(
        self, runtime: RuntimeCalls, stream: Stream, options: C2wOptions, log: RunLog, say: Say
    ) -> None:
        self._runtime = runtime
        self._stream = stream
        self._options = options
        self._log = log
        self._say = say
        self._row = Row(stream, options.seed)

    async def go(self) -> None:
        """All days and nights that are not done yet."""
        await self._ask(0)
        if self._options.method == "base":
            return
        said = {turn.user.content for e in await self._runtime.episodes(1_000_000) for turn in e.turns}
        for day in range(1, self._stream.nights + 1):
            for telling in self._stream.day(day):
                if telling.text not in said:
                    await self._tell(telling)
            if self._options.trains:
                await self._sleep(day)
            await self._ask(day)

    async def finished(self) -> Finished:
        """What the home holds at the end."""
        runtime = self._runtime
        reports = [await runtime.report(night) for _, night in sorted(self._log.nights.items())]
        episodes = await runtime.episodes(1_000_000)
        return Finished(
            reports=tuple(reports),
            lessons=tuple(await runtime.lessons()) if self._options.trains else (),
            learned=tuple(await runtime.learned()) if self._options.trains else (),
            episodes={episode.id: episode.task for episode in episodes},
            adapter=(await runtime.status()).adapter,
        )

    async def _tell(self, telling: Telling) -> None:
        if telling.channel == "note":
            await self._runtime.remember(telling.text)
            return
        episode_id = await self._runtime.submit(
            TaskRequest(text=telling.text, kind="conversation", max_steps=_TALK_STEPS, approve="deny")
        )
        async with contextlib.aclosing(self._runtime.events(episode_id)) as events:
            async for event in events:
                if isinstance(event, RunFinished) and event.episode_id == episode_id:
                    return

    async def _sleep(self, day: int) -> None:
        """The night after a day, unless it is over already."""
        report = await self._report(self._log.nights.get(day))
        if report is not None and report.outcome not in ("error", "stopped"):
            return
        request = NightRequest(
            method=self._options.method,  # type: ignore[arg-type]
            max_trained_tokens=await self._trained_tokens(day),
            exam=self._options.method == "night",
            seed=self._options.seed,
        )
        report = await self._one_night(day, request)
        took = f"{report.seconds:.0f} s, {len(report.learned)} learned, tokens {report.tokens}"
        self._say(f"night {day}: {report.outcome} {report.reason} ({took})")
        if report.outcome in ("error", "stopped"):
            raise LearningError(
                f"Night {day} did not end well: {report.reason or report.outcome}. Run the same command "
                "again to try it once more."
            )

    async def _one_night(self, day: int, request: NightRequest) -> NightReport:
        async with contextlib.aclosing(self._runtime.events()) as events:
            ended = asyncio.create_task(self._watch(day, events))
            await asyncio.sleep(0)  # listening before there is anything to hear
            try:
                night = await self._runtime.sleep(request)
                self._log.begun(day, night)
                report: NightReport | None = None
                while report is None:
                    # asked for now and then too: an event may get lost, a report does not
                    await asyncio.wait({ended}, timeout=_POLL_SECONDS)
                    report = await self._report(night)
                    if report is None and ended.done():
                        ended.result()
                        await asyncio.sleep(0.1)
                return report
            except asyncio.CancelledError:
                # Ctrl+C: else the home would wait for the night's end before it lets go
                await self._runtime.stop_sleep()
                raise
            finally:
                ended.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await ended

    async def _watch(self, day: int, events: AsyncGenerator[Event, None]) -> None:
        told, stage = 0.0, ""
        async for event in events:
            if isinstance(event, NightFinished):
                return
            if isinstance(event, NightProgress):
                now = time.monotonic()
                if event.stage != stage or now - told > _SAY_SECONDS:
                    told, stage = now, event.stage
                    share = f" {event.done:g}/{event.total:g}" if event.total else ""
                    loss = f" loss {event.loss:.3f}" if event.loss is not None else ""
                    speed = f" {event.tokens_per_second:.0f} tokens/s" if event.tokens_per_second else ""
                    self._say(f"night {day}: {event.stage}{share}{loss}{speed} {event.text}".rstrip())

    async def _report(self, night: str | None) -> NightReport | None:
        if night is None:
            return None
        try:
            return await self._runtime.report(night)
        except UsageError:
            return None

    async def _trained_tokens(self, day: int) -> int:
        """This night's share of what is left of the budget, less what making lessons costs; 0 is no limit."""
        if not self._options.tokens:
            return 0
        before = [await self._report(night) for d, night in sorted(self._log.nights.items()) if d < day]
        spent = sum(total_tokens(report) for report in before if report is not None)
        share = (self._options.tokens - spent) // (self._stream.nights - day + 1)
        last = before[-1] if before else None
        overhead = (
            total_tokens(last) - last.tokens.get("trained", 0)
            if last is not None
            else _OVERHEAD_PER_FACT * len(self._stream.sets[day - 1])
        )
        return max(1, share - overhead)

    async def _ask(self, night: int) -> None:
        left = [one for one in self._row(night) if (night, one.id) not in self._log.answers]
        for start in range(0, len(left), _CHUNK):
            part = left[start : start + _CHUNK]
            began = time.monotonic()
            answers = await self._answers(night, part)
            took = time.monotonic() - began
            self._log.answered(
                night, {one.id: answer for one, answer in zip(part, answers, strict=True)}, took
            )
            self._say(f"after night {night}: {start + len(part)}/{len(left)} questions, {took:.0f} s")

    async def _answers(self, night: int, questions: Sequence[Question]) -> list[str]:
        if self._options.method == "context" and night:
            before = "\n".join(f"- {t.text}" for t in self._stream.tellings if t.day <= night)
            # what is told stands first: that part of the prompt is then computed only once
            return [
                (await self._runtime.ask(f"These are my notes:\n{before}\n\n{one.text}", memory=False)).answer
                for one in questions
            ]
        memory = self._options.method == "retrieval" and night > 0
        found = await self._runtime.ask_many(tuple(one.text for one in questions), memory=memory)
        return [answer.answer for answer in found]


def total_tokens(report: NightReport) -> int:
    """Tokens that count against the budget."""
    return sum(report.tokens.get(kind, 0) for kind in ("generated", "teacher", "trained"))
