"""Sandboxes to test, each probed once; a machine where bubblewrap cannot work skips its tests by name."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sandbox.base import SandboxUnavailable
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.none import NoSandbox


@pytest.fixture(scope="session")
def probed() -> BubblewrapSandbox:
    sandbox = BubblewrapSandbox()
    try:
        asyncio.run(sandbox.probe())
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    return sandbox


@pytest.fixture
def bubblewrap(probed: BubblewrapSandbox) -> BubblewrapSandbox:
    return probed


@pytest.fixture(params=["bubblewrap", "none"])
def backend(request: pytest.FixtureRequest) -> BubblewrapSandbox | NoSandbox:
    if request.param == "none":
        return NoSandbox()
    found: BubblewrapSandbox = request.getfixturevalue("probed")
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder
