"""A night's first stage: episodes become lessons, and what is trained is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from agent.events import EpisodeJudged
from agent.sleep.choose import choose
from agent.sleep.folder import Chosen
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


async def settle(night: Tonight) -> Chosen:
    """Choose what is trained, and keep the choice."""
    learning, card = night.room.settings.learning, night.room.serving.card
    chosen = choose(
        await night.room.lessons.all(),
        card.lessons if card is not None else (),
        learning.lessons_per_night,
        learning.tries,
    )
    if night.distils:
        # a core adapter starts from the base: everything is new to it
        chosen = Chosen(new=(*chosen.old, *chosen.new), old=(), untaught=())
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
    for lesson in made.lessons:
        await room.lessons.keep(lesson)
    await room.bus.publish(EpisodeJudged(episode_id=episode.id, verdict=made.verdict))
    await room.episodes.keep(episode.id)


def _phrase_again(night: Tonight, lesson: Lesson) -> Lesson:
    night.model.activate(None)
    return phrase(night.model, lesson, night.room.specs, night.room.settings.learning.phrasings, night.seed)
