"""`state.sqlite`: which adapter serves, the snapshots, and what was begun and is not finished.

Every change is one transaction that is on the disk when the call returns. One process writes; calls may come
from several threads. The file opens on first use. It holds ids, names and settings, never what was said.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memory.errors import StoreError, UnknownSnapshot
from memory.learning import Snapshot
from memory.record import Record, now

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


class Intent(Record):
    """Work over several places that was begun: redone at start until it is finished."""

    number: int
    """Its row."""
    kind: str
    """`rollback` or `forget`."""
    payload: dict[str, Any]
    """What the work needs to go on: ids only."""


class State:
    """The state of one home. Every method raises StoreError when the file cannot be used."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._opened: Engine | None = None
        self._lock = threading.RLock()

    @property
    def active(self) -> str | None:
        """The adapter that is meant to serve; None is the base model alone."""
        return self._active()[0]

    @property
    def active_digest(self) -> str:
        """The digest it was promoted with; empty for the base model."""
        return self._active()[1]

    @property
    def nights_since_core(self) -> int:
        """Promotions since the last one of a `core` adapter."""
        from memory.state_tables import promotions

        with self._transaction() as connection:
            kinds = connection.execute(
                promotions.select().order_by(promotions.c.number.desc()).with_only_columns(promotions.c.core)
            ).scalars()
            count = 0
            for core in kinds:
                if core:
                    break
                count += 1
            return count

    def promote(self, adapter: str, digest: str, snapshot: str, core: bool = False) -> None:
        """Make a candidate the serving adapter, in one transaction. `snapshot` is what it can be taken
        back to; `core` says that it was distilled from everything learned."""
        from memory.state_tables import promotions

        with self._transaction() as connection:
            self._set_active(connection, adapter, digest)
            connection.execute(
                promotions.insert().values(
                    adapter=adapter, digest=digest, snapshot=snapshot, core=core, at=now().isoformat()
                )
            )

    def ways_back(self) -> dict[str, set[str]]:
        """For each snapshot that was taken for a promotion, the adapters that were promoted."""
        from memory.state_tables import promotions

        with self._transaction() as connection:
            rows = connection.execute(promotions.select()).all()
        found: dict[str, set[str]] = {}
        for row in rows:
            found.setdefault(row.snapshot, set()).add(row.adapter)
        return found

    def was_promoted(self, adapter: str) -> bool:
        """Whether a night ever made this adapter the serving one."""
        from memory.state_tables import promotions

        with self._transaction() as connection:
            found = connection.execute(promotions.select().where(promotions.c.adapter == adapter))
            return found.first() is not None

    def activate(self, adapter: str | None, digest: str) -> None:
        """Move the active pointer; None is the base model alone."""
        with self._transaction() as connection:
            self._set_active(connection, adapter, digest)

    def add_snapshot(self, snapshot: Snapshot, by_rollback: bool = False) -> None:
        """Keep a snapshot."""
        from memory.state_tables import snapshots

        values = {"id": snapshot.id, "by_rollback": by_rollback, "payload": snapshot.model_dump_json()}
        with self._transaction() as connection:
            connection.execute(snapshots.insert().values(values))

    def snapshots(self) -> list[Snapshot]:
        """Newest first."""
        return [snapshot for snapshot, _ in self._snapshots()]

    def resolve_snapshot(self, wanted: str) -> Snapshot:
        """The snapshot meant by an id, a beginning that fits only one, a name (the newest of that name), or
        `last`: the newest that no rollback took. Raises UnknownSnapshot."""
        found = self._snapshots()
        if wanted == "last":
            fitting = [snapshot for snapshot, by_rollback in found if not by_rollback][:1]
        else:
            fitting = [snapshot for snapshot, _ in found if snapshot.id == wanted]
            fitting = fitting or [snapshot for snapshot, _ in found if wanted and snapshot.name == wanted][:1]
            fitting = fitting or [s for s, _ in found if wanted and s.id.startswith(wanted)]
        if not fitting:
            named = "no snapshot yet" if wanted == "last" else f"no snapshot `{wanted}`"
            raise UnknownSnapshot(f"There is {named}. `nightschool snapshot list` shows those there are.")
        if len(fitting) > 1:
            raise UnknownSnapshot(f"`{wanted}` fits {len(fitting)} snapshots. Give more of the id.")
        return fitting[0]

    def replace_snapshot(self, snapshot: Snapshot) -> None:
        """Put a snapshot in the place of the one with its id; for what was purged from it."""
        from memory.state_tables import snapshots

        with self._transaction() as connection:
            connection.execute(
                snapshots.update()
                .where(snapshots.c.id == snapshot.id)
                .values(payload=snapshot.model_dump_json())
            )

    def remove_snapshot(self, snapshot_id: str) -> bool:
        """Let a snapshot go; True when it was there."""
        from memory.state_tables import snapshots

        with self._transaction() as connection:
            gone = connection.execute(snapshots.delete().where(snapshots.c.id == snapshot_id))
            return bool(gone.rowcount)

    def intend(self, kind: str, payload: dict[str, Any]) -> Intent:
        """Note that work begins, before it does."""
        from memory.state_tables import intents

        with self._transaction() as connection:
            row = connection.execute(
                intents.insert().values(kind=kind, payload=json.dumps(payload))
            ).inserted_primary_key
            assert row is not None
            return Intent(number=int(row[0]), kind=kind, payload=payload)

    def intents(self, kind: str | None = None) -> list[Intent]:
        """Work that was begun and is not finished, oldest first."""
        from memory.state_tables import intents

        with self._transaction() as connection:
            rows = connection.execute(intents.select().order_by(intents.c.number)).all()
        found = [Intent(number=row.number, kind=row.kind, payload=json.loads(row.payload)) for row in rows]
        return [intent for intent in found if kind in (None, intent.kind)]

    def fulfil(self, intent: Intent) -> None:
        """The work is done, or given up."""
        with self._transaction() as connection:
            self._fulfil(connection, intent)

    def fulfil_and_activate(self, intent: Intent, adapter: str | None, digest: str) -> None:
        """The work is done and this adapter serves, in one transaction."""
        with self._transaction() as connection:
            self._set_active(connection, adapter, digest)
            self._fulfil(connection, intent)

    def copy(self) -> bytes:
        """The file as it would be with nothing in its write-ahead log: a whole database in itself."""
        with self._guard(), self._lock, self._engine().connect() as connection:
            copied: bytes = connection.connection.driver_connection.serialize()  # type: ignore[union-attr]
            return copied

    def empty_log(self) -> None:
        """Bring the write-ahead log into the file and empty it, so that no overwritten row stays in it."""
        with self._guard(), self._engine().connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Let go of the file. Another call opens it again."""
        with self._lock:
            if self._opened is not None:
                self._opened.dispose()
                self._opened = None

    def _active(self) -> tuple[str | None, str]:
        from memory.state_tables import active

        with self._transaction() as connection:
            row = connection.execute(active.select()).one_or_none()
        return (None, "") if row is None else (row.adapter, row.digest)

    def _set_active(self, connection: Connection, adapter: str | None, digest: str) -> None:
        from memory.state_tables import active

        connection.execute(active.delete())
        connection.execute(
            active.insert().values(id=1, adapter=adapter, digest=digest, since=now().isoformat())
        )

    def _fulfil(self, connection: Connection, intent: Intent) -> None:
        from memory.state_tables import intents

        connection.execute(intents.delete().where(intents.c.number == intent.number))

    def _snapshots(self) -> list[tuple[Snapshot, bool]]:
        from memory.state_tables import snapshots

        with self._transaction() as connection:
            rows = connection.execute(snapshots.select().order_by(snapshots.c.number.desc())).all()
        try:
            return [(Snapshot.model_validate_json(row.payload), bool(row.by_rollback)) for row in rows]
        except ValueError as error:
            raise self._damaged("a snapshot in it is not readable") from error

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._guard(), self._lock, self._engine().begin() as connection:
            yield connection

    def _engine(self) -> Engine:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Engine:
        from memory.state_tables import VERSION, about, metadata, open_engine

        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.file.touch(mode=0o600)
        engine = open_engine(self.file)
        try:
            with engine.begin() as connection:
                if connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() != "ok":
                    raise self._damaged("its pages do not agree")
                metadata.create_all(connection)
                found = connection.execute(about.select().where(about.c.key == "version")).one_or_none()
                if found is None:
                    connection.execute(about.insert().values(key="version", value=str(VERSION)))
                elif int(found.value) > VERSION:
                    raise StoreError(
                        f"{self.file} was written by a newer Night School (format {found.value}, this one "
                        f"knows {VERSION}). Upgrade, or choose another home with --home."
                    )
        except BaseException:
            engine.dispose()
            raise
        return engine

    @contextmanager
    def _guard(self) -> Iterator[None]:
        from sqlalchemy.exc import DBAPIError

        try:
            yield
        except OSError as error:
            raise self._cannot_write(error.strerror or str(error)) from error
        except DBAPIError as error:
            fact = str(error.orig)
            if any(sign in fact for sign in ("full", "readonly", "unable to open", "disk I/O", "locked")):
                raise self._cannot_write(fact) from error
            raise self._damaged(fact) from error

    def _cannot_write(self, fact: str) -> StoreError:
        return StoreError(
            f"Cannot write {self.file}: {fact}. Free some space, or choose another home with --home."
        )

    def _damaged(self, fact: str) -> StoreError:
        return StoreError(
            f"{self.file} is damaged: {fact}. Move it aside and start again: the base model serves then "
            "until you activate an adapter, and no snapshots are known; nothing that was said is lost."
        )
