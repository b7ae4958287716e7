"""The tables of `state.sqlite` and how the file is opened. Imports SQLAlchemy: to be imported late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
)

VERSION = 1

metadata = MetaData()

about = Table(
    "about",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)

# one row: which adapter serves
active = Table(
    "active",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("adapter", String),
    Column("digest", String, nullable=False),
    Column("since", String, nullable=False),
)

promotions = Table(
    "promotions",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("adapter", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("snapshot", String, nullable=False),
    Column("core", Boolean, nullable=False),
    Column("at", String, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    # taken by a rollback, so that it can be undone
    Column("by_rollback", Boolean, nullable=False),
    Column("payload", String, nullable=False),
)

# work over several places that was begun; a row goes once it is all done
intents = Table(
    "intents",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("payload", String, nullable=False),
)


def open_engine(file: Path) -> Engine:
    """An engine on the file: write-ahead log, every commit on the disk, deleted rows overwritten."""
    engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": 10})

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        # pysqlite would begin a transaction only at the first write; SQLAlchemy's `begin` is to mean it
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine
