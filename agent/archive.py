"""Episodes as the runtime keeps and finds them: the journal is the truth, the tables follow it.

Everything slow (fsync, LanceDB, embedding) happens in a worker thread of its own, one at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from agent.calls import EpisodeHit
from agent.episode_log import fold
from agent.errors import UsageError
from agent.journal import Journal
from agent.tables import Tables
from memory.episodes import EpisodeStore
from memory.errors import StoreError
from memory.recall import Recall, recall
from memory.types import Episode

_T = TypeVar("_T")
log = logging.getLogger(__name__)
_EVERY = 2**31 - 1


class Archive:
    """The episodes of one home."""

    def __init__(
        self,
        journal: Journal,
        store: EpisodeStore,
        tables: Tables,
        count_tokens: Callable[[str], int],
    ) -> None:
        self._journal = journal
        self._store = store
        self._tables = tables
        self.count_tokens = count_tokens
        """How long a text is, for a budget."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="archive")

    async def get(self, episode_id: str) -> Episode:
        """An episode by id, unique prefix or `last`. Raises UsageError when there is none."""
        return await self._in_thread(lambda: self._get(episode_id))

    async def newest(self, limit: int) -> list[Episode]:
        """Newest first."""
        return await self._in_thread(lambda: self._store.list(limit))

    async def unjudged(self) -> list[Episode]:
        """Finished episodes that a night has yet to look at, oldest first: those with a first verdict that
        does not dismiss them."""
        return await self._in_thread(
            lambda: [
                episode
                for episode in reversed(self._store.list(_EVERY))
                if episode.verdict is not None
                and episode.verdict.stage == "cheap"
                and episode.verdict.kind != "skip"
            ]
        )

    async def search(self, text: str, limit: int) -> list[EpisodeHit]:
        """Best first. Raises UsageError for an empty text."""
        if not text.strip():
            raise UsageError("There is nothing to search for. Give some words.")
        hits = await self._in_thread(lambda: self._store.search(text, limit))
        return [EpisodeHit(episode=hit.episode, score=hit.score, reason=hit.reason) for hit in hits]

    async def recall(self, task: str, tokens: int, exclude: str | None = None) -> Recall:
        """What past episodes but `exclude` say about a task; empty when nothing does or the tables
        cannot be read."""
        if tokens <= 0:
            return Recall(text="", episode_ids=())
        try:
            left_out = [exclude] if exclude else []
            return await self._in_thread(
                lambda: recall(self._store, task, tokens, self.count_tokens, left_out)
            )
        except StoreError as error:
            log.warning("nothing recalled: %s", error)
            return Recall(text="", episode_ids=())

    async def keep(self, episode_id: str) -> None:
        """Bring the tables up to the journal for one episode. A failure is logged and mended at the
        next start: the journal has it."""
        try:
            await self._in_thread(lambda: self._keep(episode_id))
        except StoreError as error:
            log.warning("episode %s is in the journal but not in the tables yet: %s", episode_id, error)

    async def unfinished(self) -> list[str]:
        """Episodes whose last turn has no end."""
        return await self._in_thread(self._journal.interrupted)

    async def catch_up(self) -> None:
        """Put into the tables what the journal has and they lack, vectors included."""
        try:
            await self._in_thread(self._tables.follow)
            await self._in_thread(self._tables.embed_missing)
        except StoreError as error:
            log.warning("the tables are behind the journal: %s", error)

    async def rebuild(self) -> int:
        """Make the tables anew from the journal; returns the number of episodes."""
        return await self._in_thread(self._tables.rebuild)

    async def close(self) -> None:
        """Finish what is under way."""
        await self._in_thread(self._journal.close)
        self._thread.shutdown()

    def _fold(self, episode_id: str) -> Episode:
        episode = fold(self._journal.read(0, episode_id), interrupted=True)
        if episode is None:
            raise UsageError(f"Episode {episode_id} has only just begun; look again in a moment.")
        return episode

    def _keep(self, episode_id: str) -> None:
        # the position first: what is journalled in between makes the row count as old, not as new
        seq = self._journal.episode_seq(episode_id)
        self._store.put(self._fold(episode_id), seq)

    def _get(self, episode_id: str) -> Episode:
        known = self._journal.episode_ids()
        if episode_id == "last":
            found = known[-1:]
        elif episode_id in known:
            found = [episode_id]
        else:
            found = [known_id for known_id in known if known_id.startswith(episode_id)] if episode_id else []
        if not found:
            raise UsageError(f"There is no episode `{episode_id}`. `nightschool episodes list` shows them.")
        if len(found) > 1:
            raise UsageError(f"`{episode_id}` fits {len(found)} episodes. Give more of the id.")
        return self._fold(found[0])

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
