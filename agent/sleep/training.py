"""The parent's side of training: starts the worker, follows it, stops and resumes it.

Never imports torch. The worker is a process of its own, so that its memory is given back, a crash of it is
only a failed night, and it can be stopped at any moment. It dies when its parent dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from pydantic import ValidationError

from agent.disk import replace_file
from agent.errors import LearningError
from agent.sleep.items import TrainItem, TrainJob, TrainProgress, TrainResult
from agent.sleep.train.adapter import scale_adapter as scale_adapter
from agent.sleep.worker import ITEMS, JOB, RESULT, SPLITS, STOPPED

# A worker killed while less than this was free has been killed for memory.
_SHORT_BYTES = 512 << 20
_SHORT_SHARE = 0.05
# In more parts than this a step cannot be split sensibly.
_MOST_SPLITS = 64


class Training:
    """One training run in one folder; can be paused."""

    def __init__(
        self,
        folder: Path,
        job: TrainJob,
        items: Sequence[TrainItem],
        on_progress: Callable[[TrainProgress], None] = lambda progress: None,
    ) -> None:
        self._folder = folder
        self._job = job
        self._items = items
        self._on_progress = on_progress
        self._process: asyncio.subprocess.Process | None = None
        self._paused = False
        self._heard = False
        self._failure = ""
        self._least_free = float("inf")

    async def run(self) -> TrainResult:
        """Train to the end; see `train`."""
        done = self._finished()
        if done is not None:
            return done
        self._write_job()
        while True:
            status = await self._work()
            # however the worker ended after that: it is all there
            done = self._finished()
            if done is not None:
                return done
            if status == -signal.SIGKILL and self._was_short() and self._halve():
                continue
            raise LearningError(self._why(status))

    def pause(self) -> None:
        """Stand still until `resume`; the cores are free meanwhile, memory stays taken."""
        self._paused = True
        if self._heard:
            self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._signal(signal.SIGCONT)

    async def _work(self) -> int:
        """One worker, from start to end; returns its exit status."""
        self._failure = ""
        self._heard = False
        messages = self._folder / "messages.txt"
        with messages.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "agent.sleep.worker",
                str(self._folder),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                limit=1 << 20,
            )
        try:
            await self._follow()
            return await self._process.wait()
        finally:
            await self._end()

    async def _follow(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        self._least_free = float("inf")
        async for line in self._process.stdout:
            try:
                progress = TrainProgress.model_validate_json(line)
            except ValidationError:
                # something a library printed
                continue
            if not self._heard:
                # stopped any earlier it would stand still for ever if we were killed: from its first word
                # on it is woken then
                self._heard = True
                if self._paused:
                    self._signal(signal.SIGSTOP)
            self._least_free = min(self._least_free, psutil.virtual_memory().available)
            if progress.kind == "failed":
                self._failure = progress.text
            self._on_progress(progress)

    async def _end(self) -> None:
        """Stop the worker, if it still runs, and wait until its work is saved."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

        async def drain() -> None:
            # A full pipe would keep it from ending.
            assert process.stdout is not None
            while await process.stdout.read(1 << 16):
                pass
            await process.wait()

        draining = asyncio.ensure_future(drain())
        while not draining.done():
            # A second cancellation must not leave the worker behind.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(draining)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _was_short(self) -> bool:
        total = psutil.virtual_memory().total
        return self._least_free < max(_SHORT_BYTES, _SHORT_SHARE * total)

    def _halve(self) -> bool:
        """Have the next worker pass steps in twice as many parts; False when that has been tried enough."""
        path = self._folder / SPLITS
        splits = 2 * (int(path.read_text()) if path.is_file() else 1)
        replace_file(path, str(splits).encode())
        return splits <= _MOST_SPLITS

    def _why(self, status: int) -> str:
        if self._failure:
            return self._failure
        if status == STOPPED:
            return "Training was stopped from outside; the next night trains anew."
        log = self._folder / "messages.txt"
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1] if lines else "it said nothing"
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return f"The training process ended with {how}: {last}. See {log}; the next night trains anew."

    def _finished(self) -> TrainResult | None:
        """The result, once it is there."""
        done = read_result(self._folder)
        if done is not None:
            # nobody needs what it would have gone on from any more
            for path in self._folder.glob("*.safetensors"):
                path.unlink(missing_ok=True)
        return done

    def _write_job(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            job = self._job.model_dump_json().encode()
            lines = b"".join(item.model_dump_json().encode() + b"\n" for item in self._items)
            for name, data in ((JOB, job), (ITEMS, lines)):
                replace_file(self._folder / name, data)
        except OSError as error:
            raise LearningError(
                f"Training cannot begin in {self._folder}: {error.strerror}. Free some space."
            ) from error


async def train(
    folder: Path,
    job: TrainJob,
    items: Sequence[TrainItem],
    on_progress: Callable[[TrainProgress], None] = lambda progress: None,
) -> TrainResult:
    """Train an adapter into `folder/adapter`.

    A folder with a finished result is returned at once, one with a checkpoint is gone on with; it must have
    been made for the same job and items. Cancelling stops the worker after it has saved its work.
    Raises LearningError with one sentence.
    """
    return await Training(folder, job, items, on_progress).run()


def read_result(folder: Path) -> TrainResult | None:
    """What training in a folder came to; None while it is not over. Raises LearningError."""
    try:
        return TrainResult.model_validate_json((folder / RESULT).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise LearningError(f"{folder / RESULT} cannot be read: {error}. Delete {folder}.") from error
