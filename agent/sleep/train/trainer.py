"""The training loop: passes over new items, mixed with rehearsal and anchors, until all is known.

Promises: the same job on the same machine gives the same adapter, whether or not it was interrupted; what
is known rests for a pass and is looked at again; the time and tokens of a step do not depend on how many
old lessons there are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from agent.errors import LearningError
from agent.sleep.items import TrainItem, TrainJob, TrainProgress, TrainResult
from agent.sleep.train import state
from agent.sleep.train.adapter import lowest_layer, read_adapter, write_adapter
from agent.sleep.train.blocks import Store, keep, store_name
from agent.sleep.train.encode import Encoded, Encoder
from agent.sleep.train.ewc import Fisher
from agent.sleep.train.feed import Budget, compose, shuffled, stable_random, take
from agent.sleep.train.optimizer import hold_by_distance, hold_by_fisher, make_optimizer, rate
from agent.sleep.train.prepare import Prepared, Preparer
from agent.sleep.train.recipe import kept, recipe, shares
from agent.sleep.train.rehearsal import rehearsal_order
from agent.sleep.train.reporting import Reporter
from agent.sleep.train.state import Standing
from agent.sleep.train.step import Objective, Seen, chunks, fitting
from agent.sleep.train.student import Student
from memory.adapter_files import adapter_digest

_STORE_BYTES = 4 << 30
# Rehearsal of a pass in which much rests, against one in which nothing does, for each token of new items.
_MOST_REHEARSAL = 2.0
# A lesson to be un-taught counts as done when no answer position is further than this from the base, nats.
_UNTAUGHT = 0.1


class Stopped(Exception):
    """The run was asked to stop; everything done so far is saved."""


class _NoNumber(Exception):
    """A loss or gradient is not finite."""


class Trainer:
    """One job in one folder."""

    def __init__(
        self,
        job: TrainJob,
        items: Sequence[TrainItem],
        folder: Path,
        report: Callable[[TrainProgress], None],
        stop: Callable[[], bool] = lambda: False,
        splits: int = 1,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Load everything. `splits`: pass each step in at least so many parts, because memory is short;
        `dtype` None takes what suits the device. Raises ModelError, LearningError."""
        self._job, self._settings, self._recipe = job, job.settings, recipe(job.settings)
        self._folder = folder
        self._reporter = Reporter(report)
        self._stop = stop
        self._standing = Standing(splits=splits)
        self._saved_at = time.monotonic()
        self._new: list[Encoded] = []
        self._say("preparing", "loading the model")
        self._student = Student(
            job.base, device=job.device, quantization=job.quantization, threads=job.threads, dtype=dtype
        )
        self._add_adapter()
        self._parameters = self._student.parameters()
        self._start = {name: value.detach().clone() for name, value in self._parameters.items()}
        self._optimizer = make_optimizer(list(self._parameters.values()), self._student.device, job)
        self._encode(items)
        self._store = None
        if job.cache is not None:
            self._store = job.cache / store_name(job.base, self._student.first, self._settings.teacher_top)
        self._preparer = Preparer(
            self._student,
            self._settings.teacher_top,
            with_teacher=self._recipe.ce_share < 1,
            folder=folder,
            store=Store(self._store) if self._store else None,
        )
        self._objective = Objective(self._student, self._preparer.prefixes, self._settings, self._recipe)
        self._orders = {name: self._shuffled(name) for name in self._kept}
        self._after: tuple[dict[str, tuple[int, float]], list[str]] = ({}, [])
        self._fisher: Fisher | None = None

    def run(self) -> TrainResult:
        """Train to the end, from the checkpoint if there is one. Raises Stopped, LearningError, OSError."""
        found = state.load(self._folder, self._parameters, self._optimizer)
        if found is not None:
            found.splits = max(found.splits, self._standing.splits)
            self._standing, self._reporter.earlier = found, found.seconds
        self._look_at_old()
        if found is None:
            self._checkpoint()
        while not self._standing.finished:
            try:
                whole = self._pass()
                last = self._standing.turn == self._settings.passes
                self._standing.finished = not whole or last or self._all_known()
            except _NoNumber:
                self._go_back()
        return self._finish()

    # Setting up.

    def _add_adapter(self) -> None:
        settings, start = self._settings, None if self._recipe.fresh else self._job.start
        if start is None:
            first, rank, alpha = self._recipe.first_layer, settings.rank, settings.alpha
            if first >= self._student.layers:
                raise LearningError(
                    f"training.first_layer is {first}, but {self._job.base.name} has {self._student.layers} "
                    "layers, counted from 0. Choose a lower one."
                )
            self._student.add_adapter(first, rank, alpha, self._job.seed)
            return
        config, tensors = read_adapter(start)
        # The shape of what is carried on decides; changed settings count from the next fresh adapter on.
        self._student.add_adapter(
            lowest_layer(tensors), int(config["r"]), int(config["lora_alpha"]), self._job.seed
        )
        self._student.load_adapter(tensors, start)

    def _encode(self, items: Sequence[TrainItem]) -> None:
        encoder = Encoder(self._student.chat, self._student.end_token, self._student.context_tokens)
        self._left_out: list[str] = []

        def encoded(some: Sequence[TrainItem]) -> Iterator[Encoded]:
            for item in some:
                one = encoder.encode(item)
                if one is None:
                    self._left_out.append(item.id)
                else:
                    yield one

        used = kept(items, self._recipe)
        self._new = list(encoded(used["new"]))
        self._kept = {name: list(encoded(used[name])) for name in ("rehearsal", "anchor", "unknown")}
        if not self._new:
            raise LearningError("There is nothing to train: no new item fits the model's context.")
        self._new_tokens = sum(len(item.own) for item in self._new)

    def _look_at_old(self) -> None:
        """Order the old lessons, and measure what matters to them; both at the start adapter."""
        old = self._kept["rehearsal"]
        if old and self._recipe.rehearsal:
            with self._start_tensors():
                self._orders["rehearsal"] = rehearsal_order(
                    old,
                    self._new_tokens,
                    self._job.seed,
                    self._probabilities if self._job.start is not None else None,
                )
        if old and self._recipe.ewc:
            order = self._shuffled("rehearsal")
            chosen = [old[index] for index in take(old, order, self._new_tokens)]
            prepared = self._prepare(chosen, "what matters to old lessons")
            with self._start_tensors():
                self._fisher = Fisher(self._student.lora)
                self._fisher.collect(True)
                for part in chunks(prepared, self._settings.batch_items):
                    self._objective.gradients(part, self._standing.splits)
                self._fisher.collect(False)
            self._optimizer.zero_grad(set_to_none=True)

    def _shuffled(self, name: str) -> list[int]:
        order = list(range(len(self._kept[name])))
        stable_random(name, self._job.seed).shuffle(order)
        return order

    def _probabilities(self, indexes: list[int]) -> dict[int, float]:
        old = self._kept["rehearsal"]
        prepared = self._prepare([old[index] for index in indexes], "looking at old lessons")
        looked = self._objective.look(prepared)
        return {index: seen.probability for index, seen in zip(indexes, looked, strict=True)}

    @contextmanager
    def _start_tensors(self) -> Iterator[None]:
        """Compute with the start adapter's tensors for a while."""
        current = {name: value.detach().clone() for name, value in self._parameters.items()}
        self._set(self._start)
        try:
            yield
        finally:
            self._set(current)

    def _set(self, tensors: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self._parameters.items():
                value.copy_(tensors[name])

    # Passes.

    def _pass(self) -> bool:
        """The rest of the current pass; False when the budget ran out before its end."""
        plan = self._plan()
        self._prepare([item for step in plan for item in step], "activations and teachers")
        while self._standing.position < len(plan):
            if self._stop():
                self._checkpoint()
                raise Stopped
            step = plan[self._standing.position]
            if self._over_budget(step):
                return False
            self._step(self._preparer.prepare(step), len(plan))
            if time.monotonic() - self._saved_at > self._job.save_seconds:
                self._checkpoint()
        self._standing.turn += 1
        self._standing.position = 0
        self._standing.cursors, self._standing.waiting = self._after
        return True

    def _plan(self) -> list[list[Encoded]]:
        """The steps of the current pass."""
        standing = self._standing
        active = [item for item in self._new if item.item.id not in standing.resting]
        order = [active[index] for index in shuffled(active, self._job.seed, standing.turn)]
        beside = shares(self._recipe, self._kept)
        # what is old needs as much rehearsal where half of the new rests
        beside["rehearsal"] *= min(_MOST_REHEARSAL, self._new_tokens / sum(len(item.own) for item in active))
        feeds = {name: Budget(self._kept[name], self._orders[name], share) for name, share in beside.items()}
        for name, feed in feeds.items():
            feed.cursor, feed.debt = standing.cursors.get(name, (0, 0.0))
        by_id = {item.item.id: item for items in self._kept.values() for item in items}
        waiting = [by_id[name] for name in standing.waiting]
        new_share = 1 / (1 + sum(beside.values()))
        size = max(1, round(self._settings.batch_items * new_share))
        plan = compose(order, size, list(feeds.values()), waiting)
        self._after = (
            {name: (feed.cursor, feed.debt) for name, feed in feeds.items()},
            [item.item.id for item in waiting],
        )
        return plan

    def _prepare(self, items: Sequence[Encoded], text: str) -> list[Prepared]:
        def tick(done: int, of: int) -> None:
            self._say("preparing", f"{text}: {done} of {of}")
            if self._stop():
                raise Stopped

        return self._preparer.prepare(items, tick)

    def _over_budget(self, step: Sequence[Encoded]) -> bool:
        job, standing = self._job, self._standing
        tokens = standing.tokens + sum(item.tokens for item in step)
        return bool(
            (job.max_tokens and tokens > job.max_tokens)
            or (job.max_seconds and standing.train_seconds > job.max_seconds)
        )

    def _all_known(self) -> bool:
        """Whether training may end early; else decide what rests in the next pass."""
        if not self._recipe.early_stop:
            return False
        if self._standing.turn >= 2 and self._unknown() == 0:
            # Each item was seen before the steps that came after it: look again, at all of them.
            for seen in self._objective.look(self._prepare(self._new, "looking at new lessons")):
                self._note(seen)
            if self._unknown() == 0:
                return True
        self._rest()
        return False

    def _known(self) -> set[str]:
        """New lessons all of whose items are known."""
        unknown = {item.lesson for item in self._new if not self._standing.known.get(item.item.id, False)}
        return {item.lesson for item in self._new} - unknown

    def _unknown(self) -> int:
        """How many new items are not known yet."""
        return sum(not self._standing.known.get(item.item.id, False) for item in self._new)

    def _rest(self) -> None:
        """An item that is known rests, for one pass longer each time it is found known again: it is looked at
        so that it does not decay, but less and less often. In the last pass nothing rests."""
        standing = self._standing
        if standing.turn == self._settings.passes - 1:
            standing.resting = {}
            return
        resting: dict[str, int] = {}
        for item in self._new:
            name = item.item.id
            if not standing.known.get(name, False):
                standing.streaks.pop(name, None)
                continue
            left = standing.resting.get(name, 0)
            if not left:
                left = standing.streaks[name] = standing.streaks.get(name, 0) + 1
            else:
                left -= 1
            if left:
                resting[name] = left
        standing.resting = resting if len(resting) < len(self._new) else {}

    def _note(self, seen: Seen) -> None:
        item = seen.prepared.encoded.item
        self._standing.known[item.id] = (
            seen.divergence < _UNTAUGHT
            if item.role == "unteach"
            else seen.probability > self._settings.rest_probability
        )

    # Steps.

    def _step(self, step: Sequence[Prepared], steps: int) -> None:
        standing = self._standing
        began = time.monotonic()
        loss, seen, standing.splits = fitting(
            lambda splits: self._objective.gradients(step, splits),
            standing.splits,
            len(step),
            lambda: self._optimizer.zero_grad(set_to_none=True),
        )
        if self._recipe.l2:
            hold_by_distance(self._parameters, self._start, self._recipe.l2)
        if self._fisher is not None:
            hold_by_fisher(self._fisher, standing, loss)
        norm = torch.nn.utils.clip_grad_norm_(self._parameters.values(), self._settings.clip)
        if not (math.isfinite(loss) and math.isfinite(float(norm))):
            raise _NoNumber
        for group in self._optimizer.param_groups:
            group["lr"] = rate(self._job, standing, steps)
        self._optimizer.step()
        new = {item.item.id for item in self._new}
        for one in seen:
            if one.prepared.encoded.item.id in new:
                self._note(one)
        standing.step += 1
        standing.position += 1
        standing.tokens += sum(one.encoded.tokens for one in step)
        standing.train_seconds += time.monotonic() - began
        standing.losses.append((standing.step, round(loss, 6)))
        left = steps - standing.position + steps * (self._settings.passes - standing.turn - 1)
        self._say("step", loss=loss, steps=left)

    def _go_back(self) -> None:
        """To the last checkpoint, with half the learning rate; once."""
        if self._standing.rate < 1:
            raise LearningError(
                "The training loss was not a number, twice. Lower training.learning_rate and run the night "
                "again."
            )
        splits = self._standing.splits
        found = state.load(self._folder, self._parameters, self._optimizer)
        if found is None:
            raise LearningError(
                "The training loss was not a number, and there is no checkpoint to go back to."
            )
        self._standing = found.model_copy(update={"rate": 0.5, "splits": splits})
        self._checkpoint()
        self._say("step", "the loss was not a number: back to the last checkpoint, at half the rate")

    # Saving and saying.

    def _checkpoint(self) -> None:
        self._standing.seconds = self._reporter.seconds
        state.save(self._folder, self._standing, self._parameters, self._optimizer)
        self._saved_at = time.monotonic()
        self._say("checkpoint")

    def _finish(self) -> TrainResult:
        self._checkpoint()
        standing, folder = self._standing, self._folder / "adapter"
        tensors = {name: value.detach().float().cpu().numpy() for name, value in self._parameters.items()}
        write_adapter(folder, self._student.adapter_config(self._job.base.name), tensors)
        if self._store is not None:
            keep(self._preparer.files, self._store, _STORE_BYTES)
        every = max(1, len(standing.losses) // 300)
        return TrainResult(
            tokens=standing.tokens,
            seconds=self._reporter.seconds,
            train_seconds=standing.train_seconds,
            steps=standing.step,
            passes=standing.turn + (standing.position > 0),
            loss=tuple(standing.losses[::every]),
            known=tuple(sorted(self._known())),
            left_out=tuple(self._left_out),
            teacher_tokens=self._preparer.teacher_tokens,
            digest=adapter_digest(folder),
        )

    def _say(
        self,
        kind: Literal["preparing", "step", "checkpoint"],
        text: str = "",
        *,
        loss: float = 0.0,
        steps: int = 0,
    ) -> None:
        self._reporter.say(
            kind,
            self._standing,
            text,
            loss=loss,
            steps=steps,
            known=len(self._known()),
            lessons=len({item.lesson for item in self._new}),
        )
