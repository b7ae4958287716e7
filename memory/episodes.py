"""Episodes in LanceDB: kept, listed, and found by meaning and by words."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memory.embed import Embedder
from memory.episode_text import embedded_text, searched_text
from memory.errors import UnknownEpisode
from memory.hits import Hit, fuse
from memory.record_store import RecordStore, embedder_of
from memory.table import episode_schema
from memory.types import Episode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEMA_VERSION = 1
# a query of this many characters says all a query can say, and a task may have a million
_QUERY_CHARS = 2_000
# below this a vector neighbour is only the least unlike of unlike things
_FLOOR = 0.25


class EpisodeStore(RecordStore[Episode]):
    """The table `episodes` of one home."""

    noun = "episode"
    time_column = "started_at"
    where = "nightschool episodes list"
    unknown = UnknownEpisode
    record = Episode

    def __init__(self, folder: Path, embedder: Embedder | None) -> None:
        super().__init__(folder, embedder, episode_schema, text_column="text")

    def list(self, limit: int = 50, kind: str | None = None) -> builtins.list[Episode]:
        """Newest first."""
        ids = self._newest_first(kind)[: max(0, limit)]
        found = self._fetch(ids)
        return [found[episode_id] for episode_id in ids if episode_id in found]

    def search(self, text: str, limit: int = 10) -> builtins.list[Hit]:
        """Best first: by meaning and by words, fused by reciprocal rank (Cormack et al. 2009)."""
        query = text[:_QUERY_CHARS]
        if not query.strip() or limit <= 0:
            return []
        depth = max(20, limit)
        by_words = [row["id"] for row in self._table.match(query, depth)]
        vector = None if self._embedder is None else self._embedder.embed([query])[0]
        near = {} if vector is None else self._near(vector, depth)
        by_meaning = [episode_id for episode_id, similarity in near.items() if similarity >= _FLOOR]
        ranked = fuse([by_meaning, by_words])[:limit]
        ids = [episode_id for episode_id, _ in ranked]
        rows = {
            row["id"]: row for row in self._table.select(["id", "payload", "vector", "embedded"], ids=ids)
        }
        hits = []
        for episode_id, score in ranked:
            row = rows.get(episode_id)
            # a row may have been deleted between the two queries
            if row is not None:
                similarity = self._similarity(row, vector)
                hits.append(Hit.of(self._parse(row), score, similarity, query, row["vector"]))
        return hits

    def _id(self, record: Episode) -> str:
        return record.id

    def _embedded(self, record: Episode) -> str:
        return embedded_text(record)

    def _columns(self, record: Episode) -> dict[str, Any]:
        return {
            "kind": record.kind,
            "started_at": record.started_at.astimezone(UTC),
            "ended_at": record.ended_at.astimezone(UTC),
            "workspace": record.workspace,
            "model": record.model,
            "outcome": record.outcome,
            "task": record.task,
            "answer": record.answer,
            "rating": record.feedback[-1].rating if record.feedback else None,
            "text": searched_text(record),
            "schema_version": SCHEMA_VERSION,
        }

    def _near(self, vector: NDArray[np.float32], depth: int) -> dict[str, float]:
        assert self._embedder is not None
        rows = self._table.nearest(vector, depth, ["id", "embedded"])
        return {
            row["id"]: 1.0 - float(row["_distance"])
            for row in rows
            if embedder_of(row["embedded"]) == self._embedder.name
        }

    def _similarity(self, row: Mapping[str, Any], vector: NDArray[np.float32] | None) -> float | None:
        """Cosine between the query and a row; None when one of them has no vector of this embedder."""
        if vector is None or row["vector"] is None or self._embedder is None:
            return None
        if embedder_of(row["embedded"]) != self._embedder.name:
            return None
        return float(sum(a * b for a, b in zip(vector.tolist(), row["vector"], strict=True)))
