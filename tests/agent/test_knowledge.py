"""Knowledge over a real home: histories of adding, changing, removing, rolling back and crashing."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.errors import HomeError, UsageError
from agent.knowledge_calls import FileRead, KnowledgeAdded
from agent.library import Library, Stopped
from agent.reading.process import ReadingProcess
from memory.errors import StoreError
from tests.agent.kept_home import KeptHome
from tests.agent.reading.samples import write_pdf, write_sparse
from tests.memory.conftest import FakeEmbedder

MIB = 1024**2


def library(kept: KeptHome, file_mb: int = 8) -> Library:
    return Library(kept.root, kept.knowledge, kept.texts, kept.chunks, file_mb)


def states(added: KnowledgeAdded) -> dict[str, str]:
    return {Path(file.path).name: file.state for file in added.files}


def failed(added: KnowledgeAdded) -> dict[str, str]:
    return {Path(file.path).name: file.reason for file in added.files if file.state == "failed"}


def paths_found(kept: KeptHome, text: str, **how: object) -> set[str]:
    return {Path(hit.chunk.path).name for hit in kept.chunks.search(text, 50, **how)}  # type: ignore[arg-type]


@pytest.fixture
def kept(tmp_path: Path) -> KeptHome:
    home = KeptHome(tmp_path / "home", FakeEmbedder())
    home.start()
    return home


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "owl.md").write_text("# Owls\nThe owl eats mice.\n")
    (folder / "port.txt").write_text("The staging port is 8443.\n")
    return folder


def test_only_what_changed_is_read_again(kept: KeptHome, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = library(kept)
    assert states(shelf.add((str(data),), "general")) == {"owl.md": "added", "port.txt": "added"}
    (data / "owl.md").write_text("# Owls\nThe owl eats voles.\n")
    (data / "new.md").write_text("New.\n")
    again = shelf.add((str(data),), "general")
    assert states(again) == {"owl.md": "changed", "port.txt": "unchanged", "new.md": "added"}
    assert {file.version for file in again.files if file.state == "changed"} == {2}
    monkeypatch.setattr(ReadingProcess, "read", None)
    last = kept.journal.last_seq
    assert set(states(shelf.add((str(data),), "general")).values()) == {"unchanged"}
    assert kept.journal.last_seq == last


def test_versions_are_kept_and_searched_when_asked_for(kept: KeptHome, data: Path) -> None:
    shelf = library(kept)
    shelf.add((str(data),), "general")
    (data / "owl.md").write_text("# Owls\nThe owl eats voles.\n")
    shelf.add((str(data),), "general")
    assert all("mice" not in hit.chunk.text for hit in kept.chunks.search("owl eats mice"))
    past = [hit for hit in kept.chunks.search("owl eats mice", every_version=True) if not hit.current]
    assert "mice" in past[0].chunk.text
    shown = shelf.show("owl.md", str(data), None, 1)
    assert "mice" in shown.text and not shown.current and shown.number == 1
    assert "voles" in shelf.show("owl.md", str(data), None, None).text
    with pytest.raises(UsageError, match="versions 1 to 2, not 3"):
        shelf.show("owl.md", str(data), None, 3)


def test_a_removed_document_is_known_again_when_added_again(kept: KeptHome, data: Path) -> None:
    shelf = library(kept)
    shelf.add((str(data),), "general")
    [gone] = shelf.remove(("owl.md",), str(data), None)
    assert [Path(found.path).name for found in shelf.documents()] == ["port.txt"]
    assert "owl.md" not in paths_found(kept, "owl mice port")
    assert "owl.md" in paths_found(kept, "owl mice port", every_version=True)
    assert not shelf.show(gone.id, "/", None, None).current
    before = kept.embedder.texts
    again = shelf.add((str(data / "owl.md"),), "general")
    assert states(again) == {"owl.md": "added"} and again.files[0].version == 2
    assert kept.embedder.texts == before
    assert "owl.md" in paths_found(kept, "owl mice port")


def test_names_of_documents(kept: KeptHome, data: Path, tmp_path: Path) -> None:
    shelf = library(kept)
    (data / "deep").mkdir()
    (data / "deep" / "owl.md").write_text("Another owl.\n")
    shelf.add((str(data),), "general")
    shelf.add((str(data / "port.txt"),), "work")
    known = shelf.documents("general")
    assert shelf.show(known[0].id[:9], "/", None, None).document == known[0]
    assert shelf.show("deep/owl.md", "/", None, None).document.path == str(data / "deep" / "owl.md")
    assert shelf.show("owl.md", str(data), None, None).document.path == str(data / "owl.md")
    for name, folder, domain, said in (
        ("owl.md", "/", None, "fits 2 documents"),
        ("port.txt", str(data), None, "fits 2 documents"),
        ("nothing", "/", None, "No document `nothing` is known"),
        ("", "/", None, "No document"),
        ("owl.md", str(data), "work", "No document"),
        ("a\0b", "/", None, "no path"),
    ):
        with pytest.raises(UsageError, match=said):
            shelf.show(name, folder, domain, None)
    with pytest.raises(UsageError):
        shelf.remove((str(data), "nothing"), "/", None)
    assert len(shelf.documents()) == 4
    assert len(shelf.remove((str(data / "deep"), "port.txt"), str(data), "general")) == 2
    assert len(shelf.remove((str(data),), "/", None)) == 2
    assert shelf.documents() == []


def test_every_bad_file_is_named_and_the_rest_is_added(kept: KeptHome, data: Path, tmp_path: Path) -> None:
    write_pdf(data / "scan.pdf", [""])
    write_pdf(data / "good.pdf", ["A page about owls."])
    (data / "program.txt").write_bytes(b"\x7fELF\0\0")
    (data / "empty.md").write_text("")
    (data / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (data / "README").write_text("Read me.\n")
    (data / os.fsdecode(b"bad\xff.md")).write_text("x")
    (data / "数据 🦉.md").write_text("梟は夜に鳴く。\n")
    (data / "round").symlink_to(data)
    write_sparse(data / "big.log", b"The owl sees.\n" * 200_000, 1024 * MIB)
    added = library(kept, file_mb=1).add((str(data), str(tmp_path / "missing")), "general")
    said = failed(added)
    assert set(said) == {"scan.pdf", "program.txt", "empty.md", "bad\\udcff.md", "missing"}
    assert all(reason.endswith(".") for reason in said.values())
    assert added.left_out == {"links": 1, "of other kinds": 1}
    [big] = [file for file in added.files if file.left_out]
    assert big.left_out == "everything after the first 1 of 1,024 MiB"
    known = {Path(found.path).name for found in library(kept).documents()}
    assert known == {"owl.md", "port.txt", "good.pdf", "README", "数据 🦉.md", "big.log"}
    assert "数据 🦉.md" in paths_found(kept, "梟")
    # with a larger bound the rest of it is read, and nothing else is read again
    assert states(library(kept, file_mb=2).add((str(data),), "general"))["big.log"] == "changed"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(kept: KeptHome, data: Path) -> None:
    (data / "owl.md").chmod(0)
    assert "may not read" in failed(library(kept).add((str(data),), "general"))["owl.md"]


def test_a_known_file_that_cannot_be_read_any_more_stays_known(kept: KeptHome, data: Path) -> None:
    shelf = library(kept)
    shelf.add((str(data),), "general")
    (data / "owl.md").write_bytes(b"\0\0")
    (data / "port.txt").unlink()
    added = shelf.add((str(data),), "general")
    assert states(added) == {"owl.md": "failed"} and added.gone == (str(data / "port.txt"),)
    assert {"owl.md", "port.txt"} <= paths_found(kept, "owl mice port")


def test_domains_must_have_a_name(kept: KeptHome, data: Path) -> None:
    for name in ("", "two words", "a/b", "x" * 65):
        with pytest.raises(UsageError, match="domain's name"):
            library(kept).add((str(data),), name)
    library(kept).add((str(data),), "wissen-日本_2")


def test_stopping_keeps_what_was_done_and_nothing_half(kept: KeptHome, data: Path) -> None:
    (data / "zoo.txt").write_text("\n\n".join(f"Animal {number} eats grass." * 20 for number in range(400)))
    puts = []

    def going_on() -> None:
        puts.append(kept.chunks.count() if kept.chunks.exists else 0)
        if puts[-1] > 100:
            raise Stopped

    with pytest.raises(Stopped):
        library(kept).add((str(data),), "general", going_on=going_on)
    assert library(kept).documents() == []
    assert kept.chunks.versions() == {}
    before = kept.embedder.texts
    library(kept).add((str(data),), "general")
    assert len(library(kept).documents()) == 3
    # what was embedded before it was stopped is not embedded again
    assert kept.embedder.texts < before + kept.chunks.count() - 50


def test_a_journal_that_cannot_be_written_leaves_nothing(
    kept: KeptHome, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(event: object) -> None:
        raise HomeError("No space left.")

    with monkeypatch.context() as patched:
        patched.setattr(kept.journal, "append", full)
        with pytest.raises(HomeError):
            library(kept).add((str(data),), "general")
    assert kept.chunks.versions() == {}
    assert states(library(kept).add((str(data),), "general")) == {"owl.md": "added", "port.txt": "added"}


def test_the_table_is_made_again_from_journal_and_texts(kept: KeptHome, data: Path) -> None:
    library(kept).add((str(data),), "general")
    (data / "owl.md").write_text("# Owls\nThe owl eats voles.\n")
    library(kept).add((str(data),), "general")
    library(kept).remove(("port.txt",), str(data), None)
    before = everything(kept)
    shutil.rmtree(kept.home.lancedb)
    kept = kept.reopen()
    assert everything(kept) == before
    kept.tables.rebuild()
    assert everything(kept) == before
    # a power cut may take the newest rows
    some = kept.chunks._table.select(["id"])[0]["id"]
    kept.chunks._table.delete([some])
    kept = kept.reopen()
    assert everything(kept) == before


def test_a_damaged_table_is_named_and_rebuilt(kept: KeptHome, data: Path) -> None:
    library(kept).add((str(data),), "general")
    before = everything(kept)
    for path in (kept.home.lancedb / "chunks.lance").rglob("*.lance"):
        path.write_bytes(b"damage")
    kept.close()
    kept = KeptHome(kept.root, kept.embedder)
    with pytest.raises(StoreError, match="episodes rebuild"):
        kept.tables.follow()
    kept.tables.rebuild()
    assert everything(kept) == before


def test_a_text_that_is_gone_costs_that_document_alone(kept: KeptHome, data: Path) -> None:
    library(kept).add((str(data),), "general")
    [owl] = [found for found in library(kept).documents() if found.path.endswith("owl.md")]
    (kept.home.knowledge / f"{owl.newest.text}.json.gz").unlink()
    shutil.rmtree(kept.home.lancedb)
    kept = kept.reopen()
    assert paths_found(kept, "owl mice port") == {"port.txt"}
    assert states(library(kept).add((str(data),), "general"))["owl.md"] == "changed"
    assert paths_found(kept, "owl mice port") == {"owl.md", "port.txt"}


def test_a_rollback_takes_knowledge_along_and_back_again(kept: KeptHome, data: Path) -> None:
    library(kept).add((str(data / "owl.md"),), "general")
    before, snapshot = everything(kept), kept.rollback.take("then")
    (data / "owl.md").write_text("# Owls\nThe owl eats voles.\n")
    library(kept).add((str(data),), "general")
    library(kept).remove(("owl.md",), str(data), None)
    after = everything(kept)
    assert kept.rollback.plan(snapshot.id).documents_change == 2
    done = kept.rollback.rollback(snapshot.id)
    assert everything(kept) == before
    assert done.undo is not None
    kept.rollback.rollback(done.undo)
    assert everything(kept) == after


def everything(kept: KeptHome) -> dict[str, object]:
    """What is known, as the log says it and as the table holds it, vectors included."""
    rows = kept.chunks._table.select(["id", "current", "text", "vector"]) if kept.chunks.exists else []
    table = sorted((row["id"], row["current"], row["text"], tuple(row["vector"])) for row in rows)
    return {"documents": kept.knowledge.documents(), "table": table}


@dataclass
class Known:
    """What the plain model says of one file."""

    content: str
    versions: list[str] = field(default_factory=list)
    removed: bool = False


NAMES = st.sampled_from(["a.md", "b.txt", "c.py", "d.csv"])
CONTENTS = st.sampled_from(
    ["The owl eats mice.", "A port is open.", "x = 1\ny = 2", "one,two\n1,2", "", " \n"]
)


class Histories(RuleBasedStateMachine):
    """Files come, change and go; they are added and removed; processes end; states are rolled back."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.root = Path(tempfile.mkdtemp())
        self.data = self.root / "data"
        self.data.mkdir()
        self.kept = KeptHome(self.root / "home", FakeEmbedder())
        self.kept.start()
        self.files: dict[str, str] = {}
        self.known: dict[str, Known] = {}
        self.snapshots: list[tuple[str, dict[str, Known]]] = []

    def teardown(self) -> None:
        self.kept.close()
        shutil.rmtree(self.root)

    @rule(name=NAMES, content=CONTENTS)
    def write(self, name: str, content: str) -> None:
        (self.data / name).write_text(content)
        self.files[name] = content

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        (self.data / name).unlink(missing_ok=True)
        self.files.pop(name, None)

    @rule()
    def add(self) -> None:
        done = library(self.kept).add((str(self.data),), "general")
        for name, content in self.files.items():
            [file] = [file for file in done.files if file.path == str(self.data / name)]
            self._added(name, content, file)
        gone = [name for name, entry in self.known.items() if name not in self.files and not entry.removed]
        if self.files:
            assert sorted(Path(path).name for path in done.gone) == sorted(gone)

    def _added(self, name: str, content: str, file: FileRead) -> None:
        entry = self.known.get(name)
        if entry is not None and not entry.removed and entry.versions[-1] == content:
            assert file.state == "unchanged"
        elif not content.strip():
            assert file.state == "failed"
        else:
            assert file.state == ("added" if entry is None or entry.removed else "changed")
            entry = self.known.setdefault(name, Known(content))
            entry.versions.append(content)
            entry.removed = False
            assert file.version == len(entry.versions)

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        entry = self.known.get(name)
        if entry is None or entry.removed:
            with pytest.raises(UsageError):
                library(self.kept).remove((name,), str(self.data), None)
        else:
            library(self.kept).remove((name,), str(self.data), None)
            entry.removed = True

    @rule()
    def reopen(self) -> None:
        self.kept = self.kept.reopen()

    @rule()
    def rebuild(self) -> None:
        self.kept.tables.rebuild()

    @rule()
    def snapshot(self) -> None:
        self.snapshots.append((self.kept.rollback.take("then").id, self._copy()))

    @rule(which=st.integers(0, 9))
    def roll_back(self, which: int) -> None:
        if self.snapshots:
            wanted, known = self.snapshots[which % len(self.snapshots)]
            before = self._copy()
            undo = self.kept.rollback.rollback(wanted).undo
            assert undo is not None
            self.snapshots.append((undo, before))
            self.known = {name: _copied(entry) for name, entry in known.items()}

    def _copy(self) -> dict[str, Known]:
        return {name: _copied(entry) for name, entry in self.known.items()}

    @invariant()
    def says_what_the_model_says(self) -> None:
        shelf = library(self.kept)
        documents = self.kept.knowledge.documents()
        assert {Path(found.path).name: found.removed for found in documents.values()} == {
            name: entry.removed for name, entry in self.known.items()
        }
        for name, entry in self.known.items():
            for number, content in enumerate(entry.versions, start=1):
                assert shelf.show(str(self.data / name), "/", None, number).text == content
        current = {Path(chunk.path).name for chunk in self._current()}
        assert current == {name for name, entry in self.known.items() if not entry.removed}
        versions = [version.id for found in documents.values() for version in found.versions]
        there = self.kept.chunks.versions() if self.kept.chunks.exists else {}
        assert set(there) == set(versions) and all(rows.whole for rows in there.values())

    def _current(self) -> list[object]:
        if not self.kept.chunks.exists:
            return []
        rows = self.kept.chunks._table.select(["id", "payload"], equal={"current": True})
        return [self.kept.chunks._parse(row) for row in rows]


def _copied(entry: Known) -> Known:
    return Known(entry.content, list(entry.versions), entry.removed)


Histories.TestCase.settings = settings(
    max_examples=8, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)
)
TestHistories = Histories.TestCase
