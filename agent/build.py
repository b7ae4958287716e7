"""The one place that wires objects together: from settings and a home to a runtime."""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading

from agent.approval import Approver, approval_chain
from agent.archive import Archive
from agent.backup import Backup
from agent.bus import Bus
from agent.calls import TaskRequest
from agent.config import Settings, cache_dir
from agent.device import detect, torch_device
from agent.errors import ModelError, WeightsMissing
from agent.forget import Forget, ForgetWork
from agent.home import Home, OwnerLock
from agent.journal import Journal
from agent.keeping import Keeper
from agent.knowledge_log import KnowledgeLog
from agent.lesson_book import LessonBook
from agent.library import Library
from agent.model import manifest
from agent.model.base import Model
from agent.model.catalogue import ModelEntry, check_kind, find, quantization, resolve
from agent.model.thread import ModelThread
from agent.model.weights import installed, model_dir
from agent.parts import Parts
from agent.pending import Pending
from agent.pruning import Pruning
from agent.rollback import Rollback, Snapshots
from agent.runtime import Runtime
from agent.sandboxing import sandbox_from
from agent.serving import Serving
from agent.sleep.bedroom import Bedroom
from agent.snapshot_contents import Contents
from agent.tables import Tables
from memory.adapters import AdapterRegistry
from memory.answers import AnswerStore, digest_of
from memory.chunks import ChunkStore
from memory.embed import Embedder, MiniLmEmbedder
from memory.episodes import EpisodeStore
from memory.lessons import LessonStore
from memory.state import State
from memory.texts import TextStore
from sandbox.policy import default_policy
from skills.registry import builtin_registry

_log = logging.getLogger(__name__)


def build_runtime(home: Home, settings: Settings, lock: OwnerLock) -> Runtime:
    """The runtime of an owned home. Loads no weights yet. Must be called with an event loop running."""
    entry = chosen_model(settings)
    journal = Journal(home.journal)
    bus = Bus(journal)
    embedder = load_embedder(settings)
    store, lessons = EpisodeStore(home.lancedb, embedder), LessonStore(home.lancedb, embedder)
    chunks, texts = ChunkStore(home.lancedb, embedder), TextStore(home.knowledge)
    answers = AnswerStore(home.answers)

    def known_state() -> str:
        episodes = {name: journal.episode_seq(name) for name in journal.episode_ids()}
        return digest_of({"knowledge": knowledge.state(), "episodes": sorted(episodes.items())})

    def drop_answers() -> None:
        try:
            answers.keep_only(known_state())
        except OSError as error:
            _log.warning("answers from what is past could not be removed: %s", error)

    knowledge = KnowledgeLog(journal, texts, chunks, drop_answers)
    tables = Tables(journal, store, lessons, knowledge)
    state, adapters = State(home.state), AdapterRegistry(home.adapters)
    rollback = Rollback(
        home.root / "config.toml", journal, state, adapters, tables, bus.deliver_from_anywhere
    )
    taking_away = threading.RLock()
    forgetter = ForgetWork(
        home,
        journal,
        state,
        adapters,
        tables,
        lambda: drop_caches(home),
        bus.deliver_from_anywhere,
        taking_away,
    )
    pruning = Pruning(rollback, state, adapters, home.lancedb, [store, lessons, chunks], taking_away)
    # what a crash cut off is finished before anything else looks at the home
    rollback.redo()
    forgetter.redo()
    pruning.redo()
    serving = Serving(adapters, state, base_digest(entry.name))

    def load() -> Model:
        loaded = load_model(settings, entry, embedder)
        serving.load_into(loaded)
        return loaded

    model = ModelThread(load)
    archive = Archive(journal, store, tables, count_words)
    registry = builtin_registry()
    pending = Pending(bus)
    policy = default_policy(**settings.policy.model_dump(), home=home.root, readable=[home.outputs])

    def approver(request: TaskRequest) -> Approver:
        return approval_chain(policy, request.approve, pending.approval)

    return Runtime(
        Parts(
            home=home,
            settings=settings,
            model_name=entry.name,
            check_model=lambda: _check_weights(entry.name),
            model=model,
            registry=registry,
            sandbox=sandbox_from(settings.sandbox, hidden=[home.root, cache_dir()]),
            bus=bus,
            archive=archive,
            pending=pending,
            approver=approver,
            bedroom=Bedroom(
                settings=settings,
                nights=home.nights,
                cache=home.sleep_cache,
                shared_cache=cache_dir() / "nights",
                base=cache_dir() / "models" / entry.name,
                base_name=entry.name,
                base_digest=base_digest(entry.name),
                quantization=quantization(entry, detect(), settings.model.quantization) or "none",
                model=model,
                bus=bus,
                episodes=archive,
                lessons=LessonBook(bus, lessons),
                registry=adapters,
                state=state,
                snapshots=Snapshots(rollback),
                serving=serving,
                embedder=embedder,
                specs=registry.specs(),
            ),
            library=Library(
                home.root, knowledge, texts, chunks, settings.memory.file_mb, bus.deliver_from_anywhere
            ),
            answers=answers,
            known_state=known_state,
            forgetter=Forget(forgetter),
            keeper=Keeper(
                contents=Contents(journal, rollback, state, adapters),
                pruning=pruning,
                backup=Backup(home, journal, state, taking_away, [cache_dir()]),
            ),
            on_close=lock.release,
        )
    )


def base_digest(name: str) -> str:
    """Digest of a model's weights as installed; empty while they are not there."""
    try:
        found = manifest.read(model_dir(name, cache_dir()))
    except ModelError:
        return ""
    if found is None:
        return ""
    weights = sorted(file.sha256 for path, file in found.files.items() if path.endswith(".safetensors"))
    return hashlib.sha256("".join(weights).encode()).hexdigest()


def drop_caches(home: Home) -> None:
    """Remove what was computed from episodes and lessons and kept: by nights, and answers. Raises OSError."""
    shutil.rmtree(home.sleep_cache, ignore_errors=True)
    AnswerStore(home.answers).clear()


def chosen_model(settings: Settings) -> ModelEntry:
    """The catalogue entry the settings mean on this machine. Raises ModelError for an unknown name or one
    that is no language model."""
    here = [found.name for found in installed(cache_dir())]
    return check_kind(resolve(settings.model.name, detect(), here), "language", "model.name")


def load_model(settings: Settings, entry: ModelEntry, embedder: Embedder | None) -> Model:
    """The chosen local model with constrained tool calls. Slow: reads weights. Raises ModelError."""
    from agent.model.grammar import constraint_factory
    from agent.model.local import LocalModel

    folder = model_dir(entry.name, cache_dir())
    return LocalModel.load(
        folder,
        entry.name,
        device=torch_device(settings.model.device),
        quantization=quantization(entry, detect(), settings.model.quantization) or "none",
        context_tokens=settings.model.context_tokens,
        constraint_factory=constraint_factory(folder, embedder) if settings.model.constrain else None,
    )


def load_embedder(settings: Settings) -> Embedder | None:
    """The sentence embedder, None while its files are not there; its weights load on first use.

    Raises ModelError for a name that is unknown or no embedder.
    """
    entry = check_kind(find(settings.memory.embedder), "embedder", "memory.embedder")
    try:
        return MiniLmEmbedder(model_dir(entry.name, cache_dir()))
    except WeightsMissing:
        return None


def _check_weights(name: str) -> None:
    model_dir(name, cache_dir())


def count_words(text: str) -> int:
    """Tokens of a text, estimated from its length: close enough for a budget."""
    return len(text) // 4 + 1
