"""Answers that are kept: bounded, and gone with the state they were made from."""

from __future__ import annotations

import os
from pathlib import Path

from memory.answers import AnswerStore, digest_of


def test_an_answer_comes_back_under_its_state_and_key(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "answers")
    assert store.get("s1", "k1") is None
    store.put("s1", "k1", "Grüße")
    assert store.get("s1", "k1") == "Grüße"
    assert store.get("s1", "k2") is None and store.get("s2", "k1") is None


def test_nothing_outlives_its_state(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "answers")
    store.put("s1", "k1", "secret")
    store.keep_only("s1")
    assert store.get("s1", "k1") == "secret"
    store.put("s2", "k1", "new")
    assert [path.read_text() for path in tmp_path.rglob("*.json")] == ["new"]
    store.clear()
    store.clear()
    assert list(tmp_path.iterdir()) == []


def test_the_one_used_longest_ago_goes_first(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path, most=2)
    for number, name in enumerate(("a", "b")):
        store.put("s", name, name)
        os.utime(tmp_path / "s" / f"{name}.json", (number, number))
    assert store.get("s", "a") == "a"
    store.put("s", "c", "c")
    assert [store.get("s", name) for name in "abc"] == ["a", None, "c"]


def test_a_damaged_one_and_a_full_disk_cost_the_cache_only(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    store.put("s", "k", "x")
    (tmp_path / "s" / "k.json").write_bytes(b"\xff")
    assert store.get("s", "k") is None
    blocked = AnswerStore(tmp_path / "s" / "k.json")
    blocked.put("s", "k", "x")
    assert blocked.get("s", "k") is None


def test_a_name_for_values() -> None:
    assert digest_of({"a": 1, "b": (2,)}) == digest_of({"b": (2,), "a": 1}) != digest_of({"a": 1, "b": (3,)})
