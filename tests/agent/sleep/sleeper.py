"""A process that owns a home and sleeps, and dies by SIGKILL where it is told to.

The model is a tiny random Qwen and the exam is decided beforehand; journal, tables, state, registry, training
and its worker are real. What the process finds once it has recovered, and what it leaves after each night, it
tells as JSON lines.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import memory.adapters
import memory.state_tables  # slow: the server of forks is to have done it
from agent import build
from agent.bus import Bus
from agent.config import Settings
from agent.events import Event, NightProgress
from agent.home import Home, OwnerLock
from agent.learning_calls import NightRequest
from agent.lesson_book import LessonBook
from agent.runtime import Runtime
from agent.sleep import exam_stage, train_stage
from agent.sleep.folder import NightFolder
from agent.sleep.training import Training
from memory.adapters import AdapterRegistry
from memory.learning import ExamResult, Lesson
from memory.state import State

_SETTINGS: dict[str, Any] = {
    "learning": {"phrasings": 4, "threshold": 0.0},
    "training": {"passes": 4, "layers": 0.5, "batch_items": 4},
    "model": {"constrain": False},
}
_WORKER = "agent.sleep.worker"
_DIES_WRITING = "SLEEPERS_WORKER_DIES_WRITING"

# Python imports it at its start where it is on the path: a worker dies when it has written half of a file.
_SITECUSTOMIZE = f"""\
import os, signal, sys

name = os.environ.get("{_DIES_WRITING}")
if name and "{_WORKER}" in sys.orig_argv:
    real = os.write

    def write(handle, data):
        if name not in os.readlink(f"/proc/self/fd/{{handle}}"):
            return real(handle, data)
        real(handle, bytes(data)[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    os.write = write
"""


@dataclass(frozen=True)
class Orders:
    """What one process is to do."""

    home: Path
    weights: Path
    """Folder of the model, `CACHE/models/NAME`."""
    path: Path
    """Folder of the module that has workers die."""
    said: Path
    """File for what it tells."""
    dies: str = ""
    """Where it kills itself; a key of `FAULTS`."""
    note: str = ""
    """Told to it before it sleeps."""
    passes: bool = True
    """Whether the exam is passed."""
    workers_die: tuple[str, ...] = ()
    """A night more for each of these, in which the worker dies: at a `step`, or writing a file of that name.
    The last night is left in peace."""


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    """Exit code; negative for a signal."""
    said: tuple[dict[str, Any], ...]
    """What it told."""


class Sleeper:
    """Runs such processes on one home, one after the other."""

    def __init__(self, folder: Path, weights: Path) -> None:
        self.home = folder / "home"
        self._folder = folder
        self._weights = weights

    def __call__(self, **orders: Any) -> Ended:
        """Run one to its end. What it started has to end with it."""
        said = self._folder / "said"
        said.unlink(missing_ok=True)
        path = self._folder / "path"
        path.mkdir(exist_ok=True)
        (path / "sitecustomize.py").write_text(_SITECUSTOMIZE)
        whole = Orders(home=self.home, weights=self._weights, path=path, said=said, **orders)
        process = _forks().Process(target=_live, args=(whole,))
        process.start()
        process.join(120)
        assert process.exitcode is not None, "it hangs"
        self._wait_for_worker()
        lines = said.read_text().splitlines() if said.exists() else []
        return Ended(process.exitcode, tuple(json.loads(line) for line in lines))

    def copy(self, folder: Path) -> Sleeper:
        """The same home once more."""
        shutil.copytree(self.home, folder / "home")
        return Sleeper(folder, self._weights)

    def _wait_for_worker(self) -> None:
        end = time.monotonic() + 30
        while (worker := _worker_of(self.home)) is not None:
            assert time.monotonic() < end, f"{worker} was left behind"
            time.sleep(0.05)


def _forks() -> Any:
    """Where processes come from: a clean one that has made the slow imports and done nothing with them."""
    context = multiprocessing.get_context("forkserver")
    # not LanceDB itself: it starts a thread, which a fork would lack
    slow = ["transformers.models.qwen2.modeling_qwen2", "lance_namespace", "pyarrow.dataset"]
    context.set_forkserver_preload([*slow, __name__])
    return context


def _live(orders: Orders) -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join([str(orders.path), os.environ.get("PYTHONPATH", "")])
    os.environ["NIGHTSCHOOL_CACHE"] = str(orders.weights.parents[1])
    asyncio.run(_sleep(orders))


async def _sleep(orders: Orders) -> None:
    _make_small(orders)
    if orders.dies:
        FAULTS[orders.dies]()
    home = Home(orders.home)
    home.create()
    lock = OwnerLock.acquire(home)
    assert lock is not None, "a killed process still owns the home"
    runtime = build.build_runtime(home, Settings.model_validate(_SETTINGS), lock)
    await runtime.recover()
    await _tell(runtime, orders.said)
    if orders.note:
        await runtime.remember(orders.note)
    for fault in (*orders.workers_die, ""):
        with_fault = _worker_dies(orders.home, fault)
        await runtime.sleep(NightRequest())
        await runtime.drain_sleep()
        with_fault()
        await _tell(runtime, orders.said)
    await runtime.close()


def _make_small(orders: Orders) -> None:
    """Put the tiny model in the place of the real one, and an exam that asks nothing."""
    from agent.model.catalogue import catalogue
    from agent.model.local import LocalModel
    from agent.sleep.exam import without_exam

    entry = next(iter(catalogue().values())).model_copy(update={"name": "tiny"})

    def examine(model: Any, before: Any, after: Any, new: Sequence[Lesson], *_: Any, **__: Any) -> ExamResult:
        passed = without_exam(new)
        if orders.passes:
            return passed
        tried = tuple(one.model_copy(update={"outcome": "retry"}) for one in passed.lessons)
        return passed.model_copy(update={"passed": False, "lessons": tried, "reasons": ("as told",)})

    for owner, name, instead in (
        (build, "chosen_model", lambda settings: entry),
        (build, "load_model", lambda *_: LocalModel.load(orders.weights, "tiny", context_tokens=4096)),
        (build, "_check_weights", lambda name: None),
        (build, "base_digest", lambda name: "base-1"),
        (train_stage, "anchor_items", lambda *_, **__: []),
        (exam_stage, "examine", examine),
    ):
        setattr(owner, name, instead)


async def _tell(runtime: Runtime, said: Path) -> None:
    """Everything that must be as before a promotion or as after it."""
    room = runtime._room
    await runtime.load_model()
    cards, problems = room.registry.read()
    standing = {
        "serving": (await runtime.status()).adapter,
        "active": room.state.active,
        "digest": await room.model.run(lambda model: model.served_digest()),
        "cards": {card.id: [card.digest, card.parent] for card in cards if room.registry.path(card.id)},
        "problems": problems,
        "learned": await runtime.learned(),
        "lessons": [[one.statement, one.state, one.tries] for one in await runtime.lessons()],
        "verdicts": {one.task: one.verdict.kind for one in await runtime.episodes() if one.verdict},
        "reports": [
            [one.night, one.outcome, one.reason, list(one.learned)] for one in await runtime.reports()
        ],
        "nights": sorted(path.name for path in room.nights.iterdir()) if room.nights.is_dir() else [],
    }
    with said.open("a") as file:
        file.write(json.dumps(standing) + "\n")


# Dying


def _always(*_: Any, **__: Any) -> bool:
    return True


def _dies(owner: Any, name: str, *, before: bool = False, when: Callable[..., bool] = _always) -> None:
    """Have the process end before or after this call, `when` its arguments are these."""
    real = getattr(owner, name)

    def die(now: bool, arguments: Any) -> None:
        if now and when(*arguments):
            os.kill(os.getpid(), signal.SIGKILL)

    async def awaited(*arguments: Any) -> Any:
        die(before, arguments)
        result = await real(*arguments)
        die(True, arguments)
        return result

    def called(*arguments: Any, **named: Any) -> Any:
        die(before, arguments)
        result = real(*arguments, **named)
        die(True, arguments)
        return result

    setattr(owner, name, awaited if inspect.iscoroutinefunction(real) else called)


def _is_third_step(event: Event) -> bool:
    return isinstance(event, NightProgress) and event.loss is not None and event.done == 3


FAULTS: dict[str, Callable[[], None]] = {
    "begun": lambda: _dies(NightFolder, "begin"),
    "a lesson kept": lambda: _dies(LessonBook, "keep"),
    "lessons made": lambda: _dies(NightFolder, "choose", before=True),
    "chosen": lambda: _dies(NightFolder, "choose"),
    "training": lambda: _dies(Bus, "deliver", when=lambda _, event: _is_third_step(event)),
    "trained": lambda: _dies(Training, "run"),
    "exam sat": lambda: _dies(NightFolder, "sat"),
    "half registered": lambda: _dies(memory.adapters, "sync_folder", before=True),
    "registered": lambda: _dies(AdapterRegistry, "add"),
    "snapshot taken": lambda: _dies(State, "add_snapshot"),
    "promoted": lambda: _dies(State, "promote"),
    "a try counted": lambda: _dies(LessonBook, "keep", when=lambda _, lesson: lesson.tries > 0),
    "half reported": lambda: _dies(
        NightFolder, "_write", before=True, when=lambda _, name, __: name == "report.json"
    ),
    "reported": lambda: _dies(NightFolder, "close"),
}
"""Where a process may be told to die."""


def _worker_dies(home: Path, where: str) -> Callable[[], None]:
    """Have the next worker die; what is returned takes that back."""
    real = Bus.deliver

    def deliver(bus: Bus, event: Event) -> None:
        worker = _worker_of(home) if _is_third_step(event) else None
        if worker is not None:
            worker.kill()
        real(bus, event)

    def back() -> None:
        Bus.deliver = real  # type: ignore[method-assign]
        os.environ[_DIES_WRITING] = ""

    if where == "step":
        Bus.deliver = deliver  # type: ignore[method-assign]
    else:
        os.environ[_DIES_WRITING] = where
    return back


def _worker_of(home: Path) -> psutil.Process | None:
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if _WORKER in line and any(word.startswith(str(home)) for word in line):
            return process
    return None
