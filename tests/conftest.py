"""Fixtures every room's tests may use."""

from __future__ import annotations

from pathlib import Path

import pytest

import agent.model  # noqa: F401  sets how torch's threads wait, before torch is imported
from tests.tiny_qwen import build_tiny_qwen


@pytest.fixture(scope="session")
def tiny_qwen_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random Qwen2 with a real tokenizer and chat template. Not to be changed."""
    return build_tiny_qwen(tmp_path_factory.mktemp("models") / "tiny-qwen")
