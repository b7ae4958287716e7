"""Lessons in LanceDB: kept, listed, and found by what they say.

Like the episodes' table this one is a copy: the journal is the truth, `seqs` says what each row reflects,
`rebuild` makes the table anew. Nothing is opened before the first call. Safe to use from several threads of
one process.
"""

from __future__ import annotations

import builtins
import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memory.embed import DIMENSIONS, Embedder
from memory.errors import StoreError, UnknownLesson
from memory.learning import Lesson
from memory.record import Record
from memory.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
_BATCH = 64


class Near(Record):
    """A lesson that says something like it."""

    lesson: Lesson
    """The lesson."""
    similarity: float
    """Cosine of the two statements."""


def lesson_schema() -> pa.Schema:
    """Columns of the table `lessons`."""
    import pyarrow as pa

    squeezed = {"lance-encoding:compression": "zstd", "lance-encoding:compression-level": "3"}
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
            pa.field("payload", pa.large_string(), nullable=False, metadata=squeezed),
            pa.field("seq", pa.int64(), nullable=False),
            pa.field("schema_version", pa.int32(), nullable=False),
        ]
    )


class LessonStore:
    """The table `lessons` of one home.

    Every method raises StoreError, naming the folder and the mend, when the table is damaged or cannot
    be written.
    """

    def __init__(self, folder: Path, embedder: Embedder | None) -> None:
        """`embedder` None (weights missing): rows are kept without a vector until `embed_missing`."""
        if embedder is not None and embedder.dimensions != DIMENSIONS:
            raise ValueError(f"the table holds vectors of {DIMENSIONS}, not of {embedder.dimensions}")
        self.folder = folder
        self._embedder = embedder
        self._table = Table(folder, "lessons", lesson_schema, text_column="statement")
        self._writing = threading.RLock()

    def put(self, lesson: Lesson, seq: int = 0) -> None:
        """Keep a lesson, replacing an older version of it. `seq` is the journal position it reflects."""
        self.put_all([lesson], {lesson.id: seq})

    def put_all(self, lessons: Sequence[Lesson], seqs: Mapping[str, int] | None = None) -> None:
        """Keep several lessons in one write."""
        if not lessons:
            return
        with self._writing:
            known = self._known_vectors([lesson.id for lesson in lessons])
            self._table.upsert(self._rows(lessons, seqs or {}, known))

    def get(self, lesson_id: str) -> Lesson:
        """The lesson with exactly this id. Raises UnknownLesson."""
        rows = self._table.select(["id", "payload"], ids=[lesson_id])
        if not rows:
            raise UnknownLesson(f"There is no lesson `{lesson_id}`. `nightschool review list` shows them.")
        return self._parse(rows[0])

    def resolve(self, wanted: str) -> str:
        """The id meant by an id, by a beginning that fits only one, or by `last`. Raises UnknownLesson."""
        rows = self._table.select(["id", "created_at"])
        ids: builtins.list[str] = [row["id"] for row in sorted(rows, key=_newest, reverse=True)]
        if wanted in ids:
            return wanted
        if not ids:
            raise UnknownLesson("There are no lessons yet.")
        if wanted == "last":
            return ids[0]
        fitting = [lesson_id for lesson_id in ids if wanted and lesson_id.startswith(wanted)]
        if len(fitting) == 1:
            return fitting[0]
        if not fitting:
            raise UnknownLesson(f"There is no lesson `{wanted}`. `nightschool review list` shows them.")
        shown = ", ".join(fitting[:3]) + (", …" if len(fitting) > 3 else "")
        raise UnknownLesson(f"`{wanted}` fits {len(fitting)} lessons ({shown}). Give more of the id.")

    def list(self, state: str | None = None, episode: str | None = None) -> builtins.list[Lesson]:
        """Newest first; only those in a state, or of an episode, where that is given."""
        equal = {"state": state, "episode_id": episode}
        rows = self._table.select(
            ["id", "created_at", "payload"], equal={name: value for name, value in equal.items() if value}
        )
        return [self._parse(row) for row in sorted(rows, key=_newest, reverse=True)]

    def ids(self) -> set[str]:
        """Every id."""
        return set(self.seqs())

    def seqs(self) -> dict[str, int]:
        """For each lesson, the journal position its row reflects."""
        return {row["id"]: row["seq"] for row in self._table.select(["id", "seq"])}

    def count(self) -> int:
        """Number of lessons."""
        return self._table.count()

    def delete(self, lesson_id: str) -> bool:
        """Take a lesson out of the table; True when it was there. Older versions of the table keep it."""
        return self.delete_all([lesson_id]) == 1

    def delete_all(self, ids: Sequence[str]) -> int:
        """Take several out in one write; returns how many there were."""
        with self._writing:
            return self._table.delete(ids)

    def purge(self, ids: Sequence[str]) -> None:
        """Take lessons out of the table and out of everything that LanceDB still keeps of it.

        A table that cannot be read goes whole; the rest of it is to be put again then.
        """
        with self._writing:
            try:
                self._table.purge(ids)
            except StoreError:
                self._table.discard()

    def nearest(self, statement: str, limit: int = 10) -> builtins.list[Near]:
        """Lessons whose statements mean much the same, nearest first; none without an embedder."""
        if self._embedder is None or not statement.strip() or limit <= 0:
            return []
        vector = self._embedder.embed([statement])[0]
        rows = self._table.nearest(vector, limit, ["id", "embedded", "payload"])
        return [
            Near(lesson=self._parse(row), similarity=1.0 - float(row["_distance"]))
            for row in rows
            if (row["embedded"] or "").rsplit(":", 1)[0] == self._embedder.name
        ]

    def embed_missing(self) -> int:
        """Embed the rows that have no vector of this embedder; returns how many."""
        if self._embedder is None:
            return 0
        done = 0
        with self._writing:
            rows = self._table.select(["id", "embedded", "payload", "seq"])
            waiting = [
                row for row in rows if (row["embedded"] or "").rsplit(":", 1)[0] != self._embedder.name
            ]
            for start in range(0, len(waiting), _BATCH):
                batch = waiting[start : start + _BATCH]
                seqs = {row["id"]: row["seq"] for row in batch}
                self._table.upsert(self._rows([self._parse(row) for row in batch], seqs, {}))
                done += len(batch)
        return done

    def rebuild(self, lessons: Iterable[tuple[Lesson, int]]) -> int:
        """Make the table anew from lessons with the journal positions they reflect; returns how many."""
        with self._writing:
            try:
                known = self._known_vectors(None)
            except StoreError:
                # the damage is why it is being rebuilt
                known = {}
            self._table.renew()
            done: set[str] = set()
            rest = iter(lessons)
            while batch := builtins.list(islice(rest, _BATCH)):
                seqs = {lesson.id: seq for lesson, seq in batch}
                self._table.upsert(self._rows([lesson for lesson, _ in batch], seqs, known))
                done.update(seqs)
            self._table.optimize()
        return len(done)

    def optimize(self, keep: timedelta = timedelta(days=7)) -> None:
        """Merge small files and bring the text index up to date; `put` does it now and then by itself."""
        with self._writing:
            self._table.optimize(keep)

    def _rows(
        self, lessons: Sequence[Lesson], seqs: Mapping[str, int], known: Mapping[tuple[str, str], Any]
    ) -> builtins.list[dict[str, Any]]:
        lessons = builtins.list({lesson.id: lesson for lesson in lessons}.values())
        keys = [self._key(lesson.statement) for lesson in lessons]
        vectors: dict[int, Any] = {}
        for index, (lesson, key) in enumerate(zip(lessons, keys, strict=True)):
            if key is not None and (lesson.id, key) in known:
                vectors[index] = known[lesson.id, key]
        if self._embedder is not None:
            fresh = [index for index in range(len(lessons)) if index not in vectors]
            statements = [lessons[index].statement for index in fresh]
            for index, vector in zip(fresh, self._embedder.embed(statements), strict=True):
                vectors[index] = vector
        return [
            {
                "id": lesson.id,
                "episode_id": lesson.episode_id,
                "kind": lesson.kind,
                "state": lesson.state,
                "subject": lesson.subject,
                "statement": lesson.statement,
                "created_at": lesson.created_at.astimezone(UTC),
                "vector": vectors.get(index),
                "embedded": keys[index],
                "payload": lesson.model_dump_json(),
                "seq": seqs.get(lesson.id, 0),
                "schema_version": SCHEMA_VERSION,
            }
            for index, lesson in enumerate(lessons)
        ]

    def _key(self, text: str) -> str | None:
        """Says which embedder made a vector of which text."""
        if self._embedder is None:
            return None
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        return f"{self._embedder.name}:{digest[:16]}"

    def _known_vectors(self, ids: Sequence[str] | None) -> dict[tuple[str, str], Any]:
        if self._embedder is None:
            return {}
        rows = self._table.select(["id", "embedded", "vector"], ids=ids)
        return {(row["id"], row["embedded"]): row["vector"] for row in rows if row["vector"] is not None}

    def _parse(self, row: Mapping[str, Any]) -> Lesson:
        try:
            return Lesson.model_validate_json(row["payload"])
        except ValueError as error:
            raise self._table.damaged(f"lesson {row['id']} is not readable") from error


def _newest(row: Mapping[str, Any]) -> tuple[Any, str]:
    return row["created_at"], row["id"]
