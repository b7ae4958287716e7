"""A night's last stage: the candidate gets its card and, if it passed, serves from one moment to the next."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from agent.errors import LearningError, ModelError
from agent.events import AdapterActivated
from agent.serving import prove
from agent.sleep.choose import Lessons
from agent.sleep.items import TrainResult
from agent.sleep.tonight import Tonight
from agent.sleep.train_stage import train_settings
from memory.adapter_files import adapter_digest
from memory.learning import AdapterCard, ExamResult

log = logging.getLogger(__name__)


def adapter_id(night: str) -> str:
    """The id of the adapter that a night makes."""
    return night.replace("ni_", "ad_")


def make_card(
    night: Tonight, trained: TrainResult, exam: ExamResult, folder: Path, lessons: Lessons
) -> AdapterCard:
    """What the adapter in `folder` is."""
    room = night.room
    parent = None if night.starts_fresh else room.serving.card
    good = {result.lesson_id for result in exam.lessons if result.outcome == "learned"}
    lost = {result.lesson_id for result in exam.lessons if result.outcome != "learned"}
    kept = {lesson.id for lesson in lessons.old} - lost
    ever = {lesson.id for lesson in lessons.all} | set(parent.trained if parent else ())
    return AdapterCard(
        id=adapter_id(night.id),
        kind="core" if night.distils else "night",
        parent=parent.id if parent is not None else None,
        base=room.base_name,
        base_digest=room.base_digest,
        night=night.id,
        lessons=tuple(sorted(good | kept)),
        trained=tuple(sorted(ever)),
        settings=train_settings(room.base, room.settings.training, night.request.method).model_dump(),
        seed=night.seed,
        digest=adapter_digest(folder),
        exam=exam,
        trained_tokens=trained.tokens,
        seconds=trained.seconds,
    )


async def register(night: Tonight, card: AdapterCard, folder: Path) -> AdapterCard:
    """Keep the candidate, whether or not it passed."""
    return await asyncio.to_thread(_register, night, card, folder)


def _register(night: Tonight, card: AdapterCard, folder: Path) -> AdapterCard:
    registry = night.room.registry
    known = {found.id: found for found in registry.list()}.get(card.id)
    if known is not None and known.digest == card.digest:
        return known  # a night that was cut off after this did so already
    registry.remove(card.id)
    registry.add(card, folder)
    return card


async def promote(night: Tonight, card: AdapterCard) -> None:
    """Have the candidate serve, prove that it does, and only then say so for good. Raises LearningError,
    ModelError or StoreError; what served before serves on then."""
    room = night.room
    before = room.serving.card
    snapshot = await room.snapshots.take(f"before {night.id}")
    path = await asyncio.to_thread(room.registry.path, card.id)
    try:
        digest = await room.model.run(lambda model: prove(model, path, card))
    except (LearningError, ModelError):
        back = room.serving.folder
        await room.model.run(lambda model: model.activate(back))
        raise
    await asyncio.to_thread(room.state.promote, card.id, digest, snapshot.id, card.kind == "core")
    room.serving.reload()
    log.info("%s serves instead of %s", card.id, before.id if before else "the base model")
    await room.bus.publish(AdapterActivated(adapter=card.id, digest=digest, why="promotion"))


def learned(card: AdapterCard, lessons: Lessons) -> tuple[str, ...]:
    """Ids of the lessons that are in an adapter's weights and were not before."""
    return tuple(sorted({lesson.id for lesson in lessons.new} & set(card.lessons)))


async def count_tries(night: Tonight, exam: ExamResult, lessons: Lessons) -> None:
    """Lessons that were tried and not learned are tried again, but not for ever."""
    good = {result.lesson_id for result in exam.lessons if result.outcome == "learned" and exam.passed}
    chosen = night.folder.chosen
    before = chosen.tries if chosen is not None else {}
    for lesson in lessons.new:
        # counted from what was before this night: one that was killed here counts only once
        tries = before.get(lesson.id, lesson.tries) + 1
        if lesson.id not in good and lesson.tries != tries:
            await night.room.lessons.keep(lesson.model_copy(update={"tries": tries}))
