"""Episodes in LanceDB: kept, listed, and found by meaning and by words."""

from __future__ import annotations

import builtins
from datetime import UTC
from pathlib import Path
from typing import Any

from memory.embed import Embedder
from memory.episode_text import embedded_text, searched_text
from memory.errors import UnknownEpisode
from memory.hits import Hit
from memory.hybrid import QUERY_CHARS, hybrid
from memory.record_store import RecordStore
from memory.table import episode_schema
from memory.types import Episode

SCHEMA_VERSION = 1


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
        query = text[:QUERY_CHARS]
        found = hybrid(self._table, self._embedder, query, limit, ("payload",))
        return [
            Hit.of(self._parse(each.row), each.score, each.similarity, query, each.row["vector"])
            for each in found
        ]

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
