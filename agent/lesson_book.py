"""Lessons as the runtime keeps and finds them: journalled first, then in their table."""

from __future__ import annotations

import asyncio
import logging
from typing import TypeVar

from agent.bus import Bus
from agent.errors import UsageError
from agent.events import LessonKept
from memory.errors import StoreError, UnknownLesson
from memory.learning import Lesson, LessonState
from memory.lessons import LessonStore

_T = TypeVar("_T")
log = logging.getLogger(__name__)


class LessonBook:
    """The lessons of one home."""

    def __init__(self, bus: Bus, store: LessonStore) -> None:
        self._bus = bus
        self.store = store
        """The table."""

    async def keep(self, lesson: Lesson) -> Lesson:
        """Keep a lesson as it now stands."""
        event = await self._bus.publish(LessonKept(episode_id=lesson.episode_id, lesson=lesson))
        try:
            await asyncio.to_thread(self.store.put, lesson, event.seq)
        except StoreError as error:
            # the journal has it; the next start brings the table up to it
            log.warning("lesson %s is in the journal but not in the table yet: %s", lesson.id, error)
        return lesson

    async def all(self, state: LessonState | None = None) -> list[Lesson]:
        """Newest first."""
        return await asyncio.to_thread(lambda: self.store.list(state=state))

    async def of_episode(self, episode_id: str) -> list[Lesson]:
        """Those made from one episode."""
        return await asyncio.to_thread(lambda: self.store.list(episode=episode_id))

    async def get(self, lesson_id: str) -> Lesson:
        """By id, or a beginning that fits only one. Raises UsageError."""
        return await asyncio.to_thread(self._get, lesson_id)

    def _get(self, lesson_id: str) -> Lesson:
        try:
            return self.store.get(self.store.resolve(lesson_id))
        except UnknownLesson as error:
            raise UsageError(str(error)) from error
