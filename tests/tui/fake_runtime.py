"""A runtime that plays a script instead of running a model: meets `RuntimeCalls`, needs no weights.

A test drives it step by step: `say` streams text, `call` and `finish_step` make steps, `end` ends the
turn. Times come from a counter, so that what is shown is the same in every run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from agent import events as ev
from agent.calls import Answer, EpisodeHit, FileChange, Status, TaskRequest
from agent.errors import NightSchoolError
from memory.types import (
    Episode,
    Message,
    Outcome,
    SignalSummary,
    Step,
    TokenSignal,
    TokenUsage,
    ToolCall,
    ToolResult,
    Turn,
)

START = datetime(2026, 1, 2, 9, 0, tzinfo=UTC)


class FakeRuntime:
    """Records what it was asked in `asked`; a test says what happens."""

    def __init__(self, model_state: str = "ready", **status: Any) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.requests: list[TaskRequest] = []
        self.known = Status(
            **{
                "model": "qwen2.5-coder-0.5b-instruct",
                "model_state": model_state,
                "adapter": None,
                "sandbox": "bubblewrap",
                "home": "/home/user/.local/share/nightschool",
                "running": None,
                "queued": 0,
                "context_tokens": 8192,
                **status,
            }
        )
        self.changes = [FileChange(path="fib.py", action="remove", diff="@@ -1 +0,0 @@\n-print(1)")]
        self.past: list[Episode] = []
        self.fail: dict[str, Exception] = {}
        self.seconds = 0.0
        self.journal: list[ev.Event] = []
        self._listeners: list[tuple[str | None, asyncio.Queue[ev.Event | None]]] = []
        self._tokens: list[TokenSignal] = []
        self._text = ""
        self._steps = 0
        self._turn_steps = 0
        self._calls: tuple[ToolCall, ...] = ()
        self.episode_id = ""

    def clock(self) -> datetime:
        """The time of the script."""
        return START + timedelta(seconds=self.seconds)

    def emit(self, event: ev.Event) -> None:
        """An event happens."""
        event = event.model_copy(update={"at": self.clock()})
        if ev.is_durable(event):
            event = event.model_copy(update={"seq": len(self.journal) + 1})
            self.journal.append(event)
        for wanted, queue in self._listeners:
            if wanted in (None, event.episode_id):
                queue.put_nowait(event)

    @property
    def delivered(self) -> bool:
        """Whether every event was taken by its listeners."""
        return all(queue.empty() for _, queue in self._listeners)

    def die(self) -> None:
        """The host is gone: streams end, calls fail."""
        for _, queue in self._listeners:
            queue.put_nowait(None)

    def accept(self, text: str) -> None:
        """The newest submitted task is taken on."""
        message = Message(role="user", content=text, provenance="user")
        self._turn_steps = 0
        self.emit(ev.TaskAccepted(episode_id=self.episode_id, message=message))

    def say(self, *pieces: str, entropy: float | None = None) -> None:
        """Stream some tokens; entropies go round a fixed list unless given."""
        shades = (0.02, 0.1, 0.7, 0.05, 1.5, 0.0, 0.3, 2.6)
        for piece in pieces:
            shade = shades[len(self._tokens) % len(shades)] if entropy is None else entropy
            signal = TokenSignal(
                token_id=1, text=piece, logprob=-shade / 2, entropy=shade, margin=0.5, forced=False
            )
            self._tokens.append(signal)
            self._text += piece
            self.seconds += 0.025
            self.emit(ev.TokenGenerated(episode_id=self.episode_id, text=piece, signal=signal))

    def prefill(self, done: int, total: int) -> None:
        """The prompt is being read."""
        self.emit(ev.Progress(episode_id=self.episode_id, stage="prefill", done=done, total=total))

    def call(self, name: str, decided: bool = True, **arguments: Any) -> ToolCall:
        """The model wants one call."""
        made = ToolCall(id=f"call_{self._steps}_0", name=name, arguments=arguments)
        self._calls = (made,)
        self.emit(ev.StepStarted(episode_id=self.episode_id, index=self._steps, calls=self._calls))
        if decided:
            self.decided(made)
        return made

    def decided(self, call: ToolCall, allowed: bool = True, by: str = "policy", reason: str = "") -> None:
        """Policy or a person decided."""
        self.emit(
            ev.CallDecided(
                episode_id=self.episode_id,
                call_id=call.id,
                tool=call.name,
                allowed=allowed,
                by=by,
                reason=reason,
            )
        )

    def finish_step(
        self, output: str = "", ok: bool = True, refused: bool = False, seconds: float = 0.4
    ) -> None:
        """The step is over, with the same output for each of its calls."""
        step = Step(
            index=self._steps,
            message=Message(role="assistant", content=self._text, provenance="model", tool_calls=self._calls),
            results=tuple(
                ToolResult(
                    call_id=call.id, name=call.name, ok=ok, content=output, refused=refused, seconds=seconds
                )
                for call in self._calls
            ),
            usage=TokenUsage(prompt=1180 + 40 * self._steps, prefilled=60, generated=len(self._tokens)),
            signals=tuple(self._tokens),
            seconds=1.0,
        )
        self._text, self._tokens, self._calls = "", [], ()
        self._steps += 1
        self._turn_steps += 1
        self.emit(ev.StepFinished(episode_id=self.episode_id, step=step))

    def end(self, outcome: Outcome = "success", answer: str = "", reason: str = "") -> None:
        """The turn is over."""
        self.emit(
            ev.RunFinished(
                episode_id=self.episode_id,
                outcome=outcome,
                answer=answer,
                reason=reason,
                steps=self._turn_steps,
                tokens=TokenUsage(prompt=1300, prefilled=900, generated=182),
                seconds=14.2,
                signals=SignalSummary(tokens=182, mean_entropy=0.31),
            )
        )

    def answer_with(self, text: str) -> None:
        """A whole plain answer: text, step, end."""
        self.say(*_words(text))
        self.finish_step()
        self.end(answer=text)

    def _asked(self, name: str, *what: Any) -> None:
        self.asked.append((name, *what))
        if name in self.fail:
            raise self.fail[name]

    async def submit(self, request: TaskRequest) -> str:
        self._asked("submit", request.text)
        self.requests.append(request)
        if request.continue_episode is None:
            self.episode_id = f"ep_20260102T090000_{len(self.requests):04x}"
            self.emit(
                ev.EpisodeStarted(
                    episode_id=self.episode_id,
                    episode_kind=request.kind,
                    workspace=request.workspace,
                    model=self.known.model,
                )
            )
        self.accept(request.text)
        return self.episode_id

    async def events(self, episode_id: str | None = None, after: int = 0) -> AsyncIterator[ev.Event]:
        queue: asyncio.Queue[ev.Event | None] = asyncio.Queue()
        if episode_id is not None:
            for past in self.journal:
                if past.episode_id == episode_id and past.seq > after:
                    queue.put_nowait(past)
        self._listeners.append((episode_id, queue))
        while (event := await queue.get()) is not None:
            yield event

    async def interrupt(self, episode_id: str) -> bool:
        self._asked("interrupt", episode_id)
        return True

    async def decide(self, request_id: str, allow: bool, reason: str = "") -> None:
        self._asked("decide", request_id, allow, reason)

    async def answer(self, request_id: str, text: str | None) -> None:
        self._asked("answer", request_id, text)

    async def ask(self, question: str, memory: bool = True) -> Answer:
        raise NotImplementedError

    async def remember(self, text: str) -> str:
        self._asked("remember", text)
        return "ep_20260102T090000_note"

    async def episodes(self, limit: int = 50) -> list[Episode]:
        self._asked("episodes", limit)
        return self.past

    async def episode(self, episode_id: str) -> Episode:
        raise NotImplementedError

    async def search(self, text: str, limit: int = 10) -> list[EpisodeHit]:
        raise NotImplementedError

    async def feedback(self, episode_id: str, rating: Literal["good", "bad"], text: str = "") -> None:
        self._asked("feedback", episode_id, rating, text)

    async def undo_preview(self, episode_id: str) -> list[FileChange]:
        self._asked("undo_preview", episode_id)
        return self.changes

    async def undo(self, episode_id: str) -> list[FileChange]:
        self._asked("undo", episode_id)
        return self.changes

    async def status(self) -> Status:
        if isinstance(error := self.fail.get("status"), NightSchoolError | OSError):
            raise error
        return self.known

    async def load_model(self) -> None:
        self._asked("load_model")

    async def close(self) -> None:
        self.asked.append(("close",))

    def loading(self, done: float, total: float) -> None:
        """The weights are on their way."""
        self.known = self.known.model_copy(update={"model_state": "loading"})
        self.emit(ev.Progress(stage="loading", text="reading weights", done=done, total=total))

    def become_ready(self) -> None:
        """The weights are there."""
        self.known = self.known.model_copy(update={"model_state": "ready"})
        self.emit(ev.Progress(stage="loading", text="ready", done=1, total=1))


def past_episode(number: int, task: str, outcome: Outcome = "success") -> Episode:
    """An episode of an earlier day."""
    at = START - timedelta(hours=number)
    user = Message(role="user", content=task, provenance="user")
    return Episode(
        id=f"ep_past_{number}",
        kind="conversation",
        turns=(Turn(user=user, outcome=outcome, answer="Done."),),
        workspace="/home/user/project",
        model="qwen2.5-coder-0.5b-instruct",
        started_at=at,
        ended_at=at,
    )


def _words(text: str) -> list[str]:
    return [word + " " for word in text.split(" ")]
