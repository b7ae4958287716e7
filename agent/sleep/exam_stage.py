"""A night's third stage: the candidate sits the exam, at less than its full strength if need be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from agent.sleep.choose import Lessons
from agent.sleep.exam import examine, without_exam
from agent.sleep.tonight import Tonight
from agent.sleep.training import scale_adapter
from memory.learning import ExamResult, Lesson

log = logging.getLogger(__name__)

# A candidate that fails a guard at full strength may pass at less: what it learned fades more slowly than
# what it disturbed.
_SCALES = (1.0, 0.75, 0.5)
# From so many new lessons on the exam asks everything it can: the time for it is small beside the training.
_MANY_LESSONS = 20


async def sit(night: Tonight, lessons: Lessons) -> tuple[ExamResult, Path]:
    """The exam's result and the folder of what passed, or of what failed at full strength."""
    candidate = night.folder.train / "adapter"
    kept = night.folder.exam
    if kept is not None:
        return kept, _scaled(candidate, kept.scale)
    if not night.request.exam:
        return without_exam(lessons.new), candidate
    first: ExamResult | None = None
    for scale in _SCALES:
        folder = await asyncio.to_thread(_scaled, candidate, scale)
        exam = await asyncio.to_thread(_examined, night, folder, lessons)
        exam = exam.model_copy(update={"scale": scale})
        first = first or exam
        if exam.passed:
            night.folder.sat(exam)
            return exam, folder
        log.info("%s failed at scale %g: %s", night.id, scale, "; ".join(exam.reasons))
        night.tell("exam", f"failed at {scale:.0%} of its strength: {'; '.join(exam.reasons)}")
        if all(guard.passed for guard in exam.guards):
            break  # it learned too little; less strength would not teach it more
    assert first is not None
    night.folder.sat(first)
    return first, candidate


def _scaled(candidate: Path, scale: float) -> Path:
    if scale == 1.0:
        return candidate
    target = candidate.with_name(f"adapter-{scale:g}")
    if not target.is_dir():
        scale_adapter(candidate, scale, target)
    return target


def _examined(night: Tonight, folder: Path, lessons: Lessons) -> ExamResult:
    room = night.room
    return examine(
        night.model,
        room.serving.folder,
        folder,
        lessons.new,
        lessons.old,
        tries=room.settings.learning.tries,
        thorough=_is_thorough(night, lessons.new),
        cache_folder=room.cache,
        shared_cache=room.shared_cache,
        base_digest=room.base_digest,
        seed=night.seed,
        specs=room.specs,
        on_progress=lambda text, done, total: night.tell("exam", text, done, total),
    )


def _is_thorough(night: Tonight, new: Sequence[Lesson]) -> bool:
    asked = night.room.settings.sleep.exam
    return asked == "thorough" or (asked == "auto" and (night.distils or len(new) >= _MANY_LESSONS))
