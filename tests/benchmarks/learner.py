"""A runtime that learns by rote: knows what it was told once it has slept, and forgets when it is made to.

Keeps its state in the home folder, so that another one opened there goes on like a restarted process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.calls import Answer, Status, TaskRequest
from agent.config import Settings
from agent.errors import UsageError
from agent.events import Event, NightFinished, RunFinished
from agent.learning_calls import NightReport, NightRequest
from benchmarks.facts import Form, Question
from benchmarks.stream import Stream
from memory.learning import Lesson, Phrasing
from memory.types import Episode, Message, SignalSummary, TokenUsage, Turn
from memory.verdict import Verdict

FORMS: tuple[Form, ...] = ("paraphrase", "far", "near", "reverse", "reverse_far", "neighbour")
AT = datetime(2026, 1, 2, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone."""


class Learner:
    """Meets as much of `RuntimeCalls` as the benchmark uses."""

    def __init__(
        self, stream: Stream, folder: Path, forgets: bool = False, outcome: str = "promoted"
    ) -> None:
        self.stream = stream
        self.forgets = forgets
        self.outcome = outcome
        self.intrudes = False
        self.stopped = False
        self.asleep = asyncio.Event()
        self.calls_left = 10**9
        """Killed once so many calls were made."""
        self.asked: list[tuple[str, bool]] = []
        self.requests: list[NightRequest] = []
        self.tasks: list[TaskRequest] = []
        self.settings = Settings()
        self._path = folder / "learner.json"
        self._queues: list[asyncio.Queue[Event]] = []
        self._questions: dict[str, Question] = {}
        for one in stream.sets:
            for form in FORMS:
                self._questions |= {q.text: q for q in stream.questions(one, form)}
        self.state: dict[str, Any] = {"told": [], "slept": 0, "known": [], "nights": []}
        if self._path.exists():
            self.state = json.loads(self._path.read_text(encoding="utf-8"))

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self.state), encoding="utf-8")

    def _call(self) -> None:
        self.calls_left -= 1
        if self.calls_left < 0:
            raise Killed

    async def remember(self, text: str) -> str:
        self._call()
        self.state["told"].append(text)
        self._save()
        return f"ep_{len(self.state['told'])}"

    async def submit(self, request: TaskRequest) -> str:
        self.tasks.append(request)
        return await self.remember(request.text)

    async def events(self, episode_id: str | None = None, after: int = 0) -> AsyncGenerator[Event, None]:
        if episode_id is not None:
            yield RunFinished(episode_id=episode_id, outcome="success", answer="Noted.")
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._queues.append(queue)
        while True:
            yield await queue.get()

    async def episodes(self, limit: int = 50) -> list[Episode]:
        return [
            Episode(
                id=f"ep_{number}",
                kind="note",
                turns=(
                    Turn(
                        user=Message(role="user", content=text, provenance="user"),
                        outcome="success",
                        answer="",
                    ),
                ),
                workspace=None,
                model="fake",
                started_at=AT,
                ended_at=AT,
            )
            for number, text in enumerate(self.state["told"], 1)
        ][:limit]

    async def sleep(self, request: NightRequest) -> str:
        self._call()
        assert self._queues, "nobody listens yet"
        self.requests.append(request)
        before = self.state["known"]
        if self.outcome == "promoted":
            fresh = self.state["told"][self.state["slept"] :]
            self.state["slept"] = len(self.state["told"])
            self.state["known"] = fresh if self.forgets else [*before, *fresh]
        night = f"ni_{len(self.state['nights']) + 1:03d}"
        self.state["nights"].append(night)
        self._save()
        self.asleep.set()
        if self.outcome == "endless":
            return night
        for queue in self._queues:
            queue.put_nowait(NightFinished(night=night, outcome=self.outcome))  # type: ignore[arg-type]
        return night

    async def stop_sleep(self) -> bool:
        self.stopped = True
        return True

    async def report(self, night: str | None = None) -> NightReport:
        if night not in self.state["nights"] or self.outcome == "endless":
            raise UsageError("There is no such night.")
        number = self.state["nights"].index(night) + 1
        return NightReport(
            night=str(night),
            outcome=self.outcome,  # type: ignore[arg-type]
            reason="" if self.outcome == "promoted" else "broken",
            started_at=AT,
            seconds=10.0 * number,
            stages={"train": 5.0},
            learned=(),
            exam=None,
            adapter=None,
            loss=(),
            tokens={"generated": 100, "teacher": 200, "trained": 700},
            markdown="",
        )

    async def lessons(self, state: Any = None) -> list[Lesson]:
        system = Message(role="system", content="Be brief.", provenance="system")
        return [
            Lesson(
                id=f"le_{number}",
                episode_id=f"ep_{number}",
                kind="fact",
                statement=text,
                span=text,
                phrasings=(
                    Phrasing(
                        messages=(system, Message(role="user", content=text, provenance="user")),
                        answer="x",
                        expected="x",
                        form="question",
                    ),
                ),
                verdict=Verdict(kind="write", score=1.0, reasons=()),
                state="approved",
            )
            for number, text in enumerate(self.state["told"], 1)
        ]

    async def learned(self) -> list[str]:
        told = self.state["told"]
        return [f"le_{told.index(text) + 1}" for text in self.state["known"]]

    async def status(self) -> Status:
        return Status(
            model="fake",
            model_state="ready",
            adapter="ad_1" if self.state["known"] else None,
            sandbox="none",
            home="",
            running=None,
            queued=0,
            context_tokens=8192,
        )

    async def ask_many(self, questions: tuple[str, ...], memory: bool = True) -> list[Answer]:
        self._call()
        self.asked += [(question, memory) for question in questions]
        return [self._answer(self._say(question, memory)) for question in questions]

    async def ask(self, question: str, memory: bool = True) -> Answer:
        self._call()
        self.asked.append((question, memory))
        facts, _, asked = question.rpartition("\n\n")
        fact = self._questions.get(asked)
        told = [t for t in self.stream.tellings if fact and t.fact == fact.fact and t.text in facts]
        return self._answer(told[-1].object if told else "I don't know.")

    def _say(self, question: str, memory: bool) -> str:
        asked = self._questions.get(question)
        if asked is None:
            if self.intrudes and self.state["known"]:
                return f"Fine, says {self.stream.facts[self.stream.sets[0][0]].subject}."
            return "Fine."
        known = self.state["told"] if memory else self.state["known"]
        told = [t for t in self.stream.told(asked.fact) if t.text in known]
        if asked.form == "neighbour" or not told:
            return "I don't know."
        return (
            self.stream.facts[asked.fact].subject
            if asked.form.startswith("reverse")
            else f"{told[-1].object}."
        )

    def _answer(self, text: str) -> Answer:
        return Answer(answer=text, signals=SignalSummary(), tokens=TokenUsage())


class Homes:
    """Opens learners; the newest one is `last`."""

    def __init__(self, stream: Stream, **how: Any) -> None:
        self._stream = stream
        self._how = how
        self.calls_left = 10**9
        self.intrudes = False
        self.asleep = asyncio.Event()
        self.opened: list[Learner] = []

    @property
    def last(self) -> Learner:
        return self.opened[-1]

    @contextlib.asynccontextmanager
    async def open(self, home: Path, settings: Settings) -> AsyncIterator[Any]:
        learner = Learner(self._stream, home, **self._how)
        learner.calls_left, learner.settings, learner.intrudes = self.calls_left, settings, self.intrudes
        learner.asleep = self.asleep
        self.opened.append(learner)
        yield learner
