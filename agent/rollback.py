"""Snapshots, and going back to one.

A snapshot names the journal positions that count, the adapter in service and the settings; taking one copies
nothing. A rollback journals which positions count from there on; that is its one point of no return. Before
it nothing has changed; after it every step that is left can be repeated, and is at the next start when a
crash came in between. A snapshot is taken first, so a rollback is undone by another one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.disk import replace_file, sync_folder
from agent.errors import HomeError, UsageError
from agent.events import Event, RolledBack, SnapshotTaken
from agent.journal import Journal
from agent.knowledge_log import fold
from agent.learning_calls import RollbackPlan
from agent.tables import Tables
from memory.adapters import AdapterRegistry
from memory.errors import AdapterError, StoreError, UnknownSnapshot
from memory.learning import Snapshot
from memory.record import now
from memory.state import Intent, State

_log = logging.getLogger(__name__)
_KIND = "rollback"
NOW = "now"
"""Names the state as it is, wherever a snapshot may be named and nothing is changed."""


class Snapshots:
    """The snapshots of one home; each call in a thread of its own, one after the other."""

    def __init__(self, rollback: Rollback) -> None:
        self._rollback = rollback

    async def take(self, name: str = "") -> Snapshot:
        """Name the state as it is now."""
        return await asyncio.to_thread(self._rollback.take, name)

    async def list(self) -> list[Snapshot]:
        """Newest first."""
        return await asyncio.to_thread(self._rollback.snapshots)

    async def plan(self, wanted: str) -> RollbackPlan:
        """What `rollback` would change. Raises UsageError for an unknown snapshot."""
        return await asyncio.to_thread(self._rollback.plan, wanted)

    async def rollback(self, wanted: str) -> RollbackPlan:
        """Go back. No night may run meanwhile. Raises UsageError (a task is running, or there is no such
        snapshot), AdapterError (the snapshot's adapter is not sound), HomeError and StoreError."""
        return await asyncio.to_thread(self._rollback.rollback, wanted)


class Rollback:
    """What `Snapshots` does, in the calling thread."""

    def __init__(
        self,
        settings: Path,
        journal: Journal,
        state: State,
        registry: AdapterRegistry,
        tables: Tables,
        deliver: Callable[[Event], None] = lambda event: None,
    ) -> None:
        """`settings` is the home's config.toml; `deliver` hands on what was journalled, from any thread."""
        self._settings = settings
        self._journal = journal
        self._state = state
        self._registry = registry
        self._tables = tables
        self._deliver = deliver
        self.lock = threading.RLock()
        """Held while snapshots come, go or are gone back to."""

    def take(self, name: str = "") -> Snapshot:
        """Name the state as it is now."""
        with self.lock:
            snapshot = self._now(name or f"by hand, {now():%Y-%m-%d %H:%M}")
            self._state.add_snapshot(snapshot)
            self._journalled(SnapshotTaken(snapshot=snapshot.id, name=snapshot.name))
            return snapshot

    def snapshots(self) -> list[Snapshot]:
        """Newest first."""
        return self._state.snapshots()

    def plan(self, wanted: str) -> RollbackPlan:
        """What `rollback` would change."""
        with self.lock:
            snapshot = self._resolve(wanted)
            here, there = (
                self._journal.view_at(self._journal.history),
                self._journal.view_at(snapshot.history),
            )
            return RollbackPlan(
                snapshot=snapshot,
                episodes_lost=tuple(name for name in here.newest if name not in there.newest),
                episodes_back=tuple(name for name in there.newest if name not in here.newest),
                lessons_lost=tuple(name for name in here.lessons if name not in there.lessons),
                lessons_back=tuple(name for name in there.lessons if name not in here.lessons),
                documents_change=self._documents_change(here.knowledge, there.knowledge),
                adapter_now=self._state.active,
                adapter_then=snapshot.adapter,
                settings_change=snapshot.settings != self._read_settings(),
            )

    def _documents_change(self, here: Sequence[int], there: Sequence[int]) -> int:
        """How many documents differ between what these events leave."""
        if here == there:
            return 0
        now_, then = (fold(self._journal.read_at(seqs)) for seqs in (here, there))
        return sum(now_.get(name) != then.get(name) for name in {*now_, *then})

    def rollback(self, wanted: str) -> RollbackPlan:
        """Go back to a snapshot; returns what changed, with the snapshot that undoes it."""
        with self.lock:
            self.redo()
            plan = self.plan(wanted)
            target = plan.snapshot
            if target.adapter is not None:
                self._registry.path(target.adapter)
            with self._journal.held():
                # what came in between would belong to neither state
                intent, event = self._commit(target)
            self._finish(intent)
            self._deliver(event)
            return plan.model_copy(update={"undo": event.undo})

    def _commit(self, target: Snapshot) -> tuple[Intent, RolledBack]:
        for episode_id in self._journal.running():
            raise UsageError(
                f"Episode {episode_id} is still running. Interrupt it or wait for it, then roll back."
            )
        undo = self._now(f"before the rollback to {target.name}")
        intent = self._state.intend(
            _KIND, {"snapshot": target.id, "undo": undo.id, "after": self._journal.last_seq}
        )
        try:
            self._state.add_snapshot(undo, by_rollback=True)
            event = self._journal.append(RolledBack(snapshot=target.id, history=target.history, undo=undo.id))
        except (HomeError, StoreError):
            self._withdraw(intent)
            raise
        assert isinstance(event, RolledBack)
        return intent, event

    def redo(self) -> bool:
        """Finish, or take back, a rollback that a crash cut off; True when there was one. To be called
        before anything else uses the home."""
        with self.lock:
            found = self._state.intents(_KIND)
            for intent in found:
                if self._committed(intent):
                    self._finish(intent)
                else:
                    self._withdraw(intent)
            return bool(found)

    def _committed(self, intent: Intent) -> bool:
        later = self._journal.read(after=intent.payload["after"])
        return any(isinstance(event, RolledBack) and event.undo == intent.payload["undo"] for event in later)

    def _withdraw(self, intent: Intent) -> None:
        self._state.remove_snapshot(intent.payload["undo"])
        self._state.fulfil(intent)

    def _finish(self, intent: Intent) -> None:
        target = self._state.resolve_snapshot(intent.payload["snapshot"])
        self._write_settings(target.settings)
        try:
            self._tables.follow()
        except StoreError as error:
            # the journal has it all; a rebuild or the next start makes the tables
            _log.warning("the tables are behind the rollback: %s", error)
        adapter = target.adapter
        digest = ""
        try:
            digest = self._registry.get(adapter).digest if adapter is not None else ""
        except AdapterError as error:
            _log.warning("the snapshot's adapter does not serve: %s", error)
            adapter = None
        self._state.fulfil_and_activate(intent, adapter, digest)

    def meant(self, wanted: str) -> Snapshot:
        """The snapshot meant by an id, a beginning of one, a name or `last`; `now` is the state as it is,
        which is not kept. Raises UsageError."""
        with self.lock:
            if wanted != NOW:
                return self._resolve(wanted)
            return self._now(NOW).model_copy(update={"id": NOW})

    def _now(self, name: str) -> Snapshot:
        return Snapshot(
            id=f"sn_{now():%Y%m%dT%H%M%S}_{uuid.uuid4().hex[:6]}",
            name=name,
            history=self._journal.history,
            adapter=self._state.active,
            settings=self._read_settings(),
        )

    def _resolve(self, wanted: str) -> Snapshot:
        try:
            return self._state.resolve_snapshot(wanted)
        except UnknownSnapshot as error:
            raise UsageError(str(error)) from error

    def _journalled(self, event: Event) -> None:
        self._deliver(self._journal.append(event))

    def _read_settings(self) -> str:
        try:
            return self._settings.read_bytes().decode()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise HomeError(
                f"Cannot read {self._settings}: {error}. Mend the file, then try again."
            ) from error

    def _write_settings(self, text: str) -> None:
        try:
            if text:
                if self._read_settings() != text:
                    replace_file(self._settings, text.encode())
            elif self._settings.exists():
                self._settings.unlink()
                sync_folder(self._settings.parent)
        except OSError as error:
            raise HomeError(
                f"Cannot write {self._settings}: {error.strerror}. Free some space and start again: the "
                "rollback is finished then."
            ) from error
