"""A night's second stage: the items are made, and a worker trains a candidate on them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from agent.config import TrainingSettings
from agent.events import NightProgress
from agent.sleep.anchors import anchor_items
from agent.sleep.choose import Lessons
from agent.sleep.course import lesson_items
from agent.sleep.items import TrainItem, TrainJob, TrainMethod, TrainProgress, TrainResult, TrainSettings
from agent.sleep.nameless import nameless_items
from agent.sleep.regenerate import unknown_items
from agent.sleep.tonight import Tonight
from agent.sleep.training import Training

# Anchors are answered once by the base model and kept; a night asks for as many as it will train on.
_LEAST_ANCHORS, _ANCHORS_A_LESSON, _ANCHORS = 60, 6, 300
# Of the time a budget leaves when training begins; the rest is for the exam.
_TRAINING_SHARE = 0.6


class TrainStage:
    """The training of one night. It can be held and stopped at any moment."""

    def __init__(self, night: Tonight) -> None:
        self._night = night
        self._trainer: Training | None = None
        self._running: asyncio.Task[TrainResult] | None = None
        self._held = False
        self.loss: list[tuple[int, float]] = []
        """Loss of each step so far."""

    def hold(self, held: bool) -> None:
        """Leave the cores to the day, or take them again."""
        if held == self._held:
            return
        self._held = held
        if self._trainer is not None:
            self._trainer.pause() if held else self._trainer.resume()
            self._night.tell("train", "waits while you work" if held else "goes on")

    def stop(self) -> None:
        """End it; the worker saves what it has."""
        if self._running is not None:
            self._running.cancel()

    async def run(self, lessons: Lessons) -> TrainResult:
        """Train the candidate into the night's folder, or find it there. Raises LearningError."""
        night = self._night
        items = await asyncio.to_thread(_items, night, lessons)
        night.go_on()
        self._trainer = Training(night.folder.train, _job(night), items, self._follow)
        if self._held:
            self._trainer.pause()
        self._running = asyncio.ensure_future(self._trainer.run())
        try:
            result = await self._running
        finally:
            self._running = self._trainer = None
        night.tokens["trained"] += result.tokens
        night.tokens["teacher"] += result.teacher_tokens
        self.loss = list(result.loss)
        return result

    def _follow(self, progress: TrainProgress) -> None:
        if progress.kind == "step":
            self.loss.append((progress.step, progress.loss))
        self._night.room.bus.deliver(
            NightProgress(
                night=self._night.id,
                stage="train",
                text=progress.text,
                done=progress.step,
                total=progress.steps,
                loss=progress.loss if progress.kind == "step" else None,
                known=progress.known if progress.lessons else None,
                tokens_per_second=progress.tokens_per_second or None,
            )
        )


def train_settings(base: Path, training: TrainingSettings, method: TrainMethod) -> TrainSettings:
    """The hyper-parameters for the base model in a folder."""
    layers = int(json.loads((base / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"])
    return TrainSettings(
        first_layer=max(0, round(layers * (1 - training.layers))),
        rank=training.rank,
        alpha=2 * training.rank,
        learning_rate=training.learning_rate,
        batch_items=training.batch_items,
        passes=training.passes,
        ce_share=training.ce_share,
        rehearsal_share=training.rehearsal_share,
        anchor_share=training.anchor_share,
        method=method,
    )


def _job(night: Tonight) -> TrainJob:
    room = night.room
    return TrainJob(
        base=room.base,
        quantization=room.quantization,
        device=room.settings.model.device,
        start=None if night.starts_fresh else room.serving.folder,
        settings=train_settings(room.base, room.settings.training, night.request.method),
        seed=night.seed,
        cache=room.cache / "activations",
        max_seconds=_seconds_for_training(night),
        max_tokens=night.request.max_trained_tokens,
    )


def _seconds_for_training(night: Tonight) -> float:
    """What the night's time budget leaves for training, with room for the exam; 0 for no limit."""
    if not night.minutes:
        return 0.0
    return max(1.0, (night.minutes * 60 - night.seconds) * _TRAINING_SHARE)


def _items(night: Tonight, lessons: Lessons) -> list[TrainItem]:
    """Everything that is trained on. In a thread of its own: it asks the model."""
    room, method, new, old = night.room, night.request.method, lessons.new, lessons.old
    items = lesson_items(new, "new", room.specs)
    if method in ("naive", "l2", "naive_same_data"):
        return items
    items += lesson_items(old, "rehearsal", room.specs)
    if method in ("replay", "joint", "ewc"):
        return items
    items += lesson_items(lessons.untaught, "unteach", room.specs)
    night.model.activate(None)
    items += anchor_items(
        night.model,
        room.shared_cache,
        room.base_digest,
        min(_ANCHORS, _LEAST_ANCHORS + _ANCHORS_A_LESSON * len(new)),
        night.seed,
        specs=room.specs,
        on_progress=lambda text, done, total: night.tell("train", text, done, total),
    )
    # the newest of the old ones, as many as there are new ones: a night's cost must not grow
    beside = [*new, *sorted(old, key=lambda lesson: lesson.created_at)[-len(new) :]] if new else []
    items += nameless_items(night.model, beside, night.seed)
    items += unknown_items([*new, *old], room.specs, night.seed)
    return items
