"""Episodes and an embedder for the tests of this room."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from memory.embed import DIMENSIONS
from memory.episodes import EpisodeStore
from memory.types import Episode, Feedback, Message, Step, TokenSignal, ToolCall, ToolResult, Turn

START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeEmbedder:
    """Words hashed into buckets: texts that share words are near each other. Deterministic."""

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.dimensions = DIMENSIONS
        self.texts = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += len(texts)
        rows = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.casefold().split():
                row[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4]) % DIMENSIONS] += 1
            row[0] += 1e-6
            row /= np.linalg.norm(row)
        return rows


def make_episode(
    number: int = 0,
    task: str = "Do it.",
    answer: str = "Done.",
    *,
    id: str | None = None,
    kind: str = "task",
    outcome: str = "success",
    correction: str = "",
    rating: str = "bad",
) -> Episode:
    """An episode with one turn and one tool call."""
    call = ToolCall(id="call_0_0", name="shell", arguments={"command": "ls"})
    step = Step(
        index=0,
        message=Message(role="assistant", content="Looking.", provenance="model", tool_calls=(call,)),
        results=(ToolResult(call_id="call_0_0", name="shell", ok=True, content="a.txt"),),
        signals=(TokenSignal(token_id=1, text="Look", logprob=-0.1, entropy=0.2, margin=0.9),),
    )
    started = START + timedelta(minutes=number)
    return Episode.model_validate(
        {
            "id": id or f"ep_20260101T{number:06d}_abcd",
            "kind": kind,
            "turns": (
                Turn.model_validate(
                    {
                        "user": Message(role="user", content=task, provenance="user"),
                        "steps": () if kind == "note" else (step,),
                        "outcome": outcome,
                        "answer": answer,
                    }
                ),
            ),
            "workspace": "/work space/of 'someone'",
            "model": "fake",
            "started_at": started,
            "ended_at": started + timedelta(seconds=5),
            "feedback": (
                (Feedback.model_validate({"rating": rating, "text": correction, "at": started}),)
                if correction
                else ()
            ),
        }
    )


@pytest.fixture
def episode() -> Callable[..., Episode]:
    """Makes episodes."""
    return make_episode


@pytest.fixture
def embedder() -> FakeEmbedder:
    """A stand-in that needs no weights."""
    return FakeEmbedder()


@pytest.fixture
def store(tmp_path: Path, embedder: FakeEmbedder) -> EpisodeStore:
    """An empty store."""
    return EpisodeStore(tmp_path / "lancedb", embedder)


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """Folder of the real sentence embedder; skips where it is not in the cache."""
    from agent.config import cache_dir

    folder = cache_dir() / "models" / "all-minilm-l6-v2"
    if (folder / "model.safetensors").is_file():
        return folder
    pytest.skip("the sentence embedder is not in the cache: `nightschool model pull all-minilm-l6-v2`")
