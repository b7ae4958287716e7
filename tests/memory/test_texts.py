"""Texts of documents on disk: the same text once, damage noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.errors import StoreError
from memory.knowledge import DocumentText, Part
from memory.texts import TextStore

OWL = DocumentText(kind="text", parts=(Part(text="The owl sees.\n"),))


def test_the_same_text_is_kept_once(tmp_path: Path) -> None:
    store = TextStore(tmp_path / "knowledge")
    name = store.put(OWL)
    assert store.put(OWL) == name and name in store
    assert len(list((tmp_path / "knowledge").iterdir())) == 1
    assert store.get(name) == OWL


@given(texts=st.lists(st.text(max_size=50), min_size=1, max_size=3))
def test_it_comes_back_as_it_was(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    store = TextStore(tmp_path_factory.mktemp("texts"))
    text = DocumentText(kind="pdf", parts=tuple(Part(text=each, page=1) for each in texts))
    assert store.get(store.put(text)) == text


def test_damage_is_noticed(tmp_path: Path) -> None:
    store = TextStore(tmp_path)
    name = store.put(OWL)
    other = store.put(OWL.model_copy(update={"kind": "code"}))
    whole = (tmp_path / f"{name}.json.gz").read_bytes()
    for content in (b"", whole[:-9], b"no gzip", (tmp_path / f"{other}.json.gz").read_bytes()):
        (tmp_path / f"{name}.json.gz").write_bytes(content)
        with pytest.raises(StoreError, match="damaged"):
            store.get(name)
    (tmp_path / f"{name}.json.gz").unlink()
    with pytest.raises(StoreError, match="not there"):
        store.get(name)
    with pytest.raises(StoreError, match="names no kept text"):
        store.get("../../etc/passwd")
