"""Chunks of documents in LanceDB: kept version by version, found by meaning and by words.

A table is a copy here too: the journal says which versions there are, the text store holds what they say.
Rows of a version are put before the version counts, and are searched once it is current.
"""

from __future__ import annotations

import builtins
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from memory.embed import DIMENSIONS, Embedder
from memory.errors import UnknownDocument
from memory.hits import why_found
from memory.hybrid import QUERY_CHARS, embedder_of, hybrid
from memory.knowledge import Chunk, KnowledgeHit
from memory.record_store import RecordStore
from memory.table import SQUEEZED

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

SCHEMA_VERSION = 1


def chunk_schema() -> pa.Schema:
    """Columns of the table `chunks`."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("version", pa.string(), nullable=False),
            pa.field("domain", pa.string(), nullable=False),
            pa.field("position", pa.int32(), nullable=False),
            pa.field("of", pa.int32(), nullable=False),
            pa.field("current", pa.bool_(), nullable=False),
            pa.field("at", pa.timestamp("us", "UTC"), nullable=False),
            pa.field("text", pa.large_string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), DIMENSIONS)),
            pa.field("embedded", pa.string()),
            pa.field("payload", pa.large_string(), nullable=False, metadata=SQUEEZED),
            pa.field("seq", pa.int64(), nullable=False),
            pa.field("schema_version", pa.int32(), nullable=False),
        ]
    )


@dataclass(frozen=True)
class Rows:
    """What the table holds of one version."""

    whole: bool
    """Whether every chunk is there: a power cut may take the newest rows."""
    current: bool
    """Whether all of them are searched by default."""
    dated: bool
    """Whether none of them is."""


class ChunkStore(RecordStore[Chunk]):
    """The table `chunks` of one home."""

    noun = "chunk"
    time_column = "at"
    where = "nightschool knowledge list"
    unknown = UnknownDocument
    record = Chunk

    def __init__(self, folder: Path, embedder: Embedder | None) -> None:
        super().__init__(folder, embedder, chunk_schema, text_column="text")
        self._current: frozenset[str] = frozenset()
        self._middles_of: tuple[frozenset[str] | None, dict[str, NDArray[np.float32]]] = None, {}

    @property
    def exists(self) -> bool:
        """Whether anything was ever put; asking costs nothing."""
        return self._table.exists

    def versions(self) -> dict[str, Rows]:
        """What is there, by version id. 10 ms for 100,000 chunks."""
        found: dict[str, dict[bool, int]] = {}
        sizes: dict[str, int] = {}
        for version, of, current, rows in self._table.groups(["version", "of", "current"]):
            found.setdefault(version, {})[current] = rows
            sizes[version] = of
        return {
            version: Rows(
                whole=sum(rows.values()) == sizes[version],
                current=False not in rows,
                dated=True not in rows,
            )
            for version, rows in found.items()
        }

    def of_version(self, version: str) -> builtins.list[Chunk]:
        """Its chunks in order."""
        rows = self._table.select(["id", "position", "payload"], equal={"version": version})
        return [self._parse(row) for row in sorted(rows, key=lambda row: row["position"])]

    def drop(self, versions: Collection[str]) -> None:
        """Take out every chunk of these versions. Their vectors are kept beside the table."""
        for version in versions:
            rows = self._table.select(["id"], equal={"version": version})
            self.delete_all([row["id"] for row in rows])

    def set_current(self, versions: Collection[str]) -> None:
        """From now on these versions, and no others, are what is known now."""
        with self._writing:
            self._current = frozenset(versions)
            if not self.exists:
                return
            there = self.versions()
            on = [name for name, rows in there.items() if name in self._current and not rows.current]
            off = [name for name, rows in there.items() if name not in self._current and not rows.dated]
            self._table.update("current", True, "version", on)
            self._table.update("current", False, "version", off)

    def search(
        self,
        text: str,
        limit: int = 10,
        domain: str | Sequence[str] | None = None,
        every_version: bool = False,
    ) -> builtins.list[KnowledgeHit]:
        """Best first; what is known now, of one or several domains where they are given."""
        if not self.exists:
            return []
        query = text[:QUERY_CHARS]
        equal: dict[str, str | bool | Sequence[str]] = {} if every_version else {"current": True}
        if domain is not None and domain != ():
            equal["domain"] = domain
        return [
            KnowledgeHit(
                chunk=self._parse(found.row),
                score=found.score,
                reason=why_found(query, found.row["text"], found.similarity),
                similarity=found.similarity,
                current=found.row["current"],
            )
            for found in hybrid(
                self._table, self._embedder, query, limit, ("payload", "text", "current"), equal
            )
        ]

    def likeness(self, text: str) -> dict[str, float]:
        """Cosine between a text and the middle of each domain's current chunks; empty without an embedder."""
        if self._embedder is None or not self.exists:
            return {}
        vector = self._embedder.embed([text[:QUERY_CHARS]])[0]
        return {domain: float(vector @ middle) for domain, middle in self._middles().items()}

    def _middles(self) -> dict[str, NDArray[np.float32]]:
        """The mean vector of each domain's current chunks, of length 1. 0.1 s for 10,000 chunks, kept until
        others are current."""
        import numpy as np

        known, found = self._middles_of
        if known is self._current:
            return found
        current = self._current
        assert self._embedder is not None
        rows = self._table.select(["domain", "vector", "embedded"], equal={"current": True})
        vectors: dict[str, builtins.list[Any]] = {}
        for row in rows:
            if row["vector"] is not None and embedder_of(row["embedded"]) == self._embedder.name:
                vectors.setdefault(row["domain"], []).append(row["vector"])
        found = {}
        for domain, those in vectors.items():
            middle = np.asarray(those, dtype=np.float32).mean(axis=0)
            found[domain] = middle / max(float(np.linalg.norm(middle)), 1e-9)
        if len(vectors) > 0:
            # rows that wait for their vectors would be missed for good
            self._middles_of = current, found
        return found

    def embed_missing(self) -> int:
        """Embed the rows that have no vector of this embedder; returns how many."""
        return super().embed_missing() if self.exists else 0

    def _known_vectors(self, ids: Sequence[str] | None) -> dict[tuple[str, str], Any]:
        return super()._known_vectors(ids) if self.exists else {}

    def _find_lost(self, keys: Sequence[str]) -> dict[str, Any]:
        """Most of a changed file says what its last version said, and has its vectors already."""
        found = super()._find_lost(keys)
        missing = [key for key in keys if key not in found]
        if missing and self.exists:
            rows = self._table.select(["embedded", "vector"], among={"embedded": missing})
            found |= {row["embedded"]: row["vector"] for row in rows if row["vector"] is not None}
        return found

    def _id(self, record: Chunk) -> str:
        return record.id

    def _embedded(self, record: Chunk) -> str:
        return searched_text(record)

    def _columns(self, record: Chunk) -> dict[str, Any]:
        return {
            "version": record.version,
            "domain": record.domain,
            "position": record.position,
            "of": record.of,
            "current": record.version in self._current,
            "at": record.at.astimezone(UTC),
            "text": searched_text(record),
            "schema_version": SCHEMA_VERSION,
        }


def searched_text(chunk: Chunk) -> str:
    """A chunk with what it stands under: a passage alone often leaves out what it is about."""
    above = PurePath(chunk.path).name
    if chunk.heading:
        above += f" › {chunk.heading}"
    return f"{above}\n{chunk.text}"
