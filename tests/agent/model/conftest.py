"""A loaded tiny model, and the real one where its weights are in the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.config import cache_dir
from memory.types import Message


@pytest.fixture(scope="session")
def load_tiny(tiny_qwen_dir: Path) -> Callable[..., Any]:
    """Loads the tiny model in float32, where cached and uncached passes agree to rounding."""

    def load(**options: Any) -> Any:
        import torch

        from agent.model.local import LocalModel

        options = {"dtype": torch.float32, "context_tokens": 2048, **options}
        return LocalModel.load(tiny_qwen_dir, "tiny", **options)

    return load


@pytest.fixture
def tiny(load_tiny: Callable[..., Any]) -> Any:
    """A freshly loaded tiny model: no cache, no adapters."""
    return load_tiny()


@pytest.fixture(scope="session")
def real_dir() -> Path:
    """The real 0.5B model's folder; the test is skipped where it has not been pulled."""
    folder = cache_dir() / "models" / "qwen2.5-coder-0.5b-instruct"
    if not (folder / "tokenizer.json").is_file():
        pytest.skip("the weights of qwen2.5-coder-0.5b-instruct are not in the cache")
    return folder


@pytest.fixture(scope="session")
def say() -> Callable[..., Message]:
    """Makes a message: `say("user", "hello")`."""

    def make(role: Any, content: str, **fields: Any) -> Message:
        provenance = "model" if role == "assistant" else role
        return Message(role=role, content=content, provenance=provenance, **fields)

    return make
