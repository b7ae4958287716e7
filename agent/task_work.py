"""One task from its acceptance to its stored episode; the loop does what lies in between."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from agent.acting import Acting, Workplace
from agent.calls import TaskRequest
from agent.context import attachment_text, folder_text, history, system_message
from agent.endings import Endings
from agent.errors import NightSchoolError
from agent.events import EpisodeStarted, RunFinished, TaskAccepted
from agent.loop import Loop, TurnInput
from agent.model.relevance import is_talk
from agent.parts import Parts
from agent.sandboxing import limits_from
from memory.errors import StoreError
from memory.types import Episode, Message, Outcome, now
from sandbox.base import SandboxError
from skills.outputs import OutputStore
from skills.preimages import Preimages
from skills.tool import ToolContext


@dataclass
class Job:
    """A task that waits or is worked on."""

    episode_id: str
    request: TaskRequest
    before: Episode | None
    """The conversation it goes on with."""
    task: asyncio.Task[None] | None = None
    """Set while it is worked on."""
    started: bool = False
    """Its `episode_started` is journalled, now or in an earlier turn."""
    accepted: bool = False
    """Its `task_accepted` is journalled."""
    cancelled: bool = False
    ending: bool = False
    """Its end is decided and being stored; nothing can interrupt that."""
    finished: asyncio.Event = field(default_factory=asyncio.Event)


class TaskWork:
    """Does jobs, one at a time."""

    def __init__(
        self, parts: Parts, endings: Endings, by_day: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """`by_day` surrounds the work of a turn."""
        self._parts = parts
        self._by_day = by_day
        self._bus = parts.bus
        self._endings = endings

    async def do(self, job: Job) -> None:
        """However it goes, its end is journalled and told."""
        try:
            with self._by_day():
                end = await self._turn(job)
        except asyncio.CancelledError:
            end = ended(job, "interrupted", "interrupted")
        except (NightSchoolError, StoreError, SandboxError, OSError) as error:
            end = ended(job, "failure", str(error))
        await self.close(job, end)

    async def close(self, job: Job, end: RunFinished) -> None:
        """Put its end on record."""
        job.ending = True
        if not job.accepted:
            # what the user asked is kept, however early it ended
            await self._accept(job)
        await self._endings.finish(end)

    async def _turn(self, job: Job) -> RunFinished:
        turn = await self._begin(job)
        await self._parts.load_model()
        settings = self._parts.settings
        acting = Acting(
            self._parts.registry, self._parts.approver(job.request), self._bus, settings.agent.output_chars
        )
        loop = Loop(self._parts.model, acting, self._bus, settings.agent, settings.model)
        return await loop.run(turn)

    async def _begin(self, job: Job) -> TurnInput:
        """Journal the episode's start and the user's message; gather what the loop needs."""
        request, before = job.request, job.before
        workspace = self._workspace(job)
        settings = self._parts.settings
        await self._start(job)
        messages = [system_message(workspace)] if before is None else history(before)
        recalled = await self._parts.archive.recall(
            request.text, settings.memory.recall_tokens, job.episode_id
        )
        helps = [attachment_text(workspace / path, path) for path in request.attachments]
        talk = await asyncio.to_thread(self._is_talk, job, workspace)
        if before is None and not talk:
            helps.append(await asyncio.to_thread(folder_text, workspace))
        context = "\n\n".join([*([recalled.text] if recalled.text else []), *helps])
        user = await self._accept(job, context)
        return TurnInput(
            messages=[*messages, user],
            first_step=len(before.steps) if before else 0,
            max_steps=request.max_steps or settings.agent.max_steps,
            place=self._place(job, workspace),
            specs=self._parts.registry.specs(),
            talk=talk,
        )

    async def _start(self, job: Job) -> None:
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
                adapter=self._parts.serving,
                system=system_message(workspace).content,
                tools=tuple(spec.name for spec in self._parts.registry.specs()),
            )
        )

    async def _accept(self, job: Job, context: str = "") -> Message:
        """Journal the user's message, and the episode's start if that has not happened."""
        await self._start(job)
        job.accepted = True
        user = Message(role="user", content=job.request.text, context=context, provenance="user")
        await self._bus.publish(TaskAccepted(episode_id=job.episode_id, message=user))
        return user

    def _place(self, job: Job, workspace: Path) -> Workplace:
        home = self._parts.home
        return Workplace(
            episode_id=job.episode_id,
            tools=ToolContext(
                workspace=workspace,
                sandbox=self._parts.sandbox,
                limits=limits_from(self._parts.settings.sandbox),
                ask_user=lambda question: self._question_of(job, question),
            ),
            outputs=OutputStore(home.outputs / job.episode_id),
            preimages=Preimages(home.preimages / job.episode_id),
        )

    async def _question_of(self, job: Job, question: str) -> str | None:
        """The person's answer; None when nobody is there, or when the task is not to wait for anybody."""
        if job.request.approve == "deny":
            return None
        return await self._parts.pending.question(job.episode_id, question)

    def _is_talk(self, job: Job, workspace: Path) -> bool:
        """Whether the message plainly needs no tool; slow at first, it may load the embedder."""
        text = job.request.text
        if job.request.attachments or any(path.name in text for path in workspace.iterdir()):
            return False
        specs, embedder = self._parts.registry.specs(), self._parts.bedroom.embedder
        return is_talk(text, job.before is None, specs, embedder)

    def _workspace(self, job: Job) -> Path:
        if job.request.workspace is not None:
            return Path(job.request.workspace).resolve()
        fresh = self._parts.home.workspaces / job.episode_id
        fresh.mkdir(parents=True, exist_ok=True)
        return fresh.resolve()


def ended(job: Job, outcome: Outcome, reason: str) -> RunFinished:
    """The end of a turn that got no answer."""
    return RunFinished(episode_id=job.episode_id, outcome=outcome, answer="", reason=reason)


def new_episode_id() -> str:
    """Unique and sortable by time."""
    return f"ep_{now():%Y%m%dT%H%M%S}_{uuid.uuid4().hex[:6]}"
