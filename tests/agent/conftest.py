"""A real runtime around a scripted model: real journal, tables, sandbox and tools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent import build
from agent.config import Settings
from agent.home import Home, OwnerLock
from agent.model.base import Model
from agent.model.catalogue import ModelEntry, catalogue
from agent.model.fake import FakeModel
from agent.runtime import Runtime

MakeRuntime = Callable[..., Awaitable[Runtime]]
Scripted = Callable[..., Settings]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Makes settings; a runtime built from them has a model that follows the script."""
    scripts: dict[int, Sequence[Any]] = {}
    fake = next(iter(catalogue().values())).model_copy(update={"name": "fake"})

    def load_model(settings: Settings, entry: ModelEntry, embedder: Any) -> Model:
        return FakeModel(scripts[id(settings)], context_tokens=settings.model.context_tokens)

    monkeypatch.setenv("NIGHTSCHOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "chosen_model", lambda settings: fake)
    monkeypatch.setattr(build, "load_model", load_model)
    monkeypatch.setattr(build, "_check_weights", lambda name: None)

    def make(script: Sequence[Any], **settings: dict[str, Any]) -> Settings:
        chosen = Settings.model_validate(settings)
        scripts[id(chosen)] = script
        return chosen

    return make


@pytest.fixture
async def make_runtime(tmp_path: Path, scripted: Scripted) -> AsyncIterator[MakeRuntime]:
    """Makes runtimes on `tmp_path/home` (or `home=`), and closes those still open at the end."""
    opened: list[Runtime] = []

    async def make(script: Sequence[Any], home: Path | None = None, **settings: dict[str, Any]) -> Runtime:
        chosen = scripted(script, **settings)
        place = Home(home or tmp_path / "home")
        place.create()
        lock = OwnerLock.acquire(place)
        assert lock is not None
        runtime = build.build_runtime(place, chosen, lock)
        opened.append(runtime)
        return runtime

    yield make
    for runtime in opened:
        await runtime.close()
