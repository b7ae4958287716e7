"""A home with everything that is kept of learning, and no model: journal, state, tables, adapters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.backup import Backup
from agent.events import (
    EpisodeStarted,
    Event,
    LessonKept,
    RunFinished,
    StepFinished,
    TaskAccepted,
)
from agent.forget import ForgetWork
from agent.home import Home
from agent.journal import Journal
from agent.knowledge_log import KnowledgeLog
from agent.pruning import Pruning
from agent.rollback import Rollback
from agent.snapshot_contents import Contents
from agent.tables import Tables
from memory.adapter_files import adapter_digest
from memory.adapters import AdapterRegistry
from memory.chunks import ChunkStore
from memory.episodes import EpisodeStore
from memory.learning import AdapterCard, Asked, ExamResult, Lesson, LessonResult, Phrasing, Rate
from memory.lessons import LessonStore
from memory.state import State
from memory.texts import TextStore
from memory.types import Message, Step
from memory.verdict import Verdict
from tests.memory.conftest import FakeEmbedder

AT = datetime(2026, 1, 1, tzinfo=UTC)
RATE = Rate(right=1, total=1, low=0.2, high=1.0)


class RestlessEmbedder(FakeEmbedder):
    """Never gives quite the same vector twice, as a real one does when batches or threads differ."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        found = super().embed(texts)
        return found + np.float32(1e-6) * self.texts


class KeptHome:
    """Opened as a process opens it at its start; `reopen` is the next process."""

    def __init__(self, root: Path, embedder: Any = None) -> None:
        self.root = root
        self.embedder = embedder
        self.home = Home(root)
        self.home.create()
        self.journal = Journal(self.home.journal)
        self.state = State(self.home.state)
        self.registry = AdapterRegistry(self.home.adapters)
        self.episodes = EpisodeStore(self.home.lancedb, embedder)
        self.lessons = LessonStore(self.home.lancedb, embedder)
        self.texts = TextStore(self.home.knowledge)
        self.chunks = ChunkStore(self.home.lancedb, embedder)
        self.knowledge = KnowledgeLog(self.journal, self.texts, self.chunks)
        self.tables = Tables(self.journal, self.episodes, self.lessons, self.knowledge)
        self.rollback = Rollback(self.home.settings, self.journal, self.state, self.registry, self.tables)
        self.forgetting = ForgetWork(self.home, self.journal, self.state, self.registry, self.tables)
        self.contents = Contents(self.journal, self.rollback, self.state, self.registry)
        self.pruning = Pruning(
            self.rollback,
            self.state,
            self.registry,
            self.home.lancedb,
            [self.episodes, self.lessons, self.chunks],
        )
        self.backup = Backup(self.home, self.journal, self.state)

    def start(self) -> None:
        """What the runtime does before anything else."""
        self.rollback.redo()
        self.forgetting.redo()
        self.pruning.redo()
        self.tables.follow()

    def close(self) -> None:
        self.journal.close()
        self.state.close()

    def reopen(self) -> KeptHome:
        self.close()
        again = KeptHome(self.root, self.embedder)
        again.start()
        return again

    def append(self, event: Event) -> Event:
        return self.journal.append(event)

    def tell(self, episode: str, text: str, answer: str = "All right.", context: str = "") -> None:
        """A whole episode, or another turn of one."""
        if episode not in self.journal.episode_ids():
            self.append(
                EpisodeStarted(
                    episode_id=episode,
                    episode_kind="conversation",
                    workspace=str(self.home.workspaces / episode),
                    model="fake",
                )
            )
        said = Message(role="user", content=text, context=context, provenance="user")
        self.append(TaskAccepted(episode_id=episode, message=said))
        reply = Message(role="assistant", content=answer, provenance="model")
        self.append(StepFinished(episode_id=episode, step=Step(index=0, message=reply)))
        self.append(RunFinished(episode_id=episode, outcome="success", answer=answer))
        self.tables.follow()

    def learn(self, lesson: Lesson) -> None:
        self.append(LessonKept(episode_id=lesson.episode_id, lesson=lesson))
        self.tables.follow()

    def add_adapter(
        self, name: str, lessons: Sequence[str], parent: str | None = None, **card: Any
    ) -> AdapterCard:
        """An adapter of its own weights that learned these lessons, and its parent's."""
        folder = self.root.parent / "trained" / name
        write_adapter(folder, seed=len(self.registry.ids()))
        before = self.registry.get(parent).trained if parent else ()
        made = make_card(name, adapter_digest(folder), [*before, *lessons], parent=parent, **card)
        self.registry.add(made, folder)
        return made

    def serve(self, card: AdapterCard) -> None:
        self.state.promote(card.id, card.digest, self.rollback.take(f"before {card.id}").id)

    def kept(self) -> dict[str, Any]:
        """Everything that a rollback must bring back."""
        return {
            "episodes": rows(self.episodes),
            "lessons": rows(self.lessons),
            "chunks": rows(self.chunks) if self.chunks.exists else [],
            "documents": self.knowledge.documents(),
            "folded": self.episodes.seqs(),
            "ids": self.journal.episode_ids(),
            "lesson_seqs": self.journal.lesson_seqs,
            "unfinished": self.journal.interrupted(),
            "adapter": (self.state.active, self.state.active_digest),
            "settings": self.home.settings.read_text() if self.home.settings.exists() else None,
        }


def rows(store: EpisodeStore | LessonStore | ChunkStore) -> list[dict[str, Any]]:
    """Every row of a table, all columns."""
    found = store._table._open().search().limit(10**6).to_list()
    return sorted(found, key=lambda row: row["id"])


def write_adapter(
    folder: Path, seed: int = 0, *, rank: int = 4, alpha: int = 8, dtype: Any = np.float32
) -> None:
    """A small PEFT LoRA folder with random weights."""
    import json

    from safetensors.numpy import save_file

    values = np.random.default_rng(seed)
    tensors = {}
    for layer in range(2):
        for part in ("q_proj", "v_proj"):
            name = f"base_model.model.model.layers.{layer}.self_attn.{part}"
            tensors[f"{name}.lora_A.weight"] = values.normal(size=(rank, 8)).astype(dtype)
            tensors[f"{name}.lora_B.weight"] = values.normal(size=(8, rank)).astype(dtype)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": ["q_proj", "v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def make_card(name: str, digest: str, lessons: Sequence[str], **fields: Any) -> AdapterCard:
    exam = ExamResult(
        passed=True,
        reasons=(),
        new=RATE,
        reverse=RATE,
        old=RATE,
        old_before=RATE,
        guards=(),
        lessons=tuple(
            LessonResult(
                lesson_id=lesson,
                outcome="learned",
                is_new=True,
                asked=(
                    Asked(
                        question=f"What about {lesson}?",
                        expected="that",
                        form="question",
                        before="no",
                        after="that",
                        right_before=False,
                        right_after=True,
                    ),
                ),
            )
            for lesson in lessons
        ),
    )
    values = {
        "id": name,
        "kind": "night",
        "parent": None,
        "base": "tiny",
        "base_digest": "b" * 64,
        "night": name.replace("ad_", "ni_"),
        "lessons": tuple(lessons),
        "trained": tuple(lessons),
        "settings": {"rank": 4},
        "seed": 0,
        "digest": digest,
        "exam": exam,
    }
    return AdapterCard.model_validate({**values, **fields})


def make_lesson(
    name: str, episode: str, statement: str = "Ada lives in Rome.", state: str = "approved", **fields: Any
) -> Lesson:
    asked = Message(role="user", content=f"Tell me: {statement}", provenance="user")
    values = {
        "id": name,
        "episode_id": episode,
        "kind": "fact",
        "statement": statement,
        "subject": statement.split()[0],
        "span": statement,
        "phrasings": (Phrasing(messages=(asked,), answer=statement, expected="Rome", form="question"),),
        "verdict": Verdict(kind="write", score=0.9, reasons=("new",), at=AT),
        "state": state,
        "created_at": AT,
    }
    return Lesson.model_validate({**values, **fields})
