"""A night's first stage: episodes become lessons, and what is trained is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from agent.events import EpisodeJudged
from agent.sleep.choose import Lessons, choose
from agent.sleep.folder import Chosen, Settled
from agent.sleep.making import draft_lessons, phrase, settle_lessons
from agent.sleep.side_by_side import side_by_side
from agent.sleep.tonight import Tonight
from memory.learning import Lesson
from memory.types import Episode

# Episodes that become lessons together. What a kill loses is at most the work on these.
_SIDE_BY_SIDE = 6


async def make_waiting(night: Tonight) -> None:
    """Episodes nobody has scored yet become lessons, a few at a time: a night that was cut off goes on with
    the next ones."""
    room = night.room
    await _finish_settling(night)
    waiting = await room.episodes.unjudged()
    for begin in range(0, len(waiting), _SIDE_BY_SIDE):
        some = waiting[begin : begin + _SIDE_BY_SIDE]
        night.tell("lessons", some[0].task, begin, len(waiting))
        drafts = await asyncio.to_thread(_drafts_of, night, some)
        for episode, drafted in zip(some, drafts, strict=True):
            await _settle_episode(night, episode, drafted)
    # lessons put into other words by the user have no phrasings yet
    for lesson in await room.lessons.all("approved"):
        if not lesson.phrasings:
            night.tell("lessons", lesson.statement)
            await room.lessons.keep(await asyncio.to_thread(_phrase_again, night, lesson))
    night.tell("lessons", "", len(waiting), len(waiting))


async def still_chosen(night: Tonight) -> Chosen | None:
    """What an earlier process chose; None when it did not come to that. What the user changed since, by
    rejecting a lesson or putting it into other words, is not trained as it was: then it is chosen anew."""
    chosen = night.folder.chosen
    if chosen is None:
        return None
    if Lessons.of(chosen, await night.room.lessons.all()).digest == chosen.digest:
        return chosen
    await asyncio.to_thread(night.folder.choose_again)
    return None


async def settle(night: Tonight) -> Chosen:
    """Choose what is trained, and keep the choice."""
    learning, card = night.room.settings.learning, night.room.serving.card
    known = await night.room.lessons.all()
    chosen = choose(
        known,
        card.lessons if card is not None else (),
        learning.lessons_per_night,
        learning.tries,
    )
    if night.distils:
        # a core adapter starts from the base: everything is new to it
        chosen = Chosen(new=(*chosen.old, *chosen.new), old=(), untaught=())
    lessons = Lessons.of(chosen, known)
    tries = {lesson.id: lesson.tries for lesson in lessons.new}
    chosen = chosen.model_copy(update={"digest": lessons.digest, "tries": tries})
    night.folder.choose(chosen)
    return chosen


def _drafts_of(night: Tonight, episodes: Sequence[Episode]) -> list[list[Lesson]]:
    settings = night.room.settings.learning
    night.model.activate(None)
    make = partial(draft_lessons, specs=night.room.specs, settings=settings, seed=night.seed)
    return side_by_side(night.model, [partial(make, episode=episode) for episode in episodes])


async def _settle_episode(night: Tonight, episode: Episode, drafts: Sequence[Lesson]) -> None:
    room, known = night.room, await night.room.lessons.all()
    made = await asyncio.to_thread(settle_lessons, episode, drafts, known, room.embedder)
    settled = Settled(
        episode_id=episode.id, turns=len(episode.turns), verdict=made.verdict, lessons=made.lessons
    )
    # a night killed half-way would take its own lessons for ones that were there before
    night.folder.settle(settled)
    await _keep(night, settled)


async def _finish_settling(night: Tonight) -> None:
    """Keep what a night that was killed had not kept yet."""
    settled = night.folder.settled
    for episode in await night.room.episodes.unjudged():
        if settled and (episode.id, len(episode.turns)) == (settled.episode_id, settled.turns):
            await _keep(night, settled)


async def _keep(night: Tonight, settled: Settled) -> None:
    room = night.room
    there = {lesson.id for lesson in await room.lessons.all()}
    for lesson in settled.lessons:
        # what is there already the user may have decided about since
        if lesson.id not in there or lesson.state == "retired":
            await room.lessons.keep(lesson)
    await room.bus.publish(EpisodeJudged(episode_id=settled.episode_id, verdict=settled.verdict))
    await room.episodes.keep(settled.episode_id)


def _phrase_again(night: Tonight, lesson: Lesson) -> Lesson:
    night.model.activate(None)
    return phrase(night.model, lesson, night.room.specs, night.room.settings.learning.phrasings, night.seed)
