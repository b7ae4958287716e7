"""The tasks that wait and the one that runs: in order, interruptible, each told how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import time

from agent.bus import Bus
from agent.task_work import Job, TaskWork, ended


class TaskQueue:
    """One at a time: the model has one owner. Needs a running event loop."""

    def __init__(self, work: TaskWork, bus: Bus) -> None:
        self._work = work
        self._bus = bus
        self._jobs: list[Job] = []
        self._wake = asyncio.Event()
        self.ended_at = time.monotonic()
        """When the latest task ended; at first, when the queue was made. Seconds of the monotonic clock."""
        self._worker = asyncio.create_task(self._see_to_all())

    def add(self, job: Job) -> None:
        """Put a job behind the others."""
        self._jobs.append(job)
        self._wake.set()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def running(self) -> str | None:
        """The episode that is worked on."""
        return next((job.episode_id for job in self._jobs if job.task), None)

    @property
    def waiting(self) -> int:
        """How many are not begun."""
        return sum(1 for job in self._jobs if not job.task)

    def has(self, episode_id: str) -> bool:
        """Whether a task of this episode runs or waits."""
        return any(job.episode_id == episode_id for job in self._jobs)

    async def interrupt(self, episode_id: str) -> bool:
        """Stop a task and wait for its end; True when there was something to stop."""
        for job in self._jobs:
            if job.episode_id == episode_id and not job.cancelled:
                stops = not job.ending
                if stops:
                    job.cancelled = True
                    await self._stop(job)
                await job.finished.wait()
                return stops
        return False

    async def interrupt_all(self) -> None:
        """Stop every task."""
        for job in list(self._jobs):
            await self.interrupt(job.episode_id)

    async def wait_for(self, episode_id: str) -> None:
        """Return once no task of this episode runs or waits."""
        for job in list(self._jobs):
            if job.episode_id == episode_id:
                await job.finished.wait()

    async def drain(self) -> None:
        """Return once every task that is there now has ended."""
        for job in list(self._jobs):
            await job.finished.wait()

    async def close(self) -> None:
        """Take no more."""
        self._worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._worker

    async def _see_to_all(self) -> None:
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

    async def _see_through(self, job: Job) -> None:
        """Do a job and tell how it ended, also when that went wrong in a way nobody thought of."""
        try:
            job.task = asyncio.create_task(self._work.do(job))
            await asyncio.wait({job.task})
            if job.task.cancelled() and not job.ending:
                # before its first step
                end = ended(job, "interrupted", "interrupted")
                job.task = asyncio.create_task(self._work.close(job, end))
                await asyncio.wait({job.task})
            if not job.task.cancelled() and job.task.exception() is not None:
                self._bus.deliver(ended(job, "failure", str(job.task.exception())))
        finally:
            if job.task is not None and not job.task.done():
                job.task.cancel()
                await asyncio.wait({job.task})
            self._jobs.remove(job)
            self.ended_at = time.monotonic()
            job.finished.set()

    async def _stop(self, job: Job) -> None:
        """Cut short what runs; end at once what waits behind another task."""
        if job.task is not None:
            job.task.cancel()
            return
        self._jobs.remove(job)
        try:
            await self._work.close(job, ended(job, "interrupted", "interrupted before it began"))
        finally:
            job.finished.set()
