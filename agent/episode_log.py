"""From events to episodes: what happened, folded into the record that is kept.

Folding is pure: the same events always give the same episode, so the store can be rebuilt from the
journal at any time. A damaged journal still folds: what is missing is left out or named, never invented.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Protocol

from agent.events import (
    EpisodeJudged,
    EpisodeStarted,
    EpisodeUndone,
    Event,
    FeedbackGiven,
    RunFinished,
    StepFinished,
    TaskAccepted,
)
from agent.journal import Journal
from memory.types import Episode, Feedback, Message, Step, Turn
from memory.verdict import Verdict

# what one write of a table holds
_BATCH = 64
_LOST = Message(role="user", content="(this message was lost from the journal)", provenance="system")


@dataclass
class EpisodeLog:
    """One episode as it grows: add its events in order, read the episode whenever it is wanted."""

    id: str
    _started: EpisodeStarted | None = None
    _first: datetime | None = None
    _last: datetime | None = None
    _turns: list[Turn] = field(default_factory=list)
    _user: Message | None = None
    _steps: list[Step] = field(default_factory=list)
    _feedback: list[Feedback] = field(default_factory=list)
    _undone: bool = False
    _verdict: Verdict | None = None

    def add(self, event: Event) -> None:
        """Take in the next event. Kinds that leave no trace in an episode are ignored."""
        self._first = self._first or event.at
        match event:
            case EpisodeStarted():
                self._started = event
            case TaskAccepted():
                # a message that was never answered was cut off by whatever made room for this one
                self._close("interrupted", "")
                self._user = event.message
            case StepFinished():
                self._user = self._user or _LOST
                self._steps.append(event.step)
                # a step after an undo changes the workspace again
                self._undone = False
            case RunFinished():
                self._user = self._user or _LOST
                self._close(event.outcome, event.answer)
            case FeedbackGiven():
                self._feedback.append(event.feedback)
                return
            case EpisodeUndone():
                self._undone = True
                return
            case EpisodeJudged():
                self._verdict = event.verdict
                return
            case _:
                return
        self._last = event.at

    @property
    def running(self) -> bool:
        """True while a message was accepted and its turn is not finished."""
        return self._user is not None

    def episode(self, *, interrupted: bool = False) -> Episode | None:
        """The episode so far; None while it has no finished turn.

        With `interrupted`, an unfinished last turn counts as one with that outcome; otherwise it is
        left out.
        """
        turns = tuple(self._turns)
        if interrupted and self._user is not None:
            turns += (Turn(user=self._user, steps=tuple(self._steps), outcome="interrupted", answer=""),)
        if not turns or self._first is None or self._last is None:
            return None
        started = self._started
        return Episode(
            id=self.id,
            kind=started.episode_kind if started else "task",
            turns=turns,
            workspace=started.workspace if started else None,
            model=started.model if started else "unknown",
            adapter=started.adapter if started else None,
            system=started.system if started else "",
            tools=started.tools if started else (),
            started_at=self._first,
            ended_at=self._last,
            feedback=tuple(self._feedback),
            undone=self._undone,
            verdict=self._verdict,
        )

    def _close(self, outcome: str, answer: str) -> None:
        if self._user is not None:
            fields = {"user": self._user, "steps": tuple(self._steps), "outcome": outcome, "answer": answer}
            self._turns.append(Turn.model_validate(fields))
        self._user, self._steps = None, []


def fold(events: Iterable[Event], *, interrupted: bool = False) -> Episode | None:
    """The episode that the events of one episode make, in order; None when no turn is finished.

    `interrupted` as in `EpisodeLog.episode`. Raises ValueError on events of several episodes or of none.
    """
    log: EpisodeLog | None = None
    for event in events:
        if event.episode_id is None:
            raise ValueError(f"event {event.seq} belongs to no episode")
        if log is None:
            log = EpisodeLog(event.episode_id)
        if event.episode_id != log.id:
            raise ValueError(f"event {event.seq} belongs to {event.episode_id}, not to {log.id}")
        log.add(event)
    return log.episode(interrupted=interrupted) if log else None


class Store(Protocol):
    """Where episodes are kept for searching; met by `memory.episodes.EpisodeStore`."""

    def seqs(self) -> Mapping[str, int]:
        """For each stored episode, the journal position it reflects."""

    def put_all(self, episodes: Sequence[Episode], seqs: Mapping[str, int]) -> None:
        """Keep episodes, replacing older versions of them, with the positions they reflect."""

    def delete_all(self, ids: Sequence[str]) -> int:
        """Take episodes out."""


def folded(journal: Journal, *, skip: Iterable[str] = ()) -> Iterator[tuple[Episode, int]]:
    """Every episode of the journal with the position it reflects, oldest first.

    An unfinished last turn counts as interrupted. `skip` names episodes to leave out, such as the one
    that is running.
    """
    left_out = set(skip)
    for episode_id in journal.episode_ids():
        if episode_id in left_out:
            continue
        seq = journal.episode_seq(episode_id)
        episode = fold(journal.read(episode_id=episode_id), interrupted=True)
        if episode is not None:
            yield episode, seq


def catch_up(journal: Journal, store: Store, *, skip: Iterable[str] = ()) -> list[str]:
    """Make the store hold exactly the journal's episodes: put what it lacks or has another version of,
    take out what no longer counts. Returns the ids it put.

    Cheap when nothing differs: positions are compared, nothing is parsed.
    """
    known, wanted = store.seqs(), journal.episode_ids()
    store.delete_all(sorted(set(known).difference(wanted)))
    same = [name for name in wanted if known.get(name) == journal.episode_seq(name)]
    put: list[str] = []
    behind = folded(journal, skip=(*skip, *same))
    while batch := list(islice(behind, _BATCH)):
        store.put_all([episode for episode, _ in batch], {episode.id: seq for episode, seq in batch})
        put += [episode.id for episode, _ in batch]
    return put
