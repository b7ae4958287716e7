"""`nightschool bench train` on a tiny model, without TRL."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from agent.errors import UsageError
from agent.sleep.items import TrainSettings
from benchmarks.facts import invent
from benchmarks.train import run_train
from benchmarks.train_chats import chats

_SETTINGS = TrainSettings(first_layer=1, passes=2, teacher_top=8)


def test_chats_hold_the_answer_and_no_far_question() -> None:
    facts = invent(12, 3)
    items = chats(facts)
    assert len(items) == 96 == len({item.id for item in items})
    far = {question.text for fact in facts for question in fact.questions("far")}
    for item in items:
        fact = facts[int((item.lesson_id or "")[1:])]
        assert fact.object in item.answer
        assert item.messages[-1].content not in far


def test_it_reports_speed_and_learning(tiny_qwen_dir: Path) -> None:
    said: list[str] = []
    result = run_train(
        tiny_qwen_dir, facts=2, rounds=1, settings=_SETTINGS, threads=1, compare=False, say=said.append
    )
    middle = result["median"]
    assert middle["passes"] == 2 and middle["tokens"] > 0
    assert middle["step_tokens_per_second"] >= middle["tokens_per_second"] > 0
    assert 0 <= middle["product_far"] <= 1
    assert len(said) == 1 and result["chats"] == 16


def test_without_trl_it_says_what_to_install(tiny_qwen_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str, *_: Any) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(UsageError, match="the extra `trl`"):
        run_train(tiny_qwen_dir)
