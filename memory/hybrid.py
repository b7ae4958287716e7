"""Search by meaning and by words in one table, fused by reciprocal rank (Cormack et al. 2009)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memory.embed import Embedder
from memory.hits import fuse
from memory.table import Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# a query of this many characters says all a query can say, and a task may have a million
QUERY_CHARS = 2_000
# below this a vector neighbour is only the least unlike of unlike things
_FLOOR = 0.25
_DEPTH = 20


@dataclass(frozen=True)
class Found:
    """A row that a search found."""

    row: Mapping[str, Any]
    """The wanted columns, `id`, `vector` and `embedded`."""
    score: float
    """Higher is closer; comparable within one search only."""
    similarity: float | None
    """Cosine between the query and the row; None when one of them has no vector of this embedder."""


def hybrid(
    table: Table,
    embedder: Embedder | None,
    query: str,
    limit: int,
    columns: tuple[str, ...],
    equal: Mapping[str, str | bool | Sequence[str]] | None = None,
) -> list[Found]:
    """The best rows first; only those with these values, where that is given. Raises StoreError."""
    if not query.strip() or limit <= 0:
        return []
    depth = max(_DEPTH, limit)
    by_words = [row["id"] for row in table.match(query, depth, equal)]
    vector = None if embedder is None else embedder.embed([query])[0]
    by_meaning: list[str] = []
    if embedder is not None:
        by_meaning = [
            row["id"]
            for row in table.nearest(vector, depth, ["id", "embedded"], equal)
            if embedder_of(row["embedded"]) == embedder.name and 1.0 - float(row["_distance"]) >= _FLOOR
        ]
    ranked = fuse([by_meaning, by_words])[:limit]
    wanted = list(dict.fromkeys(["id", "vector", "embedded", *columns]))
    rows = {row["id"]: row for row in table.select(wanted, ids=[found for found, _ in ranked])}
    return [
        # a row may have been deleted between the two queries
        Found(rows[found], score, _similarity(rows[found], vector, embedder))
        for found, score in ranked
        if found in rows
    ]


def embedder_of(embedded: str | None) -> str | None:
    """The name of the embedder that made a row's vector."""
    return embedded.rsplit(":", 1)[0] if embedded else None


def _similarity(
    row: Mapping[str, Any], vector: NDArray[np.float32] | None, embedder: Embedder | None
) -> float | None:
    if vector is None or row["vector"] is None or embedder is None:
        return None
    if embedder_of(row["embedded"]) != embedder.name:
        return None
    return float(sum(a * b for a, b in zip(vector.tolist(), row["vector"], strict=True)))
