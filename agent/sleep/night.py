"""One night: lessons are made and chosen, a candidate is trained, examined, and promoted if it passed.

Promises: nothing but the night's own folder, lessons and verdicts changes before the promotion, which is one
transaction; a night that is stopped, fails or breaks leaves memory and the served model as they were, and
its report says what happened; one that was killed goes on from its last finished stage.
"""

from __future__ import annotations

import asyncio

from agent.errors import LearningError, ModelError
from agent.events import NightOutcome, NightStarted
from agent.learning_calls import NightReport, NightRequest
from agent.sleep import closing, cut_off, exam_stage, lesson_stage, promotion
from agent.sleep.bedroom import Bedroom
from agent.sleep.borrowed import NightStopped
from agent.sleep.choose import Lessons
from agent.sleep.folder import Begun, NightFolder
from agent.sleep.tonight import Tonight
from agent.sleep.train_stage import TrainStage
from memory.errors import StoreError
from memory.learning import AdapterCard
from memory.record import now


class Night:
    """One run of the sleep phase."""

    def __init__(self, room: Bedroom, folder: NightFolder, request: NightRequest) -> None:
        self._tonight = Tonight(room, folder, request)
        self._training = TrainStage(self._tonight)
        self._card: AdapterCard | None = None
        self._learned: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The night's id."""
        return self._tonight.id

    def stop(self) -> None:
        """Have it end cleanly as soon as it can."""
        self._tonight.stop()
        self._training.stop()

    def hold(self, held: bool) -> None:
        """Leave the cores to the day, or take them again. Only training is held: every other call of the
        model takes its turn among those of the day anyway."""
        self._training.hold(held)

    async def run(self) -> NightReport:
        """The whole night. What goes wrong is its outcome; only a journal that cannot be written raises."""
        folder = self._tonight.folder
        try:
            resumed = folder.begun is not None
            if not resumed:
                await cut_off.report_promoted(self._tonight.room)
                await cut_off.report_passed_by(self._tonight.room)
                folder.begin(self._beginning())
            await self._tonight.room.bus.publish(NightStarted(night=self.id, resumed=resumed))
            outcome, reason = await self._in_time()
        except (NightStopped, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and not self._tonight.stopped:
                task.uncancel()
            outcome, reason = "stopped", "it was stopped before the exam; what it made so far is kept"
        except (LearningError, ModelError, StoreError) as error:
            outcome, reason = "error", str(error)
        except OSError as error:
            outcome, reason = "error", f"{error.strerror or error} ({error.filename or folder.path})"
        learned = self._learned if outcome == "promoted" else ()
        return await closing.close(
            self._tonight, outcome, reason, card=self._card, learned=learned, loss=self._training.loss
        )

    def _beginning(self) -> Begun:
        room = self._tonight.room
        return Begun(
            request=self._tonight.request,
            started_at=now(),
            base_digest=room.base_digest,
            serving=room.serving.card.id if room.serving.card else None,
        )

    async def _in_time(self) -> tuple[NightOutcome, str]:
        minutes = self._tonight.minutes
        try:
            async with asyncio.timeout(minutes * 60 if minutes else None):
                return await self._stages()
        except TimeoutError:
            self.stop()
            return "stopped", f"its time budget of {minutes:g} minutes was used up"

    async def _stages(self) -> tuple[NightOutcome, str]:
        """One after the other; each finds what an earlier process finished of it."""
        night = self._tonight
        await night.borrow()
        night.go_on()
        chosen = await lesson_stage.still_chosen(night)
        if chosen is None:
            await night.timed("lessons", lambda: lesson_stage.make_waiting(night))
            chosen = await lesson_stage.settle(night)
        if not chosen.new and not chosen.untaught and not night.distils:
            return "nothing", "there was nothing to learn"
        lessons = Lessons.of(chosen, await night.room.lessons.all())
        trained = await night.timed("train", lambda: self._training.run(lessons))
        exam, folder = await night.timed("exam", lambda: exam_stage.sit(night, lessons))
        self._card = promotion.make_card(night, trained, exam, folder, lessons)
        self._card = card = await promotion.register(night, self._card, folder)
        if not exam.passed:
            await promotion.count_tries(night, exam, lessons)
            return "failed", "; ".join(exam.reasons) or "the exam was not passed"
        self._learned = promotion.learned(card, lessons)
        await night.timed("promote", lambda: promotion.promote(night, card))
        await promotion.count_tries(night, exam, lessons)
        return "promoted", ""
