"""The façade: everything a face may ask for, in the process that owns the home.

Tasks queue and run one at a time (the model has one owner); everything else answers at once. Meets
`agent.calls.RuntimeCalls`; what each call promises is written there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agent.acting import Acting, Workplace, workspace_problem
from agent.approval import Approver
from agent.archive import Archive
from agent.bus import Bus
from agent.calls import Answer, EpisodeHit, FileChange, Status, TaskRequest
from agent.config import Settings
from agent.context import attachment_text, folder_text, history, system_message
from agent.errors import ModelError, NightSchoolError, UsageError
from agent.events import (
    EpisodeJudged,
    EpisodeStarted,
    EpisodeUndone,
    Event,
    FeedbackGiven,
    Progress,
    RunFinished,
    TaskAccepted,
)
from agent.forget import Forget
from agent.gate import cheap_verdict
from agent.home import Home
from agent.learning import Learning
from agent.loop import Loop, TurnInput
from agent.model.base import GenerateRequest, TokenDelta, TurnEnd
from agent.model.relevance import is_talk
from agent.model.thread import ModelThread
from agent.pending import Pending
from agent.sandboxing import limits_from
from agent.sleep.bedroom import Bedroom
from memory.errors import StoreError
from memory.types import Episode, Feedback, Message, Outcome, SignalSummary, TokenSignal, now
from sandbox.base import Sandbox, SandboxError
from skills.outputs import OutputStore
from skills.preimages import Preimages
from skills.registry import Registry
from skills.tool import ToolContext

_log = logging.getLogger(__name__)

# a longer task can never fit the context; a character is at least an eighth of a token in any script
_CHARS_PER_TOKEN = 8
# episodes against which the gate measures surprise and recurrence
_RECENT = 100


@dataclass
class Parts:
    """What a runtime is made of; wired in `agent.build`."""

    home: Home
    settings: Settings
    model_name: str
    check_model: Callable[[], None]
    """Raises ModelError when the weights are not there."""
    model: ModelThread
    registry: Registry
    sandbox: Sandbox
    bus: Bus
    archive: Archive
    pending: Pending
    approver: Callable[[TaskRequest], Approver]
    """The chain of approvers for one task."""
    bedroom: Bedroom
    """What nights work with."""
    forgetter: Forget
    """Forgets for good."""
    on_close: Callable[[], None]
    """Lets the home go."""


@dataclass
class _Job:
    episode_id: str
    request: TaskRequest
    before: Episode | None
    task: asyncio.Task[None] | None = None
    started: bool = False
    """Its `episode_started` is journalled, now or in an earlier turn."""
    accepted: bool = False
    """Its `task_accepted` is journalled."""
    cancelled: bool = False
    ending: bool = False
    """Its end is decided and being stored; nothing can interrupt that."""
    finished: asyncio.Event = field(default_factory=asyncio.Event)


class Runtime(Learning):
    """Night School, running."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts.bedroom, parts.forgetter)
        self._parts = parts
        self._bus = parts.bus
        self._archive = parts.archive
        self._jobs: list[_Job] = []
        self._wake = asyncio.Event()
        self._sandbox_error: str | None = None
        self._active_at = time.monotonic()
        self._worker = asyncio.create_task(self._work())

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
        episode_id = before.id if before else _new_episode_id()
        workspace = request.workspace or (before.workspace if before else None)
        if workspace is not None:
            problem = workspace_problem(Path(workspace), self._parts.home)
            if problem:
                raise UsageError(problem)
        await self._need_sandbox()
        request = request.model_copy(update={"workspace": workspace})
        self._jobs.append(_Job(episode_id, request, before, started=before is not None))
        self._wake.set()
        return episode_id

    def events(self, episode_id: str | None = None, after: int = 0) -> AsyncGenerator[Event, None]:
        return self._bus.subscribe(episode_id, after)

    async def interrupt(self, episode_id: str) -> bool:
        for job in self._jobs:
            if job.episode_id == episode_id and not job.cancelled:
                stops = not job.ending
                if stops:
                    job.cancelled = True
                    await self._stop(job)
                await job.finished.wait()
                return stops
        return False

    async def decide(self, request_id: str, allow: bool, reason: str = "") -> None:
        self._parts.pending.decide(request_id, allow, reason)

    async def answer(self, request_id: str, text: str | None) -> None:
        self._parts.pending.answer(request_id, text)

    async def ask(self, question: str, memory: bool = True) -> Answer:
        if not question.strip():
            raise UsageError("The question is empty. Say what to answer.")
        self._parts.check_model()
        self._active_at = time.monotonic()
        await self.load_model()
        request, recalled = await self._question(question, memory)
        signals: list[TokenSignal] = []
        end: TurnEnd | None = None
        with self.by_day():
            async for delta in self._parts.model.stream(request):
                if isinstance(delta, TokenDelta):
                    signals.append(delta.signal)
                elif isinstance(delta, TurnEnd):
                    end = delta
        if end is None:
            raise ModelError("The model stopped without ending its answer. Ask again.")
        return Answer(
            answer=end.text.strip(),
            signals=SignalSummary.of(signals),
            tokens=end.usage,
            recalled=recalled,
        )

    async def ask_many(self, questions: tuple[str, ...], memory: bool = True) -> list[Answer]:
        if not all(question.strip() for question in questions):
            raise UsageError("A question is empty. Say what to answer.")
        self._parts.check_model()
        await self.load_model()
        asked = [await self._question(question, memory) for question in questions]
        ends = await self._parts.model.generate_batch([request for request, _ in asked])
        return [
            Answer(answer=end.text.strip(), signals=end.signals, tokens=end.usage, recalled=recalled)
            for end, (_, recalled) in zip(ends, asked, strict=True)
        ]

    async def _question(self, question: str, memory: bool) -> tuple[GenerateRequest, tuple[str, ...]]:
        """What the model is asked, and the episodes it is shown."""
        recalled = await self._archive.recall(question, self._recall_tokens()) if memory else None
        user = Message(
            role="user",
            content=question,
            context=recalled.text if recalled else "",
            provenance="user",
        )
        request = GenerateRequest(
            messages=(system_message(None), user),
            max_tokens=self._parts.settings.agent.turn_tokens,
            temperature=self._parts.settings.model.temperature,
        )
        return request, recalled.episode_ids if recalled else ()

    async def remember(self, text: str) -> str:
        if not text.strip():
            raise UsageError("There is nothing to remember. Say what to keep.")
        episode_id = _new_episode_id()
        await self._bus.publish(
            EpisodeStarted(
                episode_id=episode_id, episode_kind="note", workspace=None, model=self._parts.model_name
            )
        )
        message = Message(role="user", content=text, provenance="user")
        await self._bus.publish(TaskAccepted(episode_id=episode_id, message=message))
        await self._finish(RunFinished(episode_id=episode_id, outcome="success", answer=""))
        return episode_id

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
        await self._judge(episode.id)

    async def undo_preview(self, episode_id: str) -> list[FileChange]:
        episode = await self._archive.get(episode_id)
        return await asyncio.to_thread(self._changes, episode)

    async def undo(self, episode_id: str) -> list[FileChange]:
        episode = await self._archive.get(episode_id)
        if any(job.episode_id == episode.id for job in self._jobs):
            raise UsageError(f"Episode {episode.id} is still running. Interrupt it first, then undo it.")
        changes = await asyncio.to_thread(self._changes, episode)
        if not changes:
            raise UsageError(f"Episode {episode.id} changed nothing in its workspace, or was undone already.")
        assert episode.workspace is not None
        preimages = Preimages(self._parts.home.preimages / episode.id)
        await asyncio.to_thread(preimages.undo, Path(episode.workspace))
        await self._bus.publish(
            EpisodeUndone(episode_id=episode.id, paths=tuple(change.path for change in changes))
        )
        await self._archive.keep(episode.id)
        return changes

    async def status(self) -> Status:
        model = self._parts.model
        return Status(
            model=self._parts.model_name,
            model_state=model.state,
            model_error=model.error,
            adapter=card.id if (card := self._room.serving.card) else None,
            sandbox=self._parts.sandbox.name,
            sandbox_error=await self._probe_sandbox(),
            home=str(self._parts.home.root),
            running=next((job.episode_id for job in self._jobs if job.task), None),
            queued=sum(1 for job in self._jobs if not job.task),
            context_tokens=self._parts.settings.model.context_tokens,
        )

    async def load_model(self) -> None:
        if self._parts.model.state == "ready":
            return
        self._bus.deliver(Progress(stage="loading", text=f"Loading {self._parts.model_name}"))
        await self._parts.model.load()
        self._bus.deliver(
            Progress(stage="loading", text=f"{self._parts.model_name} is ready", done=1, total=1)
        )

    @property
    def idle_seconds(self) -> float:
        """Since the latest task or question ended; 0 while anything runs."""
        return 0.0 if self._jobs or self.night_runs else time.monotonic() - self._active_at

    async def interrupt_all(self) -> None:
        """Stop everything that runs or waits, a night included."""
        for job in list(self._jobs):
            await self.interrupt(job.episode_id)
        await self.stop_sleep()

    async def drain(self) -> None:
        """Wait until no task is running or waiting, and no night."""
        for job in list(self._jobs):
            await job.finished.wait()
        await self.drain_sleep()

    async def close(self) -> None:
        await self.drain()
        self._worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._worker
        await self._parts.model.close()
        await self._archive.close()
        self._parts.on_close()

    async def recover(self) -> None:
        """Close what an earlier process left open, and bring the tables up to the journal."""
        for episode_id in await self._archive.unfinished():
            await asyncio.to_thread(self._settle, await self._archive.get(episode_id))
            await self._finish(
                RunFinished(
                    episode_id=episode_id,
                    outcome="interrupted",
                    answer="",
                    reason="the process that worked on it ended",
                )
            )
        await self._archive.catch_up()

    async def _work(self) -> None:
        try:
            while True:
                while not self._jobs:
                    self._wake.clear()
                    await self._wake.wait()
                await self._see_through(self._jobs[0])
        finally:
            # whoever waits for a task that will not be done must not wait for ever
            for job in self._jobs:
                job.finished.set()

    async def _see_through(self, job: _Job) -> None:
        """Do a job and tell how it ended, also when that went wrong in a way nobody thought of."""
        try:
            job.task = asyncio.create_task(self._do(job))
            await asyncio.wait({job.task})
            if job.task.cancelled() and not job.ending:
                # before its first step
                end = _ended(job, "interrupted", "interrupted")
                job.task = asyncio.create_task(self._close_job(job, end))
                await asyncio.wait({job.task})
            if not job.task.cancelled() and job.task.exception() is not None:
                self._bus.deliver(_ended(job, "failure", str(job.task.exception())))
        finally:
            if job.task is not None and not job.task.done():
                job.task.cancel()
                await asyncio.wait({job.task})
            self._jobs.remove(job)
            self._active_at = time.monotonic()
            job.finished.set()

    async def _stop(self, job: _Job) -> None:
        """Cut short what runs; end at once what waits behind another task."""
        if job.task is not None:
            job.task.cancel()
            return
        self._jobs.remove(job)
        try:
            await self._close_job(job, _ended(job, "interrupted", "interrupted before it began"))
        finally:
            job.finished.set()

    async def _do(self, job: _Job) -> None:
        """One task from acceptance to its stored episode. However it goes, its end is journalled and told."""
        try:
            with self.by_day():
                end = await self._turn(job)
        except asyncio.CancelledError:
            end = _ended(job, "interrupted", "interrupted")
        except (NightSchoolError, StoreError, SandboxError, OSError) as error:
            end = _ended(job, "failure", str(error))
        await self._close_job(job, end)

    async def _close_job(self, job: _Job, end: RunFinished) -> None:
        job.ending = True
        if not job.accepted:
            # what the user asked is kept, however early it ended
            await self._accept(job)
        await self._finish(end)

    async def _turn(self, job: _Job) -> RunFinished:
        turn = await self._begin(job)
        await self.load_model()
        acting = Acting(
            self._parts.registry,
            self._parts.approver(job.request),
            self._bus,
            self._parts.settings.agent.output_chars,
        )
        settings = self._parts.settings
        loop = Loop(self._parts.model, acting, self._bus, settings.agent, settings.model)
        return await loop.run(turn)

    async def _start(self, job: _Job) -> None:
        """Journal the episode's start, once."""
        if job.started:
            return
        # set first: a record goes on when we are cancelled, and must not be made twice
        job.started = True
        workspace = self._workspace(job)
        await self._bus.publish(
            EpisodeStarted(
                episode_id=job.episode_id,
                episode_kind=job.request.kind,
                workspace=str(workspace),
                model=self._parts.model_name,
                adapter=card.id if (card := self._room.serving.card) else None,
                system=system_message(workspace).content,
                tools=tuple(spec.name for spec in self._parts.registry.specs()),
            )
        )

    async def _accept(self, job: _Job, context: str = "") -> Message:
        """Journal the user's message, and the episode's start if that has not happened."""
        await self._start(job)
        job.accepted = True
        user = Message(role="user", content=job.request.text, context=context, provenance="user")
        await self._bus.publish(TaskAccepted(episode_id=job.episode_id, message=user))
        return user

    async def _begin(self, job: _Job) -> TurnInput:
        """Journal the episode's start and the user's message; gather what the loop needs."""
        request, before = job.request, job.before
        workspace = self._workspace(job)
        await self._start(job)
        messages = [system_message(workspace)] if before is None else history(before)
        recalled = await self._archive.recall(request.text, self._recall_tokens(), job.episode_id)
        helps = [attachment_text(workspace / path, path) for path in request.attachments]
        talk = await asyncio.to_thread(self._is_talk, job, workspace)
        if before is None and not talk:
            helps.append(await asyncio.to_thread(folder_text, workspace))
        context = "\n\n".join([*([recalled.text] if recalled.text else []), *helps])
        user = await self._accept(job, context)
        home, settings = self._parts.home, self._parts.settings
        place = Workplace(
            episode_id=job.episode_id,
            tools=ToolContext(
                workspace=workspace,
                sandbox=self._parts.sandbox,
                limits=limits_from(settings.sandbox),
                ask_user=lambda question: self._question_of(job, question),
            ),
            outputs=OutputStore(home.outputs / job.episode_id),
            preimages=Preimages(home.preimages / job.episode_id),
        )
        return TurnInput(
            messages=[*messages, user],
            first_step=len(before.steps) if before else 0,
            max_steps=request.max_steps or settings.agent.max_steps,
            place=place,
            specs=self._parts.registry.specs(),
            talk=talk,
        )

    async def _question_of(self, job: _Job, question: str) -> str | None:
        """The person's answer; None when nobody is there, or when the task is not to wait for anybody."""
        if job.request.approve == "deny":
            return None
        return await self._parts.pending.question(job.episode_id, question)

    def _is_talk(self, job: _Job, workspace: Path) -> bool:
        """Whether the message plainly needs no tool; slow at first, it may load the embedder."""
        text = job.request.text
        if job.request.attachments or any(path.name in text for path in workspace.iterdir()):
            return False
        return is_talk(text, job.before is None, self._parts.registry.specs(), self._room.embedder)

    def _workspace(self, job: _Job) -> Path:
        if job.request.workspace is not None:
            return Path(job.request.workspace).resolve()
        fresh = self._parts.home.workspaces / job.episode_id
        fresh.mkdir(parents=True, exist_ok=True)
        return fresh.resolve()

    async def _finish(self, event: RunFinished) -> None:
        """Journal the end, store the episode, then tell everybody: whoever sees it can look it up."""
        recorded: list[Event] = [await self._bus.record(event)]
        assert event.episode_id is not None
        try:
            recorded += await self._verdict(event.episode_id)
            await self._archive.keep(event.episode_id)
        except (NightSchoolError, StoreError) as error:
            # the task went as it went; the next start brings the tables up to the journal
            _log.warning("episode %s is journalled, but not judged yet: %s", event.episode_id, error)
        # in the journal's order: a listener takes what is older than what it has for a repetition
        for told in recorded:
            self._bus.deliver(told)

    async def _judge(self, episode_id: str) -> None:
        """The gate's first word on an episode as it now stands, then its place in the tables."""
        for told in await self._verdict(episode_id):
            self._bus.deliver(told)
        await self._archive.keep(episode_id)

    async def _verdict(self, episode_id: str) -> list[Event]:
        """The gate's first word, recorded but not told yet; nothing when a person has spoken."""
        episode = await self._archive.get(episode_id)
        if episode.verdict is not None and episode.verdict.by != "gate":
            return []
        recent = await self._archive.newest(_RECENT)
        verdict = await asyncio.to_thread(cheap_verdict, episode, recent)
        return [await self._bus.record(EpisodeJudged(episode_id=episode_id, verdict=verdict))]

    async def _episode_to_continue(self, request: TaskRequest) -> Episode | None:
        if request.continue_episode is None:
            return None
        episode = await self._archive.get(request.continue_episode)
        if episode.kind == "note":
            raise UsageError(f"{episode.id} is a note, not a conversation. Choose one from `episodes list`.")
        for job in self._jobs:
            if job.episode_id == episode.id:
                await job.finished.wait()
        return await self._archive.get(episode.id)

    async def _need_sandbox(self) -> None:
        error = await self._probe_sandbox()
        if error:
            raise UsageError(error)

    async def _probe_sandbox(self) -> str:
        """Why the sandbox cannot be used, empty when it works; probed once."""
        if self._sandbox_error is None:
            try:
                await self._parts.sandbox.probe()
                self._sandbox_error = ""
            except SandboxError as error:
                self._sandbox_error = str(error)
        return self._sandbox_error

    def _settle(self, episode: Episode) -> None:
        """Note what a cut-off command changed, so that later edits do not count as the episode's."""
        if episode.workspace is not None and Path(episode.workspace).is_dir():
            Preimages(self._parts.home.preimages / episode.id).settle(Path(episode.workspace))

    def _changes(self, episode: Episode) -> list[FileChange]:
        if episode.workspace is None:
            return []
        workspace = Path(episode.workspace)
        found = list(Preimages(self._parts.home.preimages / episode.id).changes(workspace))
        if found and not workspace.is_dir():
            raise UsageError(
                f"The workspace {workspace} of episode {episode.id} is not there. Put it back, then undo."
            )
        return [FileChange(path=change.path, action=change.action, diff=change.diff) for change in found]

    def _recall_tokens(self) -> int:
        return self._parts.settings.memory.recall_tokens


def _ended(job: _Job, outcome: Outcome, reason: str) -> RunFinished:
    """The end of a turn that got no answer."""
    return RunFinished(episode_id=job.episode_id, outcome=outcome, answer="", reason=reason)


def _new_episode_id() -> str:
    return f"ep_{now():%Y%m%dT%H%M%S}_{uuid.uuid4().hex[:6]}"
