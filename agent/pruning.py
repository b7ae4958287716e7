"""Letting snapshots go, with what only they could go back to.

A snapshot takes no room of its own; what it holds on to does: adapters that serve no more. Those that the
snapshots that go name, and that nothing that stays needs, are removed with them. The journal is not touched,
and no snapshot needs an older version of a table, so those go as well.

What is to go is noted before anything does, and each step can be repeated: after a crash the next start
finishes the work.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from agent.errors import UsageError
from agent.keeping_calls import Pruned, StayingSnapshot
from agent.rollback import Rollback
from memory.adapters import AdapterRegistry
from memory.errors import StoreError
from memory.learning import Snapshot
from memory.record import now
from memory.state import Intent, State

_log = logging.getLogger(__name__)
_KIND = "prune"
_DAYS = 100_000
# a search that began before the tables are compacted still reads the version it found
_SEARCHES_TAKE = timedelta(minutes=10)


class Compactable(Protocol):
    """A table; met by the stores of `memory`."""

    @property
    def exists(self) -> bool:
        """Whether it was ever written."""

    def optimize(self, keep: timedelta) -> None:
        """Merge small files and remove versions older than `keep`."""


class Pruning:
    """Lets snapshots of one home go, in the calling thread. No night may run meanwhile."""

    def __init__(
        self,
        rollback: Rollback,
        state: State,
        registry: AdapterRegistry,
        tables: Path,
        stores: Sequence[Compactable],
        taking_away: threading.RLock | None = None,
    ) -> None:
        """`tables` is the folder of `stores`; `taking_away` is held while anything goes for good."""
        self._rollback = rollback
        self._state = state
        self._registry = registry
        self._tables = tables
        self._stores = stores
        self._taking_away = taking_away or threading.RLock()

    def plan(self, keep: int | None, older_than_days: float | None) -> Pruned:
        """What `prune` would take away. Raises UsageError."""
        if keep is None and older_than_days is None:
            raise UsageError(
                "Say which snapshots may go: all but the newest --keep N, --older-than DAYS, or both."
            )
        if older_than_days is not None and not 0 <= older_than_days <= _DAYS:
            raise UsageError(f"--older-than takes a number of days from 0 to {_DAYS:,}.")
        with self._rollback.lock:
            snapshots = self._rollback.snapshots()
            wanted = _let_go(snapshots, keep, older_than_days)
            going = self._without_ways_back(snapshots, wanted)
            adapters = self._only_for(going, [one for one in snapshots if one not in going])
            stays = "it is the way back from an adapter that is still needed"
            return Pruned(
                snapshots=tuple(going),
                staying=tuple(
                    StayingSnapshot(id=one.id, name=one.name, reason=stays)
                    for one in wanted
                    if one not in going
                ),
                adapters=tuple(sorted(adapters)),
                adapter_bytes=sum(map(self._registry.size, adapters)),
                table_bytes=0,
                remaining=len(snapshots) - len(going),
            )

    def prune(self, keep: int | None, older_than_days: float | None) -> Pruned:
        """Let them go; returns what went. Raises UsageError and StoreError; after the latter the next start
        finishes the work."""
        with self._taking_away, self._rollback.lock:
            self.redo()
            plan = self.plan(keep, older_than_days)
            if plan.snapshots:
                intent = self._state.intend(
                    _KIND,
                    {
                        "snapshots": [snapshot.id for snapshot in plan.snapshots],
                        "adapters": list(plan.adapters),
                    },
                )
                self._finish(intent)
            return plan.model_copy(update={"table_bytes": self._compact()})

    def redo(self) -> bool:
        """Finish what a crash cut off; True when there was anything. To be called before anything else
        uses the home, and after a rollback was redone."""
        with self._taking_away, self._rollback.lock:
            found = self._state.intents(_KIND)
            for intent in found:
                self._finish(intent)
            return bool(found)

    def _finish(self, intent: Intent) -> None:
        for name in intent.payload["snapshots"]:
            self._state.remove_snapshot(name)
        needed = self._needed(self._state.snapshots())
        for name in intent.payload["adapters"]:
            if name not in needed:
                self._registry.remove(name)
        self._registry.sweep()
        self._state.fulfil(intent)

    def _without_ways_back(self, snapshots: Sequence[Snapshot], wanted: Sequence[Snapshot]) -> list[Snapshot]:
        """Those of the wanted ones that no promotion names whose adapter stays.

        What stays may hold on to an adapter whose way back then stays as well, and so on: each round lets
        fewer go, until nothing changes."""
        ways_back, there = self._state.ways_back(), set(self._registry.ids())
        going = list(wanted)
        while True:
            stay = there - self._only_for(going, [one for one in snapshots if one not in going])
            free = [one for one in going if stay.isdisjoint(ways_back.get(one.id, ()))]
            if len(free) == len(going):
                return going
            going = free

    def _only_for(self, going: Iterable[Snapshot], staying: Iterable[Snapshot]) -> set[str]:
        """Adapters that are there and that only the snapshots that go can go back to."""
        named = {snapshot.adapter for snapshot in going if snapshot.adapter is not None}
        return named.intersection(self._registry.ids()) - self._needed(staying)

    def _needed(self, staying: Iterable[Snapshot]) -> set[str]:
        """What serves or can be gone back to, and what would serve instead if that were damaged."""
        named = {self._state.active, *(snapshot.adapter for snapshot in staying)} - {None}
        return {
            needed
            for name in named
            if name is not None
            for needed in (name, *(card.id for card in self._registry.ancestors(name)))
        }

    def _compact(self) -> int:
        """Remove older versions of the tables; returns how many bytes that freed."""
        before = _bytes_in(self._tables)
        for store in self._stores:
            try:
                if store.exists:
                    store.optimize(_SEARCHES_TAKE)
            except StoreError as error:
                # they can be searched as they are
                _log.warning("%s", error)
        return max(0, before - _bytes_in(self._tables))


def _let_go(snapshots: Sequence[Snapshot], keep: int | None, older_than_days: float | None) -> list[Snapshot]:
    """What the rule lets go of snapshots given newest first: never the newest."""
    found: Collection[Snapshot] = snapshots[max(1, keep or 0) :]
    if older_than_days is not None:
        before = now() - timedelta(days=older_than_days)
        found = [snapshot for snapshot in found if snapshot.created_at < before]
    return list(found)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        # what is being written may be gone again by the time it is looked at
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total
