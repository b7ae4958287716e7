"""Lessons in LanceDB: kept, listed, and found by what they say."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memory.embed import DIMENSIONS, Embedder
from memory.errors import UnknownLesson
from memory.hybrid import embedder_of
from memory.learning import Lesson
from memory.record import Record
from memory.record_store import RecordStore
from memory.table import SQUEEZED

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1


class Near(Record):
    """A lesson that says something like it."""

    lesson: Lesson
    """The lesson."""
    similarity: float
    """Cosine of the two statements."""


def lesson_schema() -> pa.Schema:
    """Columns of the table `lessons`."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("episode_id", pa.string(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("state", pa.string(), nullable=False),
            pa.field("subject", pa.string(), nullable=False),
            pa.field("statement", pa.large_string(), nullable=False),
            pa.field("created_at", pa.timestamp("us", "UTC"), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), DIMENSIONS)),
            pa.field("embedded", pa.string()),
            pa.field("payload", pa.large_string(), nullable=False, metadata=SQUEEZED),
            pa.field("seq", pa.int64(), nullable=False),
            pa.field("schema_version", pa.int32(), nullable=False),
        ]
    )


class LessonStore(RecordStore[Lesson]):
    """The table `lessons` of one home."""

    noun = "lesson"
    time_column = "created_at"
    where = "nightschool review list"
    unknown = UnknownLesson
    record = Lesson

    def __init__(self, folder: Path, embedder: Embedder | None) -> None:
        super().__init__(folder, embedder, lesson_schema, text_column="statement")

    def list(self, state: str | None = None, episode: str | None = None) -> builtins.list[Lesson]:
        """Newest first; only those in a state, or of an episode, where that is given."""
        equal = {"state": state, "episode_id": episode}
        rows = self._table.select(
            ["id", "created_at", "payload"], equal={name: value for name, value in equal.items() if value}
        )
        return [self._parse(row) for row in sorted(rows, key=_newest, reverse=True)]

    def nearest(self, statement: str, limit: int = 10) -> builtins.list[Near]:
        """Lessons whose statements mean much the same, nearest first; none without an embedder."""
        if self._embedder is None or not statement.strip() or limit <= 0:
            return []
        vector = self._embedder.embed([statement])[0]
        rows = self._table.nearest(vector, limit, ["id", "embedded", "payload"])
        return [
            Near(lesson=self._parse(row), similarity=1.0 - float(row["_distance"]))
            for row in rows
            if embedder_of(row["embedded"]) == self._embedder.name
        ]

    def _id(self, record: Lesson) -> str:
        return record.id

    def _embedded(self, record: Lesson) -> str:
        return record.statement

    def _columns(self, record: Lesson) -> dict[str, Any]:
        return {
            "episode_id": record.episode_id,
            "kind": record.kind,
            "state": record.state,
            "subject": record.subject,
            "statement": record.statement,
            "created_at": record.created_at.astimezone(UTC),
            "schema_version": SCHEMA_VERSION,
        }


def _newest(row: Mapping[str, Any]) -> tuple[Any, str]:
    return row["created_at"], row["id"]
