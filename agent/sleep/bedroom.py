"""What every night of a home works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.archive import Archive
from agent.bus import Bus
from agent.config import Settings
from agent.lesson_book import LessonBook
from agent.model.thread import ModelThread
from agent.rollback import Snapshots
from agent.serving import Serving
from memory.adapters import AdapterRegistry
from memory.embed import Embedder
from memory.state import State
from skills.tool import ToolSpec

Quantization = Literal["none", "nf4"]


@dataclass(frozen=True)
class Bedroom:
    """Wired in `agent.build`."""

    settings: Settings
    nights: Path
    """Folder of all nights."""
    cache: Path
    """The home's folder for what may be computed once and kept: what adapters say, activations."""
    shared_cache: Path
    """The same for what knows no lesson and serves every home: anchors, figures of the base."""
    base: Path
    """Folder of the base model."""
    base_name: str
    """Its catalogue name."""
    base_digest: str
    """Digest of its weights."""
    quantization: Quantization
    """How it is loaded."""
    model: ModelThread
    bus: Bus
    episodes: Archive
    lessons: LessonBook
    registry: AdapterRegistry
    state: State
    snapshots: Snapshots
    serving: Serving
    embedder: Embedder | None
    specs: tuple[ToolSpec, ...]
    """The agent's tools, as they stand in a task's prompt."""
