"""Chunks in a real table: versions, what is current, vectors that are computed once, hybrid search."""

from __future__ import annotations

from pathlib import Path

import pytest

from memory.chunks import ChunkStore
from memory.knowledge import Chunk
from tests.memory.conftest import START, FakeEmbedder


def chunks(version: str, *texts: str, domain: str = "general", path: str = "/docs/owl.md") -> list[Chunk]:
    return [
        Chunk(
            id=f"{version}-{position}",
            version=version,
            document="do_1",
            domain=domain,
            path=path,
            position=position,
            of=len(texts),
            text=text,
            heading="Owls",
            first_line=position + 1,
            last_line=position + 1,
            at=START,
        )
        for position, text in enumerate(texts)
    ]


@pytest.fixture
def shelf(tmp_path: Path, embedder: FakeEmbedder) -> ChunkStore:
    return ChunkStore(tmp_path / "lancedb", embedder)


def found(store: ChunkStore, text: str, **how: object) -> list[str]:
    return [hit.chunk.id for hit in store.search(text, **how)]  # type: ignore[arg-type]


def test_nothing_is_made_before_anything_is_put(shelf: ChunkStore) -> None:
    shelf.set_current({"v1"})
    assert shelf.search("owl") == [] and shelf.embed_missing() == 0
    assert not shelf.folder.exists()


def test_only_what_is_current_is_searched(shelf: ChunkStore) -> None:
    shelf.put_all(chunks("v1", "the owl eats mice", "the owl sleeps by day"))
    assert found(shelf, "owl mice") == []
    shelf.set_current({"v1"})
    assert found(shelf, "owl mice")[0] == "v1-0"
    shelf.put_all(chunks("v2", "the owl eats voles"))
    shelf.set_current({"v2"})
    assert found(shelf, "owl mice") == ["v2-0"]
    [first, *_] = shelf.search("owl mice", every_version=True)
    assert first.chunk.id == "v1-0" and not first.current
    shelf.set_current({"v1"})
    assert set(found(shelf, "owl")) == {"v1-0", "v1-1"}


def test_a_hit_says_why(shelf: ChunkStore) -> None:
    shelf.put_all(chunks("v1", "it eats mice at night"))
    shelf.set_current({"v1"})
    [hit] = shelf.search("What does the owl eat at night?")
    assert "meaning" in hit.reason and "night" in hit.reason
    # the file's name and the headings are searched with every passage
    [hit] = shelf.search("owls")
    assert "words: owls" in hit.reason and hit.chunk.place == "line 1"


def test_domains_are_apart(shelf: ChunkStore) -> None:
    shelf.put_all(chunks("v1", "the owl eats mice") + chunks("v2", "the owl eats mice", domain="it's"))
    shelf.set_current({"v1", "v2"})
    assert found(shelf, "owl", domain="it's") == ["v2-0"]
    assert found(shelf, "owl", domain="none") == []
    assert len(found(shelf, "owl")) == 2


def test_a_narrow_domain_is_found_behind_many_better_matches(shelf: ChunkStore) -> None:
    shelf.put_all(chunks("v1", *["owl owl owl"] * 100))
    shelf.put_all(chunks("v2", "one owl among other birds", domain="rare"))
    shelf.set_current({"v1", "v2"})
    assert found(shelf, "owl", domain="rare") == ["v2-0"]


def test_what_was_said_before_is_not_embedded_again(shelf: ChunkStore, embedder: FakeEmbedder) -> None:
    shelf.put_all(chunks("v1", "same", "old"))
    before = embedder.texts
    shelf.put_all(chunks("v2", "same", "new"))
    assert embedder.texts == before + 1
    shelf.drop(["v1", "v2"])
    shelf.put_all(chunks("v3", "old", "same", "new"))
    assert embedder.texts == before + 1


def test_the_table_knows_what_it_holds(shelf: ChunkStore) -> None:
    shelf.put_all(chunks("v1", "a", "b"))
    shelf.put_all(chunks("v2", "a", "b")[:1])
    shelf.set_current({"v1"})
    there = shelf.versions()
    assert (there["v1"].whole, there["v1"].current, there["v2"].whole, there["v2"].dated) == (
        True,
        True,
        False,
        True,
    )
    assert [chunk.text for chunk in shelf.of_version("v1")] == ["a", "b"]
    shelf.drop(["v2"])
    assert set(shelf.versions()) == {"v1"}


def test_vectors_that_come_later_change_nothing_else(tmp_path: Path, embedder: FakeEmbedder) -> None:
    without = ChunkStore(tmp_path / "lancedb", None)
    without.put_all(chunks("v1", "the owl eats mice"))
    without.set_current({"v1"})
    assert found(without, "mice") == ["v1-0"]
    later = ChunkStore(tmp_path / "lancedb", embedder)
    later.set_current({"v1"})
    assert later.embed_missing() == 1
    assert later.versions()["v1"].current
    [hit] = later.search("the owl eats mice")
    assert hit.similarity is not None
