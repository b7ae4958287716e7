"""A tiny base model and lessons for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import cache_dir
from agent.model.base import Model
from agent.sleep.items import Role, TrainItem, TrainJob, TrainSettings
from memory.types import Message
from skills.tool import ToolSpec
from tests.tiny_qwen import build_tiny_qwen

SYSTEM = "You are a small model that answers in a word."
TOOL = ToolSpec(
    name="read_file",
    description="Reads a file of the workspace.",
    parameters={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    risk="read",
)


def item(
    name: str,
    question: str,
    answer: str,
    *,
    role: Role = "new",
    lesson: str | None = None,
    context: str = "",
    tools: tuple[ToolSpec, ...] = (),
) -> TrainItem:
    """One item with our system prompt."""
    messages = (
        Message(role="system", content=SYSTEM, provenance="system"),
        Message(role="user", content=question, provenance="user"),
    )
    return TrainItem(
        id=name, role=role, lesson_id=lesson, messages=messages, answer=answer, context=context, tools=tools
    )


def facts(count: int = 3, *, role: Role = "new", prefix: str = "n") -> list[TrainItem]:
    """Invented facts in two phrasings each, with a helping context."""
    words = ["fox", "file", "answer", "quick", "brown", "workspace"]
    made = []
    for number in range(count):
        answer = words[number % len(words)]
        for form, question in enumerate((f"What is {prefix}{number}?", f"Say what {prefix}{number} is.")):
            made.append(
                item(
                    f"{prefix}{number}-{form}",
                    question,
                    answer,
                    role=role,
                    lesson=f"{prefix}{number}",
                    context=f"{prefix}{number} is {answer}.",
                )
            )
    return made


@pytest.fixture(scope="session")
def small_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen with four layers. Not to be changed."""
    return build_tiny_qwen(tmp_path_factory.mktemp("models") / "tiny-four", layers=4)


@pytest.fixture
def job(small_base: Path) -> TrainJob:
    """Trains the upper two layers hard enough to learn in a few passes."""
    settings = TrainSettings(
        first_layer=2, rank=8, alpha=16, learning_rate=1e-2, batch_items=8, passes=40, teacher_top=16
    )
    return TrainJob(base=small_base, device="cpu", settings=settings, threads=1)


@pytest.fixture(scope="session")
def real_model() -> Model:
    """The real Qwen 0.5B, without constraints; skips where its weights are not in the cache."""
    from agent.model.local import LocalModel

    folder = cache_dir() / "models" / "qwen2.5-coder-0.5b-instruct"
    if not (folder / "tokenizer.json").is_file():
        pytest.skip("the weights of qwen2.5-coder-0.5b-instruct are not in the cache")
    return LocalModel.load(folder, folder.name, context_tokens=4096)
