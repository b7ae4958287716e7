"""A real runtime around a scripted model: real journal, tables, sandbox and tools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.approval import approval_chain
from agent.archive import Archive
from agent.build import count_words
from agent.bus import Bus
from agent.config import Settings
from agent.home import Home, OwnerLock
from agent.journal import Journal
from agent.model.fake import FakeModel
from agent.model.thread import ModelThread
from agent.pending import Pending
from agent.runtime import Parts, Runtime
from agent.sandboxing import sandbox_from
from memory.episodes import EpisodeStore
from sandbox.policy import default_policy
from skills.registry import builtin_registry

MakeRuntime = Callable[..., Awaitable[Runtime]]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
async def make_runtime(tmp_path: Path) -> AsyncIterator[MakeRuntime]:
    """Makes runtimes on `tmp_path/home` (or `home=`), and closes those still open at the end."""
    opened: list[Runtime] = []

    async def make(script: Sequence[Any], home: Path | None = None, **settings: dict[str, Any]) -> Runtime:
        chosen = Settings.model_validate(settings)
        place = Home(home or tmp_path / "home")
        place.create()
        lock = OwnerLock.acquire(place)
        assert lock is not None
        journal = Journal(place.journal)
        bus = Bus(journal)
        pending = Pending(bus)
        policy = default_policy(**chosen.policy.model_dump(), home=place.root, readable=[place.outputs])
        runtime = Runtime(
            Parts(
                home=place,
                settings=chosen,
                model_name="fake",
                check_model=lambda: None,
                model=ModelThread(lambda: FakeModel(script, context_tokens=chosen.model.context_tokens)),
                registry=builtin_registry(),
                sandbox=sandbox_from(chosen.sandbox, hidden=[place.root]),
                bus=bus,
                archive=Archive(journal, EpisodeStore(place.lancedb, None), count_words),
                pending=pending,
                approver=lambda request: approval_chain(policy, request.approve, pending.approval),
                on_close=lock.release,
            )
        )
        opened.append(runtime)
        return runtime

    yield make
    for runtime in opened:
        await runtime.close()
