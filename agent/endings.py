"""The end of a turn: journalled, judged, stored, and only then told."""

from __future__ import annotations

import asyncio
import logging

from agent.archive import Archive
from agent.bus import Bus
from agent.errors import NightSchoolError
from agent.events import EpisodeJudged, Event, RunFinished
from agent.gate import cheap_verdict
from memory.errors import StoreError

_log = logging.getLogger(__name__)

# episodes against which the gate measures surprise and recurrence
_RECENT = 100


class Endings:
    """Puts ends on record."""

    def __init__(self, bus: Bus, archive: Archive) -> None:
        self._bus = bus
        self._archive = archive

    async def finish(self, event: RunFinished) -> None:
        """Journal the end, store the episode, then tell everybody: whoever sees it can look it up."""
        recorded: list[Event] = [await self._bus.record(event)]
        assert event.episode_id is not None
        try:
            recorded += await self._verdict(event.episode_id)
            await self._archive.keep(event.episode_id)
        except (NightSchoolError, StoreError) as error:
            # the task went as it went; the next start brings the tables up to the journal
            _log.warning("episode %s is journalled, but not judged yet: %s", event.episode_id, error)
        # in the journal's order: a listener takes what is older than what it has for a repetition
        for told in recorded:
            self._bus.deliver(told)

    async def judge(self, episode_id: str) -> None:
        """The gate's first word on an episode as it now stands, then its place in the tables."""
        for told in await self._verdict(episode_id):
            self._bus.deliver(told)
        await self._archive.keep(episode_id)

    async def _verdict(self, episode_id: str) -> list[Event]:
        """The gate's first word, recorded but not told yet; nothing when a person has spoken."""
        episode = await self._archive.get(episode_id)
        if episode.verdict is not None and episode.verdict.by != "gate":
            return []
        recent = await self._archive.newest(_RECENT)
        verdict = await asyncio.to_thread(cheap_verdict, episode, recent)
        return [await self._bus.record(EpisodeJudged(episode_id=episode_id, verdict=verdict))]
