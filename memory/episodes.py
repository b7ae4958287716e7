"""Episodes in LanceDB: kept, listed, and found by meaning and by words.

The table is a copy: the journal is the truth, and LanceDB does not fsync, so a power cut may take the
newest rows. `seqs` says what each row reflects, so that the runtime can put what is missing; `rebuild`
makes the table anew. Nothing is opened before the first call. Safe to use from several threads of one
process, and readable from others while it is written.
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
from memory.episode_text import embedded_text, searched_text
from memory.errors import StoreError, UnknownEpisode
from memory.hits import Hit, fuse
from memory.table import Table, episode_schema
from memory.types import Episode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEMA_VERSION = 1
_BATCH = 64
# a query of this many characters says all a query can say, and a task may have a million
_QUERY_CHARS = 2_000
# below this a vector neighbour is only the least unlike of unlike things
_FLOOR = 0.25


class EpisodeStore:
    """The table `episodes` of one home.

    Every method raises StoreError, naming the folder and the mend, when the table is damaged or cannot
    be written.
    """

    def __init__(self, folder: Path, embedder: Embedder | None) -> None:
        """`embedder` None (weights missing): rows are kept without a vector until `embed_missing`."""
        if embedder is not None and embedder.dimensions != DIMENSIONS:
            raise ValueError(f"the table holds vectors of {DIMENSIONS}, not of {embedder.dimensions}")
        self.folder = folder
        self._embedder = embedder
        self._table = Table(folder, "episodes", episode_schema, text_column="text")
        self._writing = threading.RLock()

    def put(self, episode: Episode, seq: int = 0) -> None:
        """Keep an episode, replacing an older version of it. `seq` is the journal position it reflects."""
        self.put_all([episode], {episode.id: seq})

    def put_all(self, episodes: Sequence[Episode], seqs: Mapping[str, int] | None = None) -> None:
        """Keep several episodes in one write."""
        if not episodes:
            return
        with self._writing:
            known = self._known_vectors([episode.id for episode in episodes])
            self._table.upsert(self._rows(episodes, seqs or {}, known))

    def get(self, episode_id: str) -> Episode:
        """The episode with exactly this id. Raises UnknownEpisode."""
        found = self._fetch([episode_id])
        if episode_id not in found:
            raise UnknownEpisode(f"There is no episode `{episode_id}`.")
        return found[episode_id]

    def resolve(self, wanted: str) -> str:
        """The id meant by an id, by a beginning that fits only one, or by `last`. Raises UnknownEpisode."""
        ids = self._newest_first()
        if wanted in ids:
            return wanted
        if not ids:
            raise UnknownEpisode("There are no episodes yet.")
        if wanted == "last":
            return ids[0]
        fitting = [episode_id for episode_id in ids if wanted and episode_id.startswith(wanted)]
        if len(fitting) == 1:
            return fitting[0]
        if not fitting:
            raise UnknownEpisode(f"There is no episode `{wanted}`. `nightschool episodes list` shows them.")
        shown = ", ".join(fitting[:3]) + (", …" if len(fitting) > 3 else "")
        raise UnknownEpisode(f"`{wanted}` fits {len(fitting)} episodes ({shown}). Give more of the id.")

    def list(self, limit: int = 50, kind: str | None = None) -> builtins.list[Episode]:
        """Newest first."""
        ids = self._newest_first(kind)[: max(0, limit)]
        found = self._fetch(ids)
        return [found[episode_id] for episode_id in ids if episode_id in found]

    def ids(self) -> set[str]:
        """Every id."""
        return set(self.seqs())

    def seqs(self) -> dict[str, int]:
        """For each episode, the journal position its row reflects."""
        return {row["id"]: row["seq"] for row in self._table.select(["id", "seq"])}

    def count(self) -> int:
        """Number of episodes."""
        return self._table.count()

    def delete(self, episode_id: str) -> bool:
        """Take an episode out of the table; True when it was there. Older versions of the table keep it."""
        return self.delete_all([episode_id]) == 1

    def delete_all(self, ids: Sequence[str]) -> int:
        """Take several out in one write; returns how many there were."""
        with self._writing:
            return self._table.delete(ids)

    def purge(self, ids: Sequence[str]) -> None:
        """Take episodes out of the table and out of everything that LanceDB still keeps of it.

        A table that cannot be read goes whole; the rest of it is to be put again then.
        """
        with self._writing:
            try:
                self._table.purge(ids)
            except StoreError:
                self._table.discard()

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

    def embed_missing(self) -> int:
        """Embed the rows that have no vector of this embedder; returns how many."""
        if self._embedder is None:
            return 0
        name, done = self._embedder.name, 0
        with self._writing:
            rows = self._table.select(["id", "embedded", "seq"])
            waiting = [row for row in rows if _embedder_of(row["embedded"]) != name]
            for start in range(0, len(waiting), _BATCH):
                seqs = {row["id"]: row["seq"] for row in waiting[start : start + _BATCH]}
                episodes = list(self._fetch(list(seqs)).values())
                self._table.upsert(self._rows(episodes, seqs, {}))
                done += len(episodes)
        return done

    def rebuild(self, episodes: Iterable[tuple[Episode, int]]) -> int:
        """Make the table anew from episodes with the journal positions they reflect; returns how many.

        Vectors of unchanged texts are taken over. A table too damaged to be replaced is moved aside, never
        deleted. After a crash in the middle `seqs` shows what is still missing.
        """
        with self._writing:
            known = self._salvage_vectors()
            self._table.renew()
            done: set[str] = set()
            rest = iter(episodes)
            while batch := list(islice(rest, _BATCH)):
                seqs = {episode.id: seq for episode, seq in batch}
                self._table.upsert(self._rows([episode for episode, _ in batch], seqs, known))
                done.update(seqs)
            self._table.optimize()
        return len(done)

    def optimize(self, keep: timedelta = timedelta(days=7)) -> None:
        """Merge small files and bring the text index up to date; `put` does it now and then by itself.

        Versions older than `keep` are removed, except from the oldest tagged one on.
        """
        with self._writing:
            self._table.optimize(keep)

    def _rows(
        self, episodes: Sequence[Episode], seqs: Mapping[str, int], known: Mapping[tuple[str, str], Any]
    ) -> builtins.list[dict[str, Any]]:
        episodes = list({episode.id: episode for episode in episodes}.values())
        texts = [embedded_text(episode) for episode in episodes]
        keys = [self._key(text) for text in texts]
        vectors: dict[int, Any] = {}
        for index, (episode, key) in enumerate(zip(episodes, keys, strict=True)):
            if key is not None and (episode.id, key) in known:
                vectors[index] = known[episode.id, key]
        if self._embedder is not None:
            fresh = [index for index in range(len(texts)) if index not in vectors]
            for index, vector in zip(fresh, self._embedder.embed([texts[i] for i in fresh]), strict=True):
                vectors[index] = vector
        return [
            {
                "id": episode.id,
                "kind": episode.kind,
                "started_at": episode.started_at.astimezone(UTC),
                "ended_at": episode.ended_at.astimezone(UTC),
                "workspace": episode.workspace,
                "model": episode.model,
                "outcome": episode.outcome,
                "task": episode.task,
                "answer": episode.answer,
                "rating": episode.feedback[-1].rating if episode.feedback else None,
                "text": searched_text(episode),
                "vector": vectors.get(index),
                "embedded": keys[index],
                "payload": episode.model_dump_json(),
                "seq": seqs.get(episode.id, 0),
                "schema_version": SCHEMA_VERSION,
            }
            for index, episode in enumerate(episodes)
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

    def _salvage_vectors(self) -> dict[tuple[str, str], Any]:
        try:
            return self._known_vectors(None)
        except StoreError:
            # the damage is why it is being rebuilt
            return {}

    def _near(self, vector: NDArray[np.float32], depth: int) -> dict[str, float]:
        assert self._embedder is not None
        rows = self._table.nearest(vector, depth, ["id", "embedded"])
        return {
            row["id"]: 1.0 - float(row["_distance"])
            for row in rows
            if _embedder_of(row["embedded"]) == self._embedder.name
        }

    def _similarity(self, row: Mapping[str, Any], vector: NDArray[np.float32] | None) -> float | None:
        """Cosine between the query and a row; None when one of them has no vector of this embedder."""
        if vector is None or row["vector"] is None or self._embedder is None:
            return None
        if _embedder_of(row["embedded"]) != self._embedder.name:
            return None
        return float(sum(a * b for a, b in zip(vector.tolist(), row["vector"], strict=True)))

    def _newest_first(self, kind: str | None = None) -> builtins.list[str]:
        # LanceDB can order rows itself only when the ordering column is among the selected ones
        rows = self._table.select(["id", "started_at"], equal={"kind": kind} if kind else None)
        return [
            row["id"] for row in sorted(rows, key=lambda row: (row["started_at"], row["id"]), reverse=True)
        ]

    def _fetch(self, ids: Sequence[str]) -> dict[str, Episode]:
        return {row["id"]: self._parse(row) for row in self._table.select(["id", "payload"], ids=ids)}

    def _parse(self, row: Mapping[str, Any]) -> Episode:
        try:
            return Episode.model_validate_json(row["payload"])
        except ValueError as error:
            raise self._table.damaged(f"episode {row['id']} is not readable") from error


def _embedder_of(embedded: str | None) -> str | None:
    return embedded.rsplit(":", 1)[0] if embedded else None
