"""One night: lessons are made and chosen, a candidate is trained, examined, and promoted if it passed.

Promises: nothing but the night's own folder, lessons and verdicts changes before the promotion, which is one
transaction; a night that is stopped, fails or breaks leaves memory and the served model as they were, and
its report says what happened; one that was killed goes on from its last finished stage.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from agent.archive import Archive
from agent.bus import Bus
from agent.config import Settings
from agent.errors import HomeError, LearningError, ModelError
from agent.events import (
    AdapterActivated,
    EpisodeJudged,
    NightFinished,
    NightOutcome,
    NightProgress,
    NightStage,
    NightStarted,
)
from agent.learning_calls import NightReport, NightRequest
from agent.lesson_book import LessonBook
from agent.model.thread import ModelThread
from agent.rollback import Snapshots
from agent.serving import Serving, prove
from agent.sleep.anchors import anchor_items
from agent.sleep.borrowed import BorrowedModel, NightStopped
from agent.sleep.choose import choose
from agent.sleep.course import lesson_items
from agent.sleep.exam import examine
from agent.sleep.folder import Begun, Chosen, NightFolder, Spent
from agent.sleep.items import TrainItem, TrainJob, TrainProgress, TrainResult, TrainSettings
from agent.sleep.making import draft_lessons, settle_lessons
from agent.sleep.nameless import nameless_items
from agent.sleep.regenerate import unknown_items
from agent.sleep.report import render
from agent.sleep.side_by_side import side_by_side
from agent.sleep.training import Training, scale_adapter
from memory.adapter_files import adapter_digest
from memory.adapters import AdapterRegistry
from memory.embed import Embedder
from memory.errors import StoreError
from memory.learning import AdapterCard, ExamResult, Lesson
from memory.record import now
from memory.state import State
from memory.types import Episode
from skills.tool import ToolSpec

_T = TypeVar("_T")
Quantization = Literal["none", "nf4"]
log = logging.getLogger(__name__)

# A candidate that fails a guard at full strength may pass at less: what it learned fades more slowly than
# what it disturbed.
_SCALES = (1.0, 0.75, 0.5)
# Anchors are answered once by the base model and kept; a night asks for as many as it will train on.
_LEAST_ANCHORS, _ANCHORS_A_LESSON, _ANCHORS = 60, 6, 300
# Episodes that become lessons together. What a kill loses is at most the work on these.
_SIDE_BY_SIDE = 6
# From so many new lessons on the exam asks everything it can: the time for it is small beside the training.
_MANY_LESSONS = 20
# Of the time a budget leaves when training begins; the rest is for the exam.
_TRAINING_SHARE = 0.6


@dataclass(frozen=True)
class Bedroom:
    """What a night works with; wired in `agent.build`."""

    settings: Settings
    nights: Path
    """Folder of all nights."""
    cache: Path
    """The home's folder for what may be computed once and kept: what adapters say, activations."""
    shared_cache: Path
    """The same for what knows no lesson and serves every home: anchors, figures of the base."""
    base: Path
    """Folder of the base model."""
    base_name: str
    """Its catalogue name."""
    base_digest: str
    """Digest of its weights."""
    quantization: Quantization
    """How it is loaded."""
    model: ModelThread
    bus: Bus
    episodes: Archive
    lessons: LessonBook
    registry: AdapterRegistry
    state: State
    snapshots: Snapshots
    serving: Serving
    embedder: Embedder | None
    specs: tuple[ToolSpec, ...]
    """The agent's tools, as they stand in a task's prompt."""


class Night:
    """One run of the sleep phase."""

    def __init__(self, bedroom: Bedroom, folder: NightFolder, request: NightRequest) -> None:
        self._room = bedroom
        self._folder = folder
        self._request = request
        self._borrowed: BorrowedModel | None = None
        self._stopped = False
        self._began = time.monotonic()
        self._loss: list[tuple[int, float]] = []
        self._stages: dict[str, float] = dict(folder.spent.stages)
        self._tokens: dict[str, int] = {"generated": 0, "teacher": 0, "trained": 0, **folder.spent.tokens}
        self._card: AdapterCard | None = None
        self._exam: ExamResult | None = None
        self._learned: tuple[str, ...] = ()
        self._training: asyncio.Task[TrainResult] | None = None
        self._trainer: Training | None = None
        self._held = False

    @property
    def id(self) -> str:
        """The night's id."""
        return self._folder.night

    def stop(self) -> None:
        """Have it end cleanly as soon as it can."""
        self._stopped = True
        if self._borrowed is not None:
            self._borrowed.stop()
        if self._training is not None:
            self._training.cancel()

    def hold(self, held: bool) -> None:
        """Leave the cores to the day, or take them again. Only training is held: every other call of the
        model takes its turn among those of the day anyway."""
        if held == self._held:
            return
        self._held = held
        if self._trainer is not None:
            self._trainer.pause() if held else self._trainer.resume()
            self._tell("train", "waits while you work" if held else "goes on")

    async def run(self) -> NightReport:
        """The whole night. What goes wrong is its outcome; only a journal that cannot be written raises."""
        resumed = self._folder.begun is not None
        try:
            if not resumed:
                self._folder.begin(
                    Begun(
                        request=self._request,
                        started_at=now(),
                        base_digest=self._room.base_digest,
                        serving=self._room.serving.card.id if self._room.serving.card else None,
                    )
                )
            await self._room.bus.publish(NightStarted(night=self.id, resumed=resumed))
            outcome, reason = await self._through()
        except (NightStopped, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and not self._stopped:
                task.uncancel()
            outcome, reason = "stopped", "it was stopped before the exam; what it made so far is kept"
        except (LearningError, ModelError, StoreError) as error:
            outcome, reason = "error", str(error)
        except OSError as error:
            outcome, reason = "error", f"{error.strerror or error} ({error.filename or self._folder.path})"
        return await self._close(outcome, reason)

    async def _through(self) -> tuple[NightOutcome, str]:
        minutes = self._minutes
        try:
            async with asyncio.timeout(minutes * 60 if minutes else None):
                return await self._work()
        except TimeoutError:
            self.stop()
            return "stopped", f"its time budget of {minutes:g} minutes was used up"

    @property
    def _minutes(self) -> float:
        asked = self._request.max_minutes
        return self._room.settings.sleep.max_minutes if asked is None else asked

    async def _work(self) -> tuple[NightOutcome, str]:
        await self._room.model.load()
        self._borrowed = BorrowedModel(self._room.model, lambda: self._room.serving.folder)
        self._go_on()
        chosen = self._folder.chosen
        if chosen is None:
            await self._timed("lessons", self._make_lessons)
            chosen = await self._choose()
        if not chosen.new and not chosen.untaught and not self._distils:
            return "nothing", "there was nothing to learn"
        lessons = {lesson.id: lesson for lesson in await self._room.lessons.all()}
        new = [lessons[i] for i in chosen.new if i in lessons]
        old = [lessons[i] for i in chosen.old if i in lessons]
        untaught = [lessons[i] for i in chosen.untaught if i in lessons]
        trained = await self._timed("train", lambda: self._train(new, old, untaught))
        self._loss = list(trained.loss)
        exam, folder = await self._timed("exam", lambda: self._examine(new, old))
        self._exam = exam
        self._card = self._make_card(trained, exam, folder, new, old, untaught)
        self._card = await asyncio.to_thread(self._register, self._card, folder)
        if not exam.passed:
            await self._count_tries(new, exam)
            return "failed", "; ".join(exam.reasons) or "the exam was not passed"
        await self._timed("promote", self._promote)
        await self._count_tries(new, exam)
        return "promoted", ""

    def _go_on(self) -> None:
        """Raises NightStopped when it was asked to stop while nothing was running that could be cut off."""
        if self._stopped:
            raise NightStopped

    async def _timed(self, stage: NightStage, work: Callable[[], Awaitable[_T]]) -> _T:
        self._go_on()
        self._tell(stage, "")
        began = time.monotonic()
        try:
            return await work()
        finally:
            self._stages[stage] = self._stages.get(stage, 0.0) + time.monotonic() - began
            self._count_tokens()
            self._folder.spend(Spent(stages=self._stages, tokens=self._tokens))

    def _count_tokens(self) -> None:
        if self._borrowed is not None:
            self._tokens["generated"] += self._borrowed.generated
            self._tokens["read"] = self._tokens.get("read", 0) + self._borrowed.read
            self._borrowed.generated = self._borrowed.read = 0

    # Lessons

    async def _make_lessons(self) -> None:
        """Episodes nobody has scored yet become lessons, a few at a time: a night that was cut off goes on
        with the next ones."""
        waiting = await self._room.episodes.unjudged()
        for begin in range(0, len(waiting), _SIDE_BY_SIDE):
            some = waiting[begin : begin + _SIDE_BY_SIDE]
            self._tell("lessons", some[0].task, begin, len(waiting))
            drafts = await asyncio.to_thread(self._drafts_of, some)
            for episode, drafted in zip(some, drafts, strict=True):
                await self._settle(episode, drafted)
        # lessons put into other words by the user have no phrasings yet
        for lesson in await self._room.lessons.all("approved"):
            if not lesson.phrasings:
                self._tell("lessons", lesson.statement)
                await self._room.lessons.keep(await asyncio.to_thread(self._phrase_again, lesson))
        self._tell("lessons", "", len(waiting), len(waiting))

    def _drafts_of(self, episodes: Sequence[Episode]) -> list[list[Lesson]]:
        room = self._room
        assert self._borrowed is not None
        self._borrowed.activate(None)
        make = partial(draft_lessons, specs=room.specs, settings=room.settings.learning, seed=self._seed)
        return side_by_side(self._borrowed, [partial(make, episode=episode) for episode in episodes])

    async def _settle(self, episode: Episode, drafts: Sequence[Lesson]) -> None:
        room, known = self._room, await self._room.lessons.all()
        made = await asyncio.to_thread(settle_lessons, episode, drafts, known, room.embedder)
        for lesson in made.lessons:
            await room.lessons.keep(lesson)
        await room.bus.publish(EpisodeJudged(episode_id=episode.id, verdict=made.verdict))
        await room.episodes.keep(episode.id)

    def _phrase_again(self, lesson: Lesson) -> Lesson:
        from agent.sleep.making import phrase

        assert self._borrowed is not None
        self._borrowed.activate(None)
        return phrase(
            self._borrowed, lesson, self._room.specs, self._room.settings.learning.phrasings, self._seed
        )

    async def _choose(self) -> Chosen:
        learning = self._room.settings.learning
        card = self._room.serving.card
        chosen = choose(
            await self._room.lessons.all(),
            card.lessons if card is not None else (),
            learning.lessons_per_night,
            learning.tries,
        )
        if self._distils:
            # a core adapter starts from the base: everything is new to it
            chosen = Chosen(new=(*chosen.old, *chosen.new), old=(), untaught=())
        self._folder.choose(chosen)
        return chosen

    @property
    def _distils(self) -> bool:
        if self._request.distill is not None:
            return self._request.distill
        every = self._room.settings.sleep.distill_every
        return bool(every) and self._room.state.nights_since_core >= every

    # Training

    async def _train(
        self, new: Sequence[Lesson], old: Sequence[Lesson], untaught: Sequence[Lesson]
    ) -> TrainResult:
        items = await asyncio.to_thread(self._items, new, old, untaught)
        start = None if self._distils or self._request.method == "joint" else self._room.serving.folder
        job = TrainJob(
            base=self._room.base,
            quantization=self._room.quantization,
            device=self._room.settings.model.device,
            start=start,
            settings=self._train_settings(),
            seed=self._seed,
            cache=self._room.cache / "activations",
            max_seconds=self._training_seconds(),
            max_tokens=self._request.max_trained_tokens,
        )
        self._go_on()
        self._trainer = Training(self._folder.train, job, items, self._trained)
        if self._held:
            self._trainer.pause()
        self._training = asyncio.ensure_future(self._trainer.run())
        try:
            result = await self._training
        finally:
            self._training = self._trainer = None
        self._tokens["trained"] += result.tokens
        self._tokens["teacher"] += result.teacher_tokens
        return result

    def _training_seconds(self) -> float:
        """What the night's time budget leaves for training, with room for the exam; 0 for no limit."""
        minutes = self._minutes
        if not minutes:
            return 0.0
        left = minutes * 60 - (time.monotonic() - self._began)
        return max(1.0, left * _TRAINING_SHARE)

    def _items(
        self, new: Sequence[Lesson], old: Sequence[Lesson], untaught: Sequence[Lesson]
    ) -> list[TrainItem]:
        room, model = self._room, self._borrowed
        assert model is not None
        items = lesson_items(new, "new", room.specs)
        if self._request.method in ("naive", "l2", "naive_same_data"):
            return items
        items += lesson_items(old, "rehearsal", room.specs)
        if self._request.method in ("replay", "joint", "ewc"):
            return items
        items += lesson_items(untaught, "unteach", room.specs)
        model.activate(None)
        items += anchor_items(
            model,
            room.shared_cache,
            room.base_digest,
            min(_ANCHORS, _LEAST_ANCHORS + _ANCHORS_A_LESSON * len(new)),
            self._seed,
            specs=room.specs,
            on_progress=lambda text, done, total: self._tell("train", text, done, total),
        )
        # the newest of the old ones, as many as there are new ones: a night's cost must not grow
        beside = [*new, *sorted(old, key=lambda lesson: lesson.created_at)[-len(new) :]] if new else []
        items += nameless_items(model, beside, self._seed)
        items += unknown_items([*new, *old], room.specs, self._seed)
        return items

    def _train_settings(self) -> TrainSettings:
        training = self._room.settings.training
        layers = self._layers
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
            method=self._request.method,
        )

    @property
    def _layers(self) -> int:
        import json

        config = json.loads((self._room.base / "config.json").read_text(encoding="utf-8"))
        return int(config["num_hidden_layers"])

    def _trained(self, progress: TrainProgress) -> None:
        if progress.kind == "step":
            self._loss.append((progress.step, progress.loss))
        self._room.bus.deliver(
            NightProgress(
                night=self.id,
                stage="train",
                text=progress.text,
                done=progress.step,
                total=progress.steps,
                loss=progress.loss if progress.kind == "step" else None,
                known=progress.known if progress.lessons else None,
                tokens_per_second=progress.tokens_per_second or None,
            )
        )

    # Exam

    async def _examine(self, new: Sequence[Lesson], old: Sequence[Lesson]) -> tuple[ExamResult, Path]:
        """The exam's result and the folder of what passed, or of what failed at full strength."""
        candidate = self._folder.train / "adapter"
        kept = self._folder.exam
        if kept is not None:
            return kept, self._scaled(candidate, kept.scale)
        if not self._request.exam:
            return self._no_exam(new), candidate
        first: ExamResult | None = None
        for scale in _SCALES:
            folder = await asyncio.to_thread(self._scaled, candidate, scale)
            exam = await asyncio.to_thread(self._sit, folder, new, old)
            exam = exam.model_copy(update={"scale": scale})
            first = first or exam
            if not exam.passed:
                log.info("%s failed at scale %g: %s", self.id, scale, "; ".join(exam.reasons))
                self._tell("exam", f"failed at {scale:.0%} of its strength: {'; '.join(exam.reasons)}")
            if exam.passed:
                self._folder.sat(exam)
                return exam, folder
            if all(guard.passed for guard in exam.guards):
                break  # it learned too little; less strength would not teach it more
        assert first is not None
        self._folder.sat(first)
        return first, candidate

    def _scaled(self, candidate: Path, scale: float) -> Path:
        if scale == 1.0:
            return candidate
        target = candidate.with_name(f"adapter-{scale:g}")
        if not target.is_dir():
            scale_adapter(candidate, scale, target)
        return target

    def _sit(self, folder: Path, new: Sequence[Lesson], old: Sequence[Lesson]) -> ExamResult:
        assert self._borrowed is not None
        return examine(
            self._borrowed,
            self._room.serving.folder,
            folder,
            new,
            old,
            tries=self._room.settings.learning.tries,
            thorough=self._is_thorough(new),
            cache_folder=self._room.cache,
            shared_cache=self._room.shared_cache,
            base_digest=self._room.base_digest,
            seed=self._seed,
            specs=self._room.specs,
            on_progress=lambda text, done, total: self._tell("exam", text, done, total),
        )

    def _is_thorough(self, new: Sequence[Lesson]) -> bool:
        asked = self._room.settings.sleep.exam
        return asked == "thorough" or (asked == "auto" and (self._distils or len(new) >= _MANY_LESSONS))

    def _no_exam(self, new: Sequence[Lesson]) -> ExamResult:
        from agent.sleep.exam import without_exam

        return without_exam(new)

    # Promotion

    def _make_card(
        self,
        trained: TrainResult,
        exam: ExamResult,
        folder: Path,
        new: Sequence[Lesson],
        old: Sequence[Lesson],
        untaught: Sequence[Lesson],
    ) -> AdapterCard:
        room = self._room
        parent = None if self._distils or self._request.method == "joint" else room.serving.card
        learned = {result.lesson_id for result in exam.lessons if result.outcome == "learned"}
        lost = {r.lesson_id for r in exam.lessons if r.outcome != "learned"}
        kept = {lesson.id for lesson in old} - lost
        ever = {lesson.id for lesson in (*new, *old, *untaught)} | set(parent.trained if parent else ())
        self._learned = tuple(sorted(learned & {lesson.id for lesson in new}))
        return AdapterCard(
            id=self.id.replace("ni_", "ad_"),
            kind="core" if self._distils else "night",
            parent=parent.id if parent is not None else None,
            base=room.base_name,
            base_digest=room.base_digest,
            night=self.id,
            lessons=tuple(sorted(learned | kept)),
            trained=tuple(sorted(ever)),
            settings=self._train_settings().model_dump(),
            seed=self._seed,
            digest=adapter_digest(folder),
            exam=exam,
            trained_tokens=trained.tokens,
            seconds=trained.seconds,
        )

    def _register(self, card: AdapterCard, folder: Path) -> AdapterCard:
        """Keep the candidate; a night that was cut off after this did so already."""
        registry = self._room.registry
        known = {found.id: found for found in registry.list()}.get(card.id)
        if known is not None and known.digest == card.digest:
            return known
        registry.remove(card.id)
        registry.add(card, folder)
        return card

    async def _promote(self) -> None:
        card = self._card
        assert card is not None
        room = self._room
        before = room.serving.card
        snapshot = await room.snapshots.take(f"before {self.id}")
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

    async def _count_tries(self, new: Sequence[Lesson], exam: ExamResult) -> None:
        """Lessons that were tried and not learned are tried again, but not for ever."""
        in_weights = self._learned if exam.passed else ()
        for lesson in new:
            if lesson.id not in in_weights:
                await self._room.lessons.keep(lesson.model_copy(update={"tries": lesson.tries + 1}))

    # The end

    async def _close(self, outcome: NightOutcome, reason: str) -> NightReport:
        self._tell("report", "")
        begun = self._folder.begun
        learned = self._learned if outcome == "promoted" else ()
        report = NightReport(
            night=self.id,
            outcome=outcome,
            reason=reason,
            started_at=begun.started_at if begun else now(),
            seconds=time.monotonic() - self._began,
            stages={stage: round(seconds, 2) for stage, seconds in self._stages.items()},
            learned=learned,
            exam=self._exam,
            adapter=self._card,
            loss=tuple(self._loss),
            tokens=self._tokens,
            markdown="",
        )
        lessons = {lesson.id: lesson for lesson in await self._room.lessons.all()}
        report = report.model_copy(update={"markdown": render(report, lessons)})
        try:
            await asyncio.to_thread(self._folder.close, report)
        except (LearningError, HomeError) as error:
            log.warning("the report of %s is not kept: %s", self.id, error)
        await self._room.bus.publish(
            NightFinished(
                night=self.id,
                outcome=outcome,
                reason=reason,
                adapter=self._card.id if self._card is not None else None,
                learned=learned,
                seconds=report.seconds,
            )
        )
        return report

    def _tell(self, stage: NightStage, text: str, done: float = 0, total: float = 0) -> None:
        # the exam and the lessons report from their own thread
        event = NightProgress(night=self.id, stage=stage, text=text, done=done, total=total)
        self._room.bus.deliver_from_anywhere(event)

    @property
    def _seed(self) -> int:
        return self._room.settings.training.seed if self._request.seed is None else self._request.seed
