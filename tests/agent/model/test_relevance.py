"""When a message needs no tool, and which of several tools fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.config import cache_dir
from agent.model.base import GenerateRequest
from agent.model.relevance import best_tool, is_talk, named_tool
from memory.embed import MiniLmEmbedder
from memory.types import Message
from skills.registry import builtin_registry
from skills.tool import ToolSpec

TOOLS = builtin_registry().specs()


class Same:
    """An embedder to which everything means the same."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (len(texts), 1))


class Unlike:
    """An embedder to which nothing is like the first text."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[1.0, 0.0], *[[0.0, 1.0]] * (len(texts) - 1)], dtype=np.float32)


@pytest.fixture(scope="module")
def embedder() -> MiniLmEmbedder:
    return MiniLmEmbedder(Path(cache_dir() / "models" / "all-minilm-l6-v2"))


@pytest.mark.real_model
@pytest.mark.parametrize(
    "text", ["What is the capital of France?", "Say hello to Figaro.", "What is 2 + 3?", "Who are you?"]
)
def test_talk_needs_no_tool(embedder: MiniLmEmbedder, text: str) -> None:
    assert is_talk(text, True, TOOLS, embedder)


@pytest.mark.real_model
@pytest.mark.parametrize(
    "text",
    [
        "List the files here.",
        "Read todo.md, please.",
        "Run the command date and tell me the year.",
        "Write a Python program that prints hello.",
        "What does this project do?",
        "Use ask_user to ask me how old I am.",
    ],
)
def test_a_task_is_no_talk(embedder: MiniLmEmbedder, text: str) -> None:
    assert not is_talk(text, True, TOOLS, embedder)


@pytest.mark.real_model
def test_a_later_message_counts_only_as_a_question(embedder: MiniLmEmbedder) -> None:
    assert not is_talk("Yes, do it.", False, TOOLS, embedder)
    assert is_talk("What is my cat called?", False, TOOLS, embedder)


@pytest.mark.parametrize(
    ("text", "talk"),
    [
        ("Use ask_user to learn how old I am.", False),
        ("First run_shell, then run_python.", False),
        ("When did she finish school?", True),
    ],
)
def test_a_message_that_names_a_tool_is_no_talk(text: str, talk: bool) -> None:
    assert is_talk(text, True, TOOLS, Unlike()) == talk


def test_without_an_embedder_everything_may_call() -> None:
    assert not is_talk("Hello!", True, TOOLS, None)


def test_among_tools_alike_the_likelier_name_wins() -> None:
    tools = tuple(
        ToolSpec(name=name, description="Gets a rate.", parameters={}, risk="read")
        for name in ("get_latest_rate", "get_rate")
    )
    asked = Message(role="user", content="What is the rate?", provenance="user")
    request = GenerateRequest(messages=(asked,), tools=tools)
    spelled = {"get_latest_rate": -9.0, "get_rate": -3.0}
    best = best_tool(request, spelled.__getitem__, Same())
    assert best is not None and best.name == "get_rate"
    assert best_tool(request, spelled.__getitem__, None) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Use Python to find the weekday.", "run_python"),
        ("Count the lines with a shell command.", "run_shell"),
        ("List them with run_shell, please.", "run_shell"),
        ("Use Python or a shell command, as you like.", None),
        ("Run this shell command: ls", "run_shell"),
        ("Write a Python program that prints hello.", None),
        ("Write primes.py and run it with python.", None),
        ("What is a shell?", None),
        ("Which users work with files?", None),
    ],
)
def test_a_tool_that_is_asked_for_is_recognised(text: str, name: str | None) -> None:
    found = named_tool(text, TOOLS)
    assert (found.name if found else None) == name
