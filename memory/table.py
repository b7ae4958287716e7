"""One LanceDB table with its full-text index: opened late, never stale, and honest about damage.

Traps this file steps around, each with a test: a handle opened earlier misses new rows unless the read
consistency interval is 0; `restore` loses text indexes made after the restored version; cleaning up
raises when a tagged version is old enough to go.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memory.embed import DIMENSIONS
from memory.errors import StoreError
from memory.hits import STOP_WORDS

if TYPE_CHECKING:
    import pyarrow as pa

# rewriting the whole table is dear, many small files make every query slow: 28 ms instead of 7 for a
# vector search at 200 files
_WRITES_BEFORE_OPTIMIZE = 64
_SHARE_BEFORE_OPTIMIZE = 20
_EVERYTHING = 2**31 - 1
_CANNOT_WRITE = (
    "No space left",
    "Permission denied",
    "Read-only file system",
    "Disk quota",
    "File too large",
)
# where in LanceDB's own source it happened tells a person nothing
_SOURCE_PLACE = re.compile(r",? \S+\.rs:\d+:\d+")
SQUEEZED = {"lance-encoding:compression": "zstd", "lance-encoding:compression-level": "3"}
"""Metadata of a column of long texts."""
_log = logging.getLogger(__name__)


def episode_schema() -> pa.Schema:
    """Columns of the table `episodes`."""
    import pyarrow as pa

    time = pa.timestamp("us", "UTC")
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("started_at", time, nullable=False),
            pa.field("ended_at", time, nullable=False),
            pa.field("workspace", pa.string()),
            pa.field("model", pa.string(), nullable=False),
            pa.field("outcome", pa.string(), nullable=False),
            pa.field("task", pa.large_string(), nullable=False),
            pa.field("answer", pa.large_string(), nullable=False),
            pa.field("rating", pa.string()),
            pa.field("text", pa.large_string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), DIMENSIONS)),
            pa.field("embedded", pa.string()),
            pa.field("payload", pa.large_string(), nullable=False, metadata=SQUEEZED),
            pa.field("seq", pa.int64(), nullable=False),
            pa.field("schema_version", pa.int32(), nullable=False),
        ]
    )


class Table:
    """A table keyed by `id`. Every method raises StoreError when LanceDB cannot do it."""

    def __init__(
        self, folder: Path, name: str, schema: Callable[[], pa.Schema], text_column: str | None = None
    ) -> None:
        """`text_column` is searched word by word; None has no such index."""
        self._folder = folder
        self._name = name
        self._schema = schema
        self._text_column = text_column
        self._opening = threading.Lock()
        self._opened: Any = None
        self._writes = 0

    @property
    def exists(self) -> bool:
        """Whether it was ever written."""
        return self._path.exists()

    def damaged(self, fact: str) -> StoreError:
        """The error for a table that cannot be used."""
        return StoreError(
            f"The table {self._path} cannot be used: {fact}. "
            "Nothing is lost: `nightschool episodes rebuild` makes it anew from the journal."
        )

    def upsert(self, rows: list[dict[str, Any]]) -> None:
        """Insert rows, replacing those with the same id, in one version."""
        import pyarrow as pa

        with self._guard():
            data = pa.Table.from_pylist(rows, schema=self._schema())
            table = self._open()
            upsert = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            # rows that all lack a vector would be refused otherwise
            upsert.execute(data, on_bad_vectors="null")
            self._writes += 1
            due = _WRITES_BEFORE_OPTIMIZE + table.count_rows() // _SHARE_BEFORE_OPTIMIZE
        if self._writes >= due:
            self._writes = 0
            try:
                self.optimize()
            except StoreError as error:
                # the rows are kept; only speed suffers
                _log.warning("%s", error)

    def select(
        self,
        columns: list[str],
        *,
        ids: Sequence[str] | None = None,
        equal: Mapping[str, str | bool | Sequence[str]] | None = None,
        among: Mapping[str, Sequence[str]] | None = None,
    ) -> list[dict[str, Any]]:
        """Rows by id, by equal columns, or by columns that hold one of several values; all by default.
        Values may hold any text."""
        from lancedb.expr import col

        among = {**(among or {}), **({} if ids is None else {"id": ids})}
        if not all(among.values()):
            return []
        with self._guard():
            query = self._open().search().select(columns).limit(_EVERYTHING)
            conditions = [col(name).isin(list(values)) for name, values in among.items()]
            rows: list[dict[str, Any]] = _where(query, equal, conditions).to_list()
            return rows

    def groups(self, columns: list[str]) -> list[tuple[Any, ...]]:
        """Each combination of values in these columns, with the number of its rows as the last item."""
        with self._guard():
            table = self._open().search().select(columns).limit(_EVERYTHING).to_arrow()
            counted = table.group_by(columns).aggregate([([], "count_all")])
            return [(*(row[name] for name in columns), row["count_all"]) for row in counted.to_pylist()]

    def update(self, column: str, value: str | bool, among: str, values: Sequence[str]) -> None:
        """Give a column this value in the rows where the column `among` has one of these values, in one
        version."""
        from lancedb.expr import col

        if not values:
            return
        with self._guard():
            self._open().update(where=col(among).isin(list(values)), values={column: value})

    def match(
        self, text: str, limit: int, equal: Mapping[str, str | bool | Sequence[str]] | None = None
    ) -> list[dict[str, Any]]:
        """Ids of the rows whose text holds any of these words, best BM25 first."""
        from lancedb.query import MatchQuery

        with self._guard():
            query = MatchQuery(text, self._text_column)
            found = self._open().search(query, query_type="fts").select(["id", "_score"]).limit(limit)
            rows: list[dict[str, Any]] = _where(found, equal).to_list()
            return rows

    def nearest(
        self,
        vector: Any,
        limit: int,
        columns: list[str],
        equal: Mapping[str, str | bool | Sequence[str]] | None = None,
    ) -> list[dict[str, Any]]:
        """Rows by cosine distance (`_distance`); rows without a vector are left out."""
        with self._guard():
            query = self._open().search(vector, vector_column_name="vector").distance_type("cosine")
            found = query.select([*columns, "_distance"]).limit(limit)
            rows: list[dict[str, Any]] = _where(found, equal).to_list()
            return rows

    def count(self) -> int:
        """Number of rows."""
        with self._guard():
            return int(self._open().count_rows())

    def delete(self, ids: Sequence[str]) -> int:
        """Delete rows by id, in one version; returns how many there were."""
        from lancedb.expr import col

        if not ids:
            return 0
        with self._guard():
            table = self._open()
            before = table.count_rows()
            table.delete(col("id").isin(list(ids)))
            return int(before - table.count_rows())

    def purge(self, ids: Sequence[str]) -> None:
        """Delete rows, and everything LanceDB still holds of them: older versions, tags, index files.

        The rows that stay are written anew (0.1 s for 300 episodes), because a deletion only masks a row
        and an index only grows. Copies of damaged tables that were moved aside go too. May be repeated
        after a crash. For the one process that uses the table.
        """
        from lancedb.expr import col

        with self._guard():
            for aside in self._folder.glob(f"{self._name}.damaged-*"):
                shutil.rmtree(aside)
            if not self._path.exists():
                return
            table = self._open()
            if ids:
                table.delete(col("id").isin(list(ids)))
            rows = table.search().limit(_EVERYTHING).to_batches()
            with self._opening:
                self._opened = self._create("overwrite", rows)
                table = self._opened
            for tag in list(table.tags.list()):
                table.tags.delete(tag)
            with warnings.catch_warnings():
                # it warns that every older version goes, which is what is wanted
                warnings.simplefilter("ignore")
                table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
            self._writes = 0

    def discard(self) -> None:
        """Remove the table, readable or not, with everything LanceDB keeps of it."""
        with self._opening, self._guard():
            self._opened = None
            for path in (self._path, *self._folder.glob(f"{self._name}.damaged-*")):
                if path.exists():
                    shutil.rmtree(path)

    def optimize(self, keep: timedelta = timedelta(days=7)) -> None:
        """Merge small files, index what is new, drop versions older than `keep` and than every tag."""
        with self._guard():
            table = self._open()
            tagged = {entry["version"] for entry in table.tags.list().values()}
            times = [v["timestamp"] for v in table.list_versions() if v["version"] in tagged]
            if times:
                # a day more, because these times are local on some systems and carry no zone
                oldest = max(datetime.now(UTC) - time.replace(tzinfo=UTC) for time in times)
                keep = max(keep, oldest + timedelta(days=1))
            table.optimize(cleanup_older_than=keep)

    def renew(self) -> None:
        """Replace the table by an empty one. One that cannot even be replaced is moved aside."""
        with self._opening:
            self._opened = None
            try:
                self._opened = self._create("overwrite" if self._path.exists() else "create")
            except _failures():
                moved = self._path.with_name(f"{self._name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
                with self._guard():
                    if self._path.exists():
                        self._path.rename(moved)
                    self._opened = self._create("create")

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._name}.lance"

    def _open(self) -> Any:
        with self._opening:
            if self._opened is None:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                database = self._connect()
                if not self._path.exists():
                    self._opened = self._create("create")
                else:
                    table = database.open_table(self._name)
                    if table.schema.names != self._schema().names:
                        raise self.damaged("it was written by another version of Night School")
                    self._index_text(table)
                    self._opened = table
            return self._opened

    def _connect(self) -> Any:
        # its warnings go straight to standard error, where a person reads our one sentence
        os.environ.setdefault("LANCEDB_LOG", "error")
        import lancedb

        return lancedb.connect(self._folder, read_consistency_interval=timedelta(0))

    def _create(self, mode: str, rows: Any = None) -> Any:
        table = self._connect().create_table(
            self._name, rows, schema=self._schema(), mode=mode, on_bad_vectors="null"
        )
        self._index_text(table)
        return table

    def _index_text(self, table: Any) -> None:
        """Make the text index unless it is there; a restored version may be older than it."""
        from lancedb.index import FTS

        if self._text_column is not None and not any(
            self._text_column in index.columns for index in table.list_indices()
        ):
            # word boundaries of every script, and the parts of snake_case and file names; its own list of
            # stop words spans so many languages that it swallows names (Mina is Finnish for "I")
            config = FTS(
                base_tokenizer="icu/split", with_position=False, custom_stop_words=sorted(STOP_WORDS)
            )
            table.create_index(self._text_column, config=config)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except _failures() as error:
            lines = str(error).strip().splitlines()
            fact = _SOURCE_PLACE.sub("", lines[0])[:300].rstrip(". ") if lines else type(error).__name__
            if refused := next((sign for sign in _CANNOT_WRITE if sign in str(error)), None):
                raise StoreError(
                    f"Cannot write {self._path}: {refused.lower()}. "
                    "Free some space, or choose another home with --home."
                ) from error
            raise self.damaged(fact) from error


def _where(
    query: Any, equal: Mapping[str, str | bool | Sequence[str]] | None, conditions: Sequence[Any] = ()
) -> Any:
    """A query narrowed to rows with these values, or one of several, before anything is ranked."""
    from lancedb.expr import col, lit

    together = None
    given = (
        col(name) == lit(value) if isinstance(value, str | bool) else col(name).isin(list(value))
        for name, value in (equal or {}).items()
    )
    for condition in (*conditions, *given):
        together = condition if together is None else together & condition
    return query if together is None else query.where(together)


def _failures() -> tuple[type[Exception], ...]:
    """What LanceDB and Arrow raise for damage, full disks and missing files."""
    import pyarrow as pa

    return (RuntimeError, ValueError, OSError, pa.ArrowException)
