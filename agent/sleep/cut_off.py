"""Nights whose process was killed: which of them goes on, and a report for those that are over.

A night that was killed after its promotion is over and only has not said so. One that was passed by, because
another adapter serves by now or the base model is another, stays as it was left and will never go on.
"""

from __future__ import annotations

from agent.errors import LearningError
from agent.sleep import closing, promotion
from agent.sleep.bedroom import Bedroom
from agent.sleep.choose import Lessons
from agent.sleep.folder import NightFolder, nights
from agent.sleep.tonight import Tonight
from agent.sleep.training import read_result
from memory.errors import AdapterError
from memory.learning import AdapterCard


def unfinished(room: Bedroom) -> NightFolder | None:
    """The newest night, if it was cut off and can go on."""
    known = nights(room.nights)
    if not known:
        return None
    folder = NightFolder(room.nights, known[-1])
    begun, card = folder.begun, room.serving.card
    if folder.report is not None or begun is None or begun.base_digest != room.base_digest:
        return None
    if begun.serving != (card.id if card else None):
        return None  # what it was to go on from no longer serves
    return None if room.state.was_promoted(promotion.adapter_id(folder.night)) else folder


async def report_promoted(room: Bedroom) -> None:
    """Have every night that was killed between its promotion and its report say that it is over. Needs no
    model."""
    for folder in _unreported(room):
        if room.state.was_promoted(promotion.adapter_id(folder.night)):
            await _close_promoted(room, folder)


async def report_passed_by(room: Bedroom) -> None:
    """Have the nights that will never go on say so; to be called before a new one begins."""
    for folder in _unreported(room):
        why = "it was cut off, and when it could have gone on something else served"
        card, loss = _card(room, folder), _loss(folder)
        await closing.close(_tonight(room, folder), "stopped", why, card=card, learned=(), loss=loss)


def _unreported(room: Bedroom) -> list[NightFolder]:
    folders = [NightFolder(room.nights, night) for night in nights(room.nights)]
    return [folder for folder in folders if not folder.is_over and folder.begun is not None]


async def _close_promoted(room: Bedroom, folder: NightFolder) -> None:
    night, chosen = _tonight(room, folder), folder.chosen
    card = _card(room, folder)
    learned: tuple[str, ...] = ()
    if chosen is not None and card is not None and card.exam is not None:
        lessons = Lessons.of(chosen, await room.lessons.all())
        learned = promotion.learned(card, lessons)
        await promotion.count_tries(night, card.exam, lessons)
    await closing.close(night, "promoted", "", card=card, learned=learned, loss=_loss(folder))


def _tonight(room: Bedroom, folder: NightFolder) -> Tonight:
    begun = folder.begun
    assert begun is not None, "those without are left out"
    return Tonight(room, folder, begun.request)


def _loss(folder: NightFolder) -> tuple[tuple[int, float], ...]:
    try:
        trained = read_result(folder.train)
    except LearningError:
        return ()
    return trained.loss if trained is not None else ()


def _card(room: Bedroom, folder: NightFolder) -> AdapterCard | None:
    try:
        return room.registry.get(promotion.adapter_id(folder.night))
    except AdapterError:
        return None
