"""The tables beside the journal, brought to what it says: after a start, a rollback or forgetting."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress

from agent.episode_log import catch_up, fold, folded
from agent.journal import Journal
from agent.knowledge_log import KnowledgeLog
from agent.lesson_log import follow_lessons, lessons
from memory.episodes import EpisodeStore
from memory.errors import StoreError
from memory.lessons import LessonStore


class Tables:
    """Episodes, lessons and knowledge of one home. Every method may be repeated; all raise StoreError."""

    def __init__(
        self, journal: Journal, episodes: EpisodeStore, lessons: LessonStore, knowledge: KnowledgeLog
    ) -> None:
        self._journal = journal
        self._episodes = episodes
        self._lessons = lessons
        self._knowledge = knowledge

    def follow(self, skip: Collection[str] = ()) -> None:
        """Make the tables hold exactly what counts in the journal; `skip` names running episodes."""
        catch_up(self._journal, self._episodes, skip=skip)
        follow_lessons(self._journal, self._lessons)
        self._knowledge.follow()

    def embed_missing(self) -> None:
        """Make the vectors that rows lack."""
        self._episodes.embed_missing()
        self._lessons.embed_missing()
        self._knowledge.embed_missing()

    def rebuild(self) -> int:
        """Make all tables anew from the journal; returns how many episodes there are."""
        self._lessons.rebuild(lessons(self._journal))
        self._knowledge.rebuild()
        return self._episodes.rebuild(folded(self._journal))

    def purge(
        self, episodes: Sequence[str], lesson_ids: Sequence[str], touched: Collection[str] = ()
    ) -> None:
        """Take rows out for good, with every older version of the tables. `touched` names episodes and
        lessons whose events were rewritten without changing their positions."""
        staying = set(touched).difference(episodes, lesson_ids)
        with suppress(StoreError):
            # a table that cannot be read goes whole below
            for episode_id in staying.intersection(self._journal.episode_ids()):
                episode = fold(self._journal.read(episode_id=episode_id), interrupted=True)
                if episode is not None:
                    self._episodes.put(episode, self._journal.episode_seq(episode_id))
        with suppress(StoreError):
            for lesson, seq in lessons(self._journal, staying):
                self._lessons.put(lesson, seq)
        self._episodes.purge(episodes)
        self._lessons.purge(lesson_ids)
        # a table that could not be read went whole
        self.follow()
