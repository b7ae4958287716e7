"""The façade: everything a face may ask for, in the process that owns the home.

Tasks queue and run one at a time (the model has one owner); everything else answers at once. Meets
`agent.calls.RuntimeCalls`; what each call promises is written there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Literal

from agent.acting import workspace_problem
from agent.answering import Answering
from agent.asking import Asking
from agent.calls import Answer, EpisodeHit, FileChange, Status, TaskRequest
from agent.endings import Endings
from agent.errors import UsageError
from agent.events import EpisodeStarted, EpisodeUndone, Event, FeedbackGiven, RunFinished, TaskAccepted
from agent.keeping import Keeping
from agent.knowing import Knowing
from agent.knowledge_calls import SourcedAnswer
from agent.learning import Learning
from agent.parts import Parts
from agent.sandboxing import SandboxProbe
from agent.task_queue import TaskQueue
from agent.task_work import Job, TaskWork, new_episode_id
from agent.undoing import Undoing
from memory.types import Episode, Feedback, Message

# a longer task can never fit the context; a character is at least an eighth of a token in any script
_CHARS_PER_TOKEN = 8


class Runtime(Learning, Knowing, Keeping):
    """Night School, running."""

    def __init__(self, parts: Parts) -> None:
        Learning.__init__(self, parts.bedroom, parts.forgetter)
        Knowing.__init__(self, parts.library, parts.bus)
        Keeping.__init__(self, parts.keeper)
        self._parts = parts
        self._bus = parts.bus
        self._archive = parts.archive
        self._endings = Endings(parts.bus, parts.archive)
        self._tasks = TaskQueue(TaskWork(parts, self._endings, self.by_day), parts.bus)
        self._asking = Asking(parts, self.by_day)
        self._answering = Answering(parts, self._asking)
        self._undoing = Undoing(parts.home)
        self._sandbox = SandboxProbe(parts.sandbox)

    # Tasks

    async def submit(self, request: TaskRequest) -> str:
        limit = self._parts.settings.model.context_tokens * _CHARS_PER_TOKEN
        if not request.text.strip():
            raise UsageError("The task is empty. Say what to do.")
        if len(request.text) > limit:
            raise UsageError(
                f"The task is {len(request.text):,} characters long and the model reads at most about "
                f"{limit:,}. Put the text into a file in the workspace and name the file in the task."
            )
        self._parts.check_model()
        before = await self._episode_to_continue(request)
        workspace = request.workspace or (before.workspace if before else None)
        if workspace is not None:
            problem = workspace_problem(Path(workspace), self._parts.home)
            if problem:
                raise UsageError(problem)
        if problem := await self._sandbox.problem():
            raise UsageError(problem)
        request = request.model_copy(update={"workspace": workspace})
        episode_id = before.id if before else new_episode_id()
        self._tasks.add(Job(episode_id, request, before, started=before is not None))
        return episode_id

    async def _episode_to_continue(self, request: TaskRequest) -> Episode | None:
        if request.continue_episode is None:
            return None
        episode = await self._archive.get(request.continue_episode)
        if episode.kind == "note":
            raise UsageError(f"{episode.id} is a note, not a conversation. Choose one from `episodes list`.")
        await self._tasks.wait_for(episode.id)
        return await self._archive.get(episode.id)

    def events(self, episode_id: str | None = None, after: int = 0) -> AsyncGenerator[Event, None]:
        return self._bus.subscribe(episode_id, after)

    async def interrupt(self, episode_id: str) -> bool:
        return await self._tasks.interrupt(episode_id)

    async def decide(self, request_id: str, allow: bool, reason: str = "") -> None:
        self._parts.pending.decide(request_id, allow, reason)

    async def answer(self, request_id: str, text: str | None) -> None:
        self._parts.pending.answer(request_id, text)

    # Questions and notes

    async def ask(self, question: str, memory: bool = True) -> Answer:
        return await self._asking.ask(question, memory)

    async def ask_many(self, questions: tuple[str, ...], memory: bool = True) -> list[Answer]:
        return await self._asking.ask_many(questions, memory)

    async def knowledge_ask(
        self, question: str, memory: bool = True, domains: tuple[str, ...] = (), fresh: bool = False
    ) -> SourcedAnswer:
        return await self._answering.ask(question, memory, domains, fresh)

    async def remember(self, text: str) -> str:
        if not text.strip():
            raise UsageError("There is nothing to remember. Say what to keep.")
        episode_id = new_episode_id()
        await self._bus.publish(
            EpisodeStarted(
                episode_id=episode_id, episode_kind="note", workspace=None, model=self._parts.model_name
            )
        )
        message = Message(role="user", content=text, provenance="user")
        await self._bus.publish(TaskAccepted(episode_id=episode_id, message=message))
        await self._endings.finish(RunFinished(episode_id=episode_id, outcome="success", answer=""))
        return episode_id

    # Episodes

    async def episodes(self, limit: int = 50) -> list[Episode]:
        return await self._archive.newest(limit)

    async def episode(self, episode_id: str) -> Episode:
        return await self._archive.get(episode_id)

    async def search(self, text: str, limit: int = 10) -> list[EpisodeHit]:
        return await self._archive.search(text, limit)

    async def rebuild_episodes(self) -> int:
        return await self._archive.rebuild()

    async def feedback(self, episode_id: str, rating: Literal["good", "bad"], text: str = "") -> None:
        episode = await self._archive.get(episode_id)
        given = Feedback(rating=rating, text=text)
        await self._bus.publish(FeedbackGiven(episode_id=episode.id, feedback=given))
        await self._endings.judge(episode.id)

    async def undo_preview(self, episode_id: str) -> list[FileChange]:
        episode = await self._archive.get(episode_id)
        return await asyncio.to_thread(self._undoing.changes, episode)

    async def undo(self, episode_id: str) -> list[FileChange]:
        episode = await self._archive.get(episode_id)
        if self._tasks.has(episode.id):
            raise UsageError(f"Episode {episode.id} is still running. Interrupt it first, then undo it.")
        changes = await asyncio.to_thread(self._undoing.undo, episode)
        await self._bus.publish(
            EpisodeUndone(episode_id=episode.id, paths=tuple(change.path for change in changes))
        )
        await self._archive.keep(episode.id)
        return changes

    # The process

    async def status(self) -> Status:
        model = self._parts.model
        return Status(
            model=self._parts.model_name,
            model_state=model.state,
            model_error=model.error,
            adapter=self._parts.serving,
            sandbox=self._parts.sandbox.name,
            sandbox_error=await self._sandbox.problem(),
            home=str(self._parts.home.root),
            running=self._tasks.running,
            queued=self._tasks.waiting,
            context_tokens=self._parts.settings.model.context_tokens,
        )

    async def load_model(self) -> None:
        await self._parts.load_model()

    @property
    def idle_seconds(self) -> float:
        """Since the latest task or question ended; 0 while anything runs."""
        if len(self._tasks) or self.night_runs or self.adds:
            return 0.0
        return time.monotonic() - max(self._tasks.ended_at, self._asking.asked_at)

    async def interrupt_all(self) -> None:
        """Stop everything that runs or waits, a night included."""
        self.stop_adding()
        await self._tasks.interrupt_all()
        await self.stop_sleep()

    async def drain(self) -> None:
        """Wait until no task is running or waiting, no night, and nothing is being added."""
        await self._tasks.drain()
        await self.drain_sleep()
        await self.drain_adding()

    async def close(self) -> None:
        await self.drain()
        await self._tasks.close()
        await self._parts.model.close()
        await self._archive.close()
        self._parts.on_close()

    async def recover(self) -> None:
        """Close what an earlier process left open, and bring the tables up to the journal."""
        for episode_id in await self._archive.unfinished():
            await asyncio.to_thread(self._undoing.settle, await self._archive.get(episode_id))
            await self._endings.finish(
                RunFinished(
                    episode_id=episode_id,
                    outcome="interrupted",
                    answer="",
                    reason="the process that worked on it ended",
                )
            )
        await self._archive.catch_up()
        await self.recover_nights()
