"""`python -P -m agent.sleep.worker FOLDER`: trains one adapter as FOLDER/job.json says.

Reads `job.json` and `items.jsonl`, writes progress as JSON lines to standard output and checkpoints into
the folder, and at the end `adapter/` and `result.json`. Exit status: 0 done, 75 stopped by SIGTERM with
everything saved, 1 failed (the last line says why). Started again in the same folder it goes on.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import agent.model  # noqa: F401  sets how torch's threads wait, before torch is imported
from agent.disk import replace_file
from agent.errors import NightSchoolError
from agent.sleep.items import TrainItem, TrainJob, TrainProgress, TrainResult

JOB, ITEMS, RESULT = "job.json", "items.jsonl", "result.json"
SPLITS = "splits"
"""File with the number of parts a step is passed in, when memory ran out before."""
STOPPED = 75


def say(progress: TrainProgress) -> None:
    """One line for the parent."""
    print(progress.model_dump_json(), flush=True)


class _Stop:
    """Whether the work is to end early: by SIGTERM, or because the parent is gone."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: self._asked.set())
        # Ctrl+C goes to the parent, which ends us in order
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if sys.platform == "linux":
            # 1 is PR_SET_PDEATHSIG: when the parent dies while we are paused, wake up and notice
            ctypes.CDLL(None).prctl(1, signal.SIGCONT)
        if not os.isatty(0):
            threading.Thread(target=self._watch_parent, daemon=True).start()

    def _watch_parent(self) -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        self._asked.set()

    def __call__(self) -> bool:
        return self._asked.is_set()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other worker is in the folder: one whose parent was killed may still be saving."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _train(folder: Path, stop: Callable[[], bool]) -> TrainResult:
    from agent.sleep.train.trainer import Trainer

    if (folder / RESULT).is_file():
        # another one finished while we waited
        return TrainResult.model_validate_json((folder / RESULT).read_bytes())
    job = TrainJob.model_validate_json((folder / JOB).read_bytes())
    lines = (folder / ITEMS).read_text(encoding="utf-8").splitlines()
    items = [TrainItem.model_validate_json(line) for line in lines if line]
    splits = int((folder / SPLITS).read_text()) if (folder / SPLITS).is_file() else 1
    result = Trainer(job, items, folder, say, stop, splits=splits).run()
    replace_file(folder / RESULT, result.model_dump_json().encode())
    return result


def work(folder: Path) -> int:
    """Run the job; returns the exit status."""
    stop = _Stop()
    # the parent may stop us from here on: we are woken when it dies
    say(TrainProgress(kind="preparing", text="starting"))
    from agent.sleep.train.trainer import Stopped

    try:
        with _alone(folder):
            result = _train(folder, stop)
    except Stopped:
        return STOPPED
    except NightSchoolError as error:
        say(TrainProgress(kind="failed", text=str(error)))
        return 1
    except OSError as error:
        why = (
            "the disk is full"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else error.strerror or str(error)
        )
        text = f"Training could not save its work in {folder}: {why}. Free some space and run it again."
        say(TrainProgress(kind="failed", text=text))
        return 1
    say(
        TrainProgress(
            kind="done", step=result.steps, steps=result.steps, tokens=result.tokens, seconds=result.seconds
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(work(Path(sys.argv[1])))
