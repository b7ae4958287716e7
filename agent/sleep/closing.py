"""The end of a night: its report is written, and everybody is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from agent.errors import HomeError, LearningError
from agent.events import NightFinished, NightOutcome
from agent.learning_calls import NightReport
from agent.sleep.report import render
from agent.sleep.tonight import Tonight
from memory.learning import AdapterCard
from memory.record import now

log = logging.getLogger(__name__)


async def close(
    night: Tonight,
    outcome: NightOutcome,
    reason: str,
    *,
    card: AdapterCard | None,
    learned: tuple[str, ...],
    loss: Sequence[tuple[int, float]],
) -> NightReport:
    """Write the report of a night that ended in this way. `card`: of the candidate, if it came to one."""
    night.tell("report", "")
    begun = night.folder.begun
    report = NightReport(
        night=night.id,
        outcome=outcome,
        reason=reason,
        started_at=begun.started_at if begun else now(),
        # what an earlier process spent is only known of the stages it finished
        seconds=max(night.seconds, sum(night.stages.values())),
        stages={stage: round(seconds, 2) for stage, seconds in night.stages.items()},
        learned=learned,
        exam=card.exam if card is not None else None,
        adapter=card,
        loss=tuple(loss),
        tokens=night.tokens,
        markdown="",
    )
    lessons = {lesson.id: lesson for lesson in await night.room.lessons.all()}
    report = report.model_copy(update={"markdown": render(report, lessons)})
    try:
        await asyncio.to_thread(night.folder.close, report)
    except (LearningError, HomeError) as error:
        log.warning("the report of %s is not kept: %s", night.id, error)
    await night.room.bus.publish(
        NightFinished(
            night=night.id,
            outcome=outcome,
            reason=reason,
            adapter=card.id if card is not None else None,
            learned=learned,
            seconds=report.seconds,
        )
    )
    return report
