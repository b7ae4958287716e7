"""One `bench c2w` from options to result: its folder, its facts, the run, general text, the summing up."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.config import Settings, cache_dir
from agent.connect import open_runtime
from agent.errors import UsageError
from agent.home import Home
from benchmarks.c2w import C2wOptions, OpenRuntime, Say, run_c2w
from benchmarks.c2w_result import Judge, sum_up
from benchmarks.facts import Fact, invent, read_facts
from benchmarks.stream import Stream, plan_stream
from benchmarks.unrelated import PROMPTS

DEFAULT_NIGHTS = 5
DEFAULT_PER_NIGHT = 10

TextNats = Callable[[Settings, Path | None], float]
"""Nats a token of general text, under the adapter in this folder or under the base model alone."""


class Session:
    """One benchmark, and the folder in which it can go on after it was killed."""

    def __init__(
        self, settings: Settings, options: C2wOptions, facts: Path | None = None, talk: bool = True
    ) -> None:
        """`talk` False leaves as notes what would be said to the working agent. Raises UsageError."""
        self.options = _with_digest(options, facts)
        self.settings = settings
        self.stream = _stream(self.options, facts, talk)
        self.folder = cache_dir() / "bench" / f"c2w-{self._digest()}"

    @property
    def home(self) -> Path:
        """The run's own home."""
        return self.folder / "home"

    @property
    def begun(self) -> bool:
        """Whether an earlier run of the same benchmark is there to go on from."""
        return (self.folder / "run.jsonl").exists()

    async def run(
        self,
        say: Say,
        judge: Judge | None = None,
        open_home: OpenRuntime = open_runtime,
        text_nats: TextNats | None = None,
    ) -> dict[str, Any]:
        """Run what is not done yet and sum up. The folder stays until `remove`."""
        log, end = await run_c2w(self.settings, self.stream, self.options, self.folder, say, open_home)
        measure = text_nats or general_text_nats
        if self.options.trains and "text_after" not in log.figures:
            say("measuring general text before and after")
            before = measure(self.settings, None)
            adapter = Home(self.home).adapters / end.adapter if end.adapter else None
            log.measured("text_before", before)
            log.measured("text_after", measure(self.settings, adapter) if adapter else before)
        return sum_up(
            self.settings,
            self.stream,
            self.options,
            log,
            end,
            judge or _product_judge(),
            _model(self.settings),
        )

    def remove(self) -> None:
        """Take the run's folder away."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _digest(self) -> str:
        """Of everything that decides what a run does: another run never goes on in its folder."""
        what = [
            self.options.model_dump(),
            self.settings.model_dump(mode="json", exclude={"tui", "policy"}),
            _model(self.settings),
            [telling.model_dump() for telling in self.stream.tellings],
            # the questions too: answers to others are of no use
            [fact.model_dump() for fact in self.stream.facts],
            PROMPTS,
        ]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def general_text_nats(settings: Settings, adapter: Path | None) -> float:
    """Mean nats a token over the exam's texts. Loads the model: slow."""
    from agent.build import chosen_model, load_model
    from agent.model.text_nll import text_nll
    from agent.sleep.material import texts

    model = load_model(settings, chosen_model(settings), None)
    model.activate(adapter)
    scores = text_nll(model, texts())
    return sum(score.nats for score in scores) / sum(score.tokens for score in scores)


async def sandbox_works(settings: Settings) -> bool:
    """Whether the working agent can be talked to here: without a sandbox it takes no tasks."""
    from agent.sandboxing import sandbox_from
    from sandbox.base import SandboxError

    try:
        await sandbox_from(settings.sandbox, hidden=[]).probe()
    except SandboxError:
        return False
    return True


def _stream(options: C2wOptions, path: Path | None, talk: bool) -> Stream:
    return plan_stream(
        _facts(options, path),
        options.nights,
        options.per_night,
        options.style,
        options.seed,
        options.order,
        talk,
    )


def _facts(options: C2wOptions, path: Path | None) -> tuple[Fact, ...]:
    if path is not None:
        return read_facts(path, options.seed)
    return invent(options.nights * options.per_night, options.seed)


def fit_to_facts(path: Path | None, nights: int | None, per_night: int | None, seed: int) -> tuple[int, int]:
    """Nights and facts a night, where they were not given: the usual, or what a file of facts makes of it.
    Raises UsageError for a file that cannot be used."""
    if path is None:
        return nights or DEFAULT_NIGHTS, per_night or DEFAULT_PER_NIGHT
    count = len(read_facts(path, seed))
    if nights and not per_night:
        return nights, max(1, math.ceil(count / nights))
    each = per_night or min(DEFAULT_PER_NIGHT, count)
    return nights or math.ceil(count / each), each


def _with_digest(options: C2wOptions, path: Path | None) -> C2wOptions:
    if path is None:
        return options
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {(error.strerror or str(error)).lower()}.") from error
    return options.model_copy(update={"facts": digest})


def _model(settings: Settings) -> str:
    from agent.build import chosen_model

    return chosen_model(settings).name


def _product_judge() -> Judge:
    from agent.sleep.agree import contains_answer

    return contains_answer
