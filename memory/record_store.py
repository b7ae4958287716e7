"""Records in LanceDB, each under its id with the vector of a text: what the stores of this room share.

A table is a copy: the journal is the truth, and LanceDB does not fsync, so a power cut may take the newest
rows. `seqs` says what each row reflects, so that what is missing can be put; `rebuild` makes the table anew.
Nothing is opened before the first call. Safe to use from several threads of one process, and readable from
others while it is written.

The vector of a text is computed once. One that a row loses, because its text changed or it went, is kept
beside the table: a rollback that brings the text back brings back the very same vector. Computing it again
would cost 10 ms, and the last bits of a float depend on which texts share a batch and on the number of
threads.
"""

from __future__ import annotations

import builtins
import hashlib
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from memory.embed import DIMENSIONS, Embedder
from memory.errors import StoreError
from memory.hybrid import embedder_of
from memory.record import Record
from memory.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

R = TypeVar("R", bound=Record)
_BATCH = 64
_log = logging.getLogger(__name__)


def vector_schema() -> pa.Schema:
    """Columns of the vectors that rows lost."""
    import pyarrow as pa

    vector = pa.field("vector", pa.list_(pa.float32(), DIMENSIONS))
    return pa.schema([pa.field("id", pa.string(), nullable=False), vector])


class RecordStore(ABC, Generic[R]):
    """One table of one home.

    Every method raises StoreError, naming the folder and the mend, when the table is damaged or cannot
    be written.
    """

    noun: str
    """What a record is called: `episode`."""
    time_column: str
    """The column that says which record is newer."""
    where: str = ""
    """The command that shows what there is."""
    unknown: type[StoreError]
    """Raised for an id that is not there."""
    record: type[R]
    """What a row holds."""

    def __init__(
        self, folder: Path, embedder: Embedder | None, schema: Callable[[], pa.Schema], text_column: str
    ) -> None:
        """`embedder` None (weights missing): rows are kept without a vector until `embed_missing`."""
        if embedder is not None and embedder.dimensions != DIMENSIONS:
            raise ValueError(f"the table holds vectors of {DIMENSIONS}, not of {embedder.dimensions}")
        self.folder = folder
        self._embedder = embedder
        self._table = Table(folder, f"{self.noun}s", schema, text_column)
        self._lost = Table(folder, f"{self.noun}s_vectors", vector_schema)
        self._writing = threading.RLock()

    @abstractmethod
    def _columns(self, record: R) -> dict[str, Any]:
        """The columns of its own that a record's row has; `schema_version` is one of them."""

    @abstractmethod
    def _embedded(self, record: R) -> str:
        """The text that stands for what a record means."""

    @abstractmethod
    def _id(self, record: R) -> str:
        """The record's id."""

    @property
    def exists(self) -> bool:
        """Whether anything was ever put."""
        return self._table.exists

    def put(self, record: R, seq: int = 0) -> None:
        """Keep a record, replacing an older version of it. `seq` is the journal position it reflects."""
        self.put_all([record], {self._id(record): seq})

    def put_all(self, records: Sequence[R], seqs: Mapping[str, int] | None = None) -> None:
        """Keep several records in one write."""
        if not records:
            return
        with self._writing:
            known = self._known_vectors([self._id(record) for record in records])
            rows = self._rows(records, seqs or {}, known)
            staying = {row["embedded"] for row in rows}
            self._keep_lost({key: vector for (_, key), vector in known.items() if key not in staying})
            self._table.upsert(rows)

    def get(self, record_id: str) -> R:
        """The record with exactly this id. Raises `unknown`."""
        found = self._fetch([record_id])
        if record_id not in found:
            raise self.unknown(f"There is no {self.noun} `{record_id}`.{self._hint}")
        return found[record_id]

    def resolve(self, wanted: str) -> str:
        """The id meant by an id, by a beginning that fits only one, or by `last`. Raises `unknown`."""
        ids = self._newest_first()
        if wanted in ids:
            return wanted
        if not ids:
            raise self.unknown(f"There are no {self.noun}s yet.")
        if wanted == "last":
            return ids[0]
        fitting = [record_id for record_id in ids if wanted and record_id.startswith(wanted)]
        if len(fitting) == 1:
            return fitting[0]
        if not fitting:
            raise self.unknown(f"There is no {self.noun} `{wanted}`.{self._hint}")
        shown = ", ".join(fitting[:3]) + (", …" if len(fitting) > 3 else "")
        raise self.unknown(f"`{wanted}` fits {len(fitting)} {self.noun}s ({shown}). Give more of the id.")

    def ids(self) -> set[str]:
        """Every id."""
        return set(self.seqs())

    def seqs(self) -> dict[str, int]:
        """For each record, the journal position its row reflects."""
        return {row["id"]: row["seq"] for row in self._table.select(["id", "seq"])}

    def count(self) -> int:
        """Number of records."""
        return self._table.count()

    def delete(self, record_id: str) -> bool:
        """Take a record out of the table; True when it was there. Older versions of the table keep it."""
        return self.delete_all([record_id]) == 1

    def delete_all(self, ids: Sequence[str]) -> int:
        """Take several out in one write; returns how many there were."""
        if not ids:
            return 0
        with self._writing:
            self._keep_lost({key: vector for (_, key), vector in self._known_vectors(ids).items()})
            return self._table.delete(ids)

    def purge(self, ids: Sequence[str]) -> None:
        """Take records out of the table and out of everything that LanceDB still keeps of it.

        A table that cannot be read goes whole; the rest of it is to be put again then.
        """
        with self._writing:
            self._lost.discard()
            try:
                self._table.purge(ids)
            except StoreError:
                self._table.discard()

    def embed_missing(self) -> int:
        """Embed the rows that have no vector of this embedder; returns how many."""
        if self._embedder is None:
            return 0
        name, done = self._embedder.name, 0
        with self._writing:
            rows = self._table.select(["id", "embedded", "seq"])
            waiting = [row for row in rows if embedder_of(row["embedded"]) != name]
            for start in range(0, len(waiting), _BATCH):
                seqs = {row["id"]: row["seq"] for row in waiting[start : start + _BATCH]}
                records = list(self._fetch(list(seqs)).values())
                self._table.upsert(self._rows(records, seqs, {}))
                done += len(records)
        return done

    def rebuild(self, records: Iterable[tuple[R, int]]) -> int:
        """Make the table anew from records with the journal positions they reflect; returns how many.

        Vectors of unchanged texts are taken over. A table too damaged to be replaced is moved aside, never
        deleted. After a crash in the middle `seqs` shows what is still missing.
        """
        with self._writing:
            try:
                known = self._known_vectors(None)
            except StoreError:
                # the damage is why it is being rebuilt
                known = {}
            self._table.renew()
            done: set[str] = set()
            rest = iter(records)
            while batch := builtins.list(islice(rest, _BATCH)):
                seqs = {self._id(record): seq for record, seq in batch}
                self._table.upsert(self._rows([record for record, _ in batch], seqs, known))
                done.update(seqs)
            self._table.optimize()
        return len(done)

    def optimize(self, keep: timedelta = timedelta(days=7)) -> None:
        """Merge small files and bring the text index up to date; `put` does it now and then by itself.

        Versions older than `keep` are removed, except from the oldest tagged one on.
        """
        with self._writing:
            self._table.optimize(keep)

    @property
    def _hint(self) -> str:
        return f" `{self.where}` shows them." if self.where else ""

    def _rows(
        self, records: Sequence[R], seqs: Mapping[str, int], known: Mapping[tuple[str, str], Any]
    ) -> builtins.list[dict[str, Any]]:
        records = builtins.list({self._id(record): record for record in records}.values())
        texts = [self._embedded(record) for record in records]
        keys = [self._key(text) for text in texts]
        vectors: dict[int, Any] = {}
        for index, (record, key) in enumerate(zip(records, keys, strict=True)):
            if key is not None and (self._id(record), key) in known:
                vectors[index] = known[self._id(record), key]
        if self._embedder is not None:
            lost = self._find_lost([key for index, key in enumerate(keys) if key and index not in vectors])
            vectors |= {index: lost[key] for index, key in enumerate(keys) if key in lost}
            fresh = [index for index in range(len(texts)) if index not in vectors]
            for index, vector in zip(fresh, self._embedder.embed([texts[i] for i in fresh]), strict=True):
                vectors[index] = vector
        return [
            {
                **self._columns(record),
                "id": self._id(record),
                "vector": vectors.get(index),
                "embedded": keys[index],
                "payload": record.model_dump_json(),
                "seq": seqs.get(self._id(record), 0),
            }
            for index, record in enumerate(records)
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

    def _keep_lost(self, vectors: Mapping[str, Any]) -> None:
        try:
            if vectors:
                self._lost.upsert([{"id": key, "vector": vector} for key, vector in vectors.items()])
        except StoreError as error:
            # they can be computed again
            _log.warning("%s", error)

    def _find_lost(self, keys: Sequence[str]) -> dict[str, Any]:
        try:
            if not keys or not self._lost.exists:
                return {}
            return {row["id"]: row["vector"] for row in self._lost.select(["id", "vector"], ids=keys)}
        except StoreError as error:
            _log.warning("%s", error)
            self._lost.discard()
            return {}

    def _newest_first(self, kind: str | None = None) -> builtins.list[str]:
        # LanceDB can order rows itself only when the ordering column is among the selected ones
        rows = self._table.select(["id", self.time_column], equal={"kind": kind} if kind else None)
        newest = sorted(rows, key=lambda row: (row[self.time_column], row["id"]), reverse=True)
        return [row["id"] for row in newest]

    def _fetch(self, ids: Sequence[str]) -> dict[str, R]:
        return {row["id"]: self._parse(row) for row in self._table.select(["id", "payload"], ids=ids)}

    def _parse(self, row: Mapping[str, Any]) -> R:
        try:
            return self.record.model_validate_json(row["payload"])
        except ValueError as error:
            raise self._table.damaged(f"{self.noun} {row['id']} is not readable") from error
