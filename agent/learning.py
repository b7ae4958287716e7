"""The learning half of the runtime: nights, lessons, adapters, snapshots, forgetting.

Meets `agent.learning_calls.LearningCalls`; what each call promises is written there. One night at a time;
everything else answers while it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from agent.errors import LearningError, UsageError
from agent.events import AdapterActivated, EpisodeJudged
from agent.forget import Forget
from agent.learning_calls import (
    Forgetting,
    NightPlan,
    NightReport,
    NightRequest,
    PlannedLesson,
    RollbackPlan,
)
from agent.serving import prove
from agent.sleep import cut_off
from agent.sleep.bedroom import Bedroom
from agent.sleep.choose import choose
from agent.sleep.export import export
from agent.sleep.folder import Chosen, NightFolder, nights
from agent.sleep.night import Night
from memory.learning import AdapterCard, Lesson, LessonState, Snapshot
from memory.record import now
from memory.verdict import GateSignals, Verdict


class Learning:
    """Everything about learning that a face may ask for."""

    def __init__(self, bedroom: Bedroom, forgetter: Forget) -> None:
        self._room = bedroom
        self._forgetter = forgetter
        self._night: Night | None = None
        self._sleeping: asyncio.Task[NightReport] | None = None
        self._day_work = 0

    # Nights

    async def sleep(self, request: NightRequest) -> str:
        if self.night_runs:
            assert self._night is not None
            raise UsageError(
                f"Night {self._night.id} is running. Wait for it, or end it with `nightschool sleep --stop`."
            )
        folder = cut_off.unfinished(self._room) or NightFolder(self._room.nights, _new_id("ni"))
        begun = folder.begun
        self._night = Night(self._room, folder, begun.request if begun else request)
        self._night.hold(self._day_work > 0)
        self._sleeping = asyncio.create_task(self._night.run())
        return self._night.id

    async def recover_nights(self) -> None:
        """Have nights that a killed process had finished say so."""
        await cut_off.report_promoted(self._room)

    @contextlib.contextmanager
    def by_day(self) -> Iterator[None]:
        """Work for a person: a night that trains stands still meanwhile."""
        self._hold_night(+1)
        try:
            yield
        finally:
            self._hold_night(-1)

    def _hold_night(self, change: int) -> None:
        self._day_work += change
        if self._night is not None:
            self._night.hold(self._day_work > 0)

    async def stop_sleep(self) -> bool:
        if self._night is None or not self.night_runs:
            return False
        self._night.stop()
        await self.drain_sleep()
        return True

    async def drain_sleep(self) -> None:
        """Wait for a running night."""
        if self._sleeping is not None:
            await asyncio.wait({self._sleeping})

    @property
    def last_night(self) -> datetime | None:
        """When the latest night began, None if there was none; one that is unfinished counts."""
        for night in reversed(nights(self._room.nights)):
            begun = NightFolder(self._room.nights, night).begun
            if begun is not None:
                return begun.started_at
        return None

    @property
    def night_runs(self) -> bool:
        """Whether a night is under way."""
        return self._sleeping is not None and not self._sleeping.done()

    async def anything_to_learn(self) -> bool:
        """Whether a night would have work: something to learn or to take out, or one that was cut off."""
        if cut_off.unfinished(self._room) is not None:
            return True
        chosen = self._choice(await self._room.lessons.all())
        if chosen.new or chosen.untaught:
            return True
        waiting = await self._room.episodes.unjudged()
        return any(episode.verdict and episode.verdict.kind == "write" for episode in waiting)

    def _choice(self, lessons: Sequence[Lesson]) -> Chosen:
        """What a night would do with these lessons now."""
        learning, card = self._room.settings.learning, self._room.serving.card
        inside = card.lessons if card is not None else ()
        return choose(lessons, inside, learning.lessons_per_night, learning.tries)

    async def plan_night(self) -> NightPlan:
        room, card = self._room, self._room.serving.card
        lessons = await room.lessons.all()
        chosen = self._choice(lessons)
        new, waiting, left_out = [], [], []
        for lesson in lessons:
            planned = PlannedLesson(
                episode_id=lesson.episode_id,
                lesson_id=lesson.id,
                text=lesson.statement,
                verdict=lesson.verdict,
            )
            if lesson.id in chosen.new:
                new.append(planned)
            elif card is not None and lesson.id in card.lessons:
                continue
            elif lesson.state in ("pending", "approved"):
                waiting.append(planned)
            else:
                left_out.append(planned)
        for episode in await room.episodes.unjudged():
            assert episode.verdict is not None
            planned = PlannedLesson(
                episode_id=episode.id, lesson_id=None, text=episode.task, verdict=episode.verdict
            )
            (new if episode.verdict.kind == "write" else left_out).append(planned)
        return NightPlan(
            new=tuple(new), waiting=tuple(waiting), left_out=tuple(left_out), old_lessons=len(chosen.old)
        )

    async def report(self, night: str | None = None) -> NightReport:
        known = [found for found in nights(self._room.nights) if self._card_of(found) is not None]
        if night in (None, "last"):
            fitting = known[-1:]
        else:
            fitting = [found for found in known if found.startswith(str(night))]
        if not fitting:
            named = f" `{night}`" if night not in (None, "last") else ""
            raise UsageError(f"There is no report{named} yet. `nightschool sleep --now` runs a night.")
        if len(fitting) > 1:
            raise UsageError(f"`{night}` fits {len(fitting)} nights. Give more of the id.")
        card = self._card_of(fitting[0])
        assert card is not None
        return card

    async def reports(self, limit: int = 30) -> list[NightReport]:
        cards = [self._card_of(night) for night in reversed(nights(self._room.nights))]
        return [card for card in cards if card is not None][:limit]

    # Lessons

    async def lessons(self, state: LessonState | None = None) -> list[Lesson]:
        return await self._room.lessons.all(state)

    async def lesson(self, lesson_id: str) -> Lesson:
        return await self._room.lessons.get(lesson_id)

    async def review(self, ids: tuple[str, ...], approve: bool) -> list[Lesson]:
        wanted: list[Lesson] = []
        for name in ids:
            found = await self._named(name)
            if not found and name.startswith("ep"):
                await self._judge_episode(name, approve)
            wanted += found
        changed = []
        for lesson in wanted:
            if lesson.state in ("vetoed", "retired") or (lesson.state == "approved") == approve:
                continue
            if not approve and lesson.state == "rejected":
                continue
            changed.append(await self._decide(lesson, approve))
        return changed

    async def edit_lesson(self, lesson_id: str, statement: str) -> Lesson:
        from agent.vetoes import vetoes

        if not statement.strip():
            raise UsageError("The lesson is empty. Say what it should teach.")
        lesson = await self._room.lessons.get(lesson_id)
        why = await asyncio.to_thread(vetoes, statement)
        if why:
            raise UsageError(f"That cannot be learned: {'; '.join(why)}. Leave it out.")
        edited = lesson.model_copy(
            update={
                "statement": statement.strip(),
                "span": statement.strip(),
                "phrasings": (),
                "state": "approved",
                "tries": 0,
                "verdict": _by_user(lesson.verdict, "write", "you put it into these words"),
            }
        )
        return await self._room.lessons.keep(edited)

    async def learned(self) -> list[str]:
        card = self._room.serving.card
        return list(card.lessons) if card is not None else []

    # Adapters

    async def adapters(self) -> list[AdapterCard]:
        return await asyncio.to_thread(self._room.registry.list)

    async def activate_adapter(self, adapter: str | None) -> AdapterCard | None:
        self._not_at_night("change the adapter")
        card = None if adapter is None else self._room.serving.check(await self._adapter_id(adapter))
        if card is not None and (card.exam is None or not card.exam.passed):
            raise UsageError(
                f"Adapter {card.id} has not passed its exam, so it does not serve. "
                "`nightschool adapters show` says why."
            )
        await self._serve(card, "user")
        return card

    async def export_adapter(self, adapter: str, form: Literal["peft", "merged"], path: str) -> str:
        adapter_id = await self._adapter_id(adapter)
        source = await asyncio.to_thread(self._room.registry.path, adapter_id)
        target = Path(path)
        await asyncio.to_thread(export, source, self._room.base, form, target)
        return str(target)

    # Snapshots and forgetting

    async def snapshot(self, name: str = "") -> Snapshot:
        return await self._room.snapshots.take(name or "by hand")

    async def snapshots(self) -> list[Snapshot]:
        return await self._room.snapshots.list()

    async def rollback(self, snapshot: str = "last", dry_run: bool = False) -> RollbackPlan:
        if dry_run:
            return await self._room.snapshots.plan(snapshot)
        self._not_at_night("roll back")
        try:
            return await self._room.snapshots.rollback(snapshot)
        finally:
            # also after a failure half-way: what the state says by now is what must serve
            await self._reload("rollback")

    async def forget(self, name: str, dry_run: bool = False) -> Forgetting:
        if dry_run:
            return await self._forgetter.preview(name)
        self._not_at_night("forget")
        try:
            return await self._forgetter.forget(name)
        finally:
            await self._reload("forget")

    async def _reload(self, why: str) -> None:
        """Serve what the state says now."""
        self._room.serving.reload()
        if self._room.model.state == "ready":
            await self._room.model.run(self._room.serving.load_into)
        card = self._room.serving.card
        await self._room.bus.publish(
            AdapterActivated(adapter=card.id if card else None, digest=card.digest if card else "", why=why)
        )

    async def _serve(self, card: AdapterCard | None, why: str) -> None:
        await self._room.snapshots.take(f"before adapter {card.id if card else 'none'}")
        await asyncio.to_thread(
            self._room.state.activate, card.id if card else None, card.digest if card else ""
        )
        await self._reload(why)
        folder = self._room.serving.folder
        if card is not None and self._room.model.state == "ready":
            await self._room.model.run(lambda model: prove(model, folder, card))

    async def _named(self, name: str) -> list[Lesson]:
        """The lessons meant by a lesson's or an episode's id. Raises UsageError for neither."""
        if name.startswith("ep") or name == "last":
            episode = await self._room.episodes.get(name)
            return await self._room.lessons.of_episode(episode.id)
        return [await self._room.lessons.get(name)]

    async def _judge_episode(self, name: str, approve: bool) -> None:
        """An episode without lessons yet: the user's word decides what the night does with it."""
        episode = await self._room.episodes.get(name)
        before = episode.verdict or Verdict(kind="skip", score=0.0, reasons=())
        why = "you approved it" if approve else "you rejected it"
        verdict = _by_user(before, "write" if approve else "skip", why)
        await self._room.bus.publish(EpisodeJudged(episode_id=episode.id, verdict=verdict))
        await self._room.episodes.keep(episode.id)

    async def _decide(self, lesson: Lesson, approve: bool) -> Lesson:
        kind: Literal["write", "skip"] = "write" if approve else "skip"
        verdict = _by_user(lesson.verdict, kind, "you approved it" if approve else "you rejected it")
        state = "approved" if approve else "rejected"
        decided = await self._room.lessons.keep(
            lesson.model_copy(update={"state": state, "verdict": verdict, "tries": 0})
        )
        if approve:
            there = {old.id: old for old in await self._room.lessons.all()}  # one may have been forgotten
            # what it contradicts was said earlier: the newest statement wins once it is approved
            for other in lesson.contradicts:
                old = there.get(other)
                if old is not None and old.state == "approved" and old.created_at < lesson.created_at:
                    await self._room.lessons.keep(old.model_copy(update={"state": "retired"}))
        return decided

    async def _adapter_id(self, name: str) -> str:
        ids = [card.id for card in await self.adapters()]
        fitting = [found for found in ids if name and found.startswith(name)]
        if name == "last":
            fitting = ids[:1]
        if not fitting:
            raise UsageError(f"There is no adapter `{name}`. `nightschool adapters list` shows them.")
        if len(fitting) > 1 and name not in ids:
            raise UsageError(f"`{name}` fits {len(fitting)} adapters. Give more of the id.")
        return name if name in ids else fitting[0]

    def _not_at_night(self, what: str) -> None:
        if self.night_runs:
            raise UsageError(
                f"A night is running, so you cannot {what} now. `nightschool sleep --stop` ends it."
            )

    def _card_of(self, night: str) -> NightReport | None:
        try:
            return NightFolder(self._room.nights, night).report
        except LearningError:
            return None


def _by_user(verdict: Verdict, kind: Literal["write", "skip"], why: str) -> Verdict:
    reasons: Sequence[str] = (why, *verdict.reasons)
    signals: GateSignals = verdict.signals
    return Verdict(
        kind=kind,
        score=1.0 if kind == "write" else 0.0,
        reasons=tuple(reasons),
        vetoes=verdict.vetoes,
        signals=signals,
        stage=verdict.stage,
        by="user",
        at=now(),
    )


def _new_id(prefix: str) -> str:
    return f"{prefix}_{now():%Y%m%dT%H%M%S}_{uuid.uuid4().hex[:6]}"
