"""The exam's material on the real 0.5B model: long enough, neither trivial nor hopeless."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.config import cache_dir
from agent.model.base import GenerateRequest
from agent.model.text_nll import text_nll
from agent.model.tokens import Tokens
from agent.sleep import material
from agent.sleep.answers import Answers
from agent.sleep.calls import first_call
from skills.registry import builtin_registry

pytestmark = pytest.mark.real_model


@pytest.fixture(scope="module")
def folder() -> Path:
    found = cache_dir() / "models" / "qwen2.5-coder-0.5b-instruct"
    if not (found / "tokenizer.json").is_file():
        pytest.skip("the weights of qwen2.5-coder-0.5b-instruct are not in the cache")
    return found


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[Any]:
    from agent.model.local import LocalModel

    yield LocalModel.load(folder, folder.name, context_tokens=4096)


def test_the_text_is_as_long_as_promised(folder: Path) -> None:
    tokens = Tokens.load(folder)
    assert sum(len(tokens.encode_ordinary(piece)) for piece in material.texts()) >= 20_000


def test_the_text_is_plain_language(model: Any) -> None:
    scores = text_nll(model, material.texts()[::8])
    nats = sum(score.nats for score in scores) / sum(score.tokens for score in scores)
    assert 1.0 < nats < 3.5, "nats a token of ordinary text lie about 3 here, of repetition far below"


def test_the_base_knows_some_of_it(model: Any) -> None:
    answers = Answers(model, None, "real")
    probes = material.instructions()[::9]
    texts = answers.ask(
        None,
        [
            GenerateRequest(messages=material.asking(probe.prompt), max_tokens=probe.max_tokens)
            for probe in probes
        ],
    )
    right = sum(probe.check.holds(text) for probe, text in zip(probes, texts, strict=True))
    assert len(probes) / 3 < right < len(probes)


def test_the_base_writes_calls_of_its_own_accord(model: Any) -> None:
    specs = builtin_registry().specs()
    probes = material.tool_probes()[::8]
    texts = Answers(model, None, "real").ask(
        None,
        [
            GenerateRequest(
                messages=material.tasking(probe.prompt, probe.files),
                tools=specs,
                max_tokens=32,
                constrain=False,
            )
            for probe in probes
        ],
    )
    assert sum(first_call(text, specs) is not None for text in texts) >= len(probes) / 2
