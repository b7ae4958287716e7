"""Snapshots and rollback: exact, undoable, and whole whatever happens in between."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import agent.knowledge_log
import agent.rollback as rollback_module
from agent.episode_log import fold
from agent.errors import HomeError, UsageError
from agent.events import FeedbackGiven, KnowledgeChanged, RolledBack, RunFinished, SnapshotTaken, TaskAccepted
from agent.knowledge_log import chunks_of
from agent.reading.pieces import Piece
from agent.rollback import Snapshots
from memory.errors import AdapterError, StoreError
from memory.knowledge import DocumentText, Part, Version
from memory.table import Table
from memory.types import Feedback, Message
from tests.agent.faults import crashes
from tests.agent.kept_home import KeptHome, RestlessEmbedder, make_lesson


@pytest.fixture
def home(tmp_path: Path) -> KeptHome:
    return KeptHome(tmp_path / "home", RestlessEmbedder())


def a_day_and_a_night(home: KeptHome) -> None:
    home.tell("ep_1", "My cat is called Mina.")
    home.learn(make_lesson("le_1", "ep_1", "The cat is called Mina."))
    home.serve(home.add_adapter("ad_1", ["le_1"]))
    home.home.settings.write_text("[agent]\nmax_steps = 7\n")


def another_day(home: KeptHome) -> None:
    home.tell("ep_1", "And she is grey.")
    home.tell("ep_2", "Ada lives in Rome.")
    home.append(FeedbackGiven(episode_id="ep_2", feedback=Feedback(rating="bad", text="In Paris!")))
    home.learn(make_lesson("le_2", "ep_2"))
    home.learn(make_lesson("le_1", "ep_1", "The cat is called Mina.", state="retired"))
    home.serve(home.add_adapter("ad_2", ["le_2"], parent="ad_1"))
    home.home.settings.write_text("# changed\r\n")


def test_goes_back_and_forth_to_the_bit(home: KeptHome) -> None:
    empty = home.rollback.take("empty")
    nothing = home.kept()
    a_day_and_a_night(home)
    home.rollback.take("evening")
    evening = home.kept()
    another_day(home)
    later = home.kept()
    plan = home.rollback.rollback("evening")
    assert home.kept() == evening
    assert home.reopen().kept() == evening
    undo = home.rollback.rollback(str(plan.undo))
    assert home.kept() == later
    home.rollback.rollback(empty.id)
    assert home.kept() == nothing
    assert not home.home.settings.exists()
    home.rollback.rollback(str(undo.undo))
    assert home.kept() == evening
    assert home.reopen().kept() == evening


def test_what_is_done_after_a_rollback_is_kept_and_part_of_later_snapshots(home: KeptHome) -> None:
    a_day_and_a_night(home)
    home.rollback.take("evening")
    another_day(home)
    home.rollback.rollback("evening")
    home.tell("ep_3", "A new way.")
    home.rollback.take("new way")
    kept = home.kept()
    assert home.journal.episode_ids() == ["ep_1", "ep_3"]
    home.rollback.rollback("evening")
    assert home.journal.episode_ids() == ["ep_1"]
    home.rollback.rollback("new way")
    assert home.kept() == kept


def test_says_what_it_would_change_and_changes_nothing(home: KeptHome) -> None:
    a_day_and_a_night(home)
    home.rollback.take("evening")
    another_day(home)
    before = home.kept()
    plan = home.rollback.plan("evening")
    assert (plan.episodes_lost, plan.episodes_back) == (("ep_2",), ())
    assert (plan.lessons_lost, plan.lessons_back) == (("le_2",), ())
    assert (plan.adapter_now, plan.adapter_then, plan.settings_change, plan.undo) == (
        "ad_2",
        "ad_1",
        True,
        None,
    )
    assert home.kept() == before
    done = home.rollback.rollback("evening")
    assert done == plan.model_copy(update={"undo": done.undo})
    back = home.rollback.plan(str(done.undo))
    assert (back.episodes_back, back.lessons_back, back.adapter_then) == (("ep_2",), ("le_2",), "ad_2")


def test_last_is_the_newest_that_no_rollback_took(home: KeptHome) -> None:
    with pytest.raises(UsageError, match="no snapshot yet"):
        home.rollback.rollback("last")
    first = home.rollback.take()
    assert first.name.startswith("by hand")
    home.tell("ep_1", "x")
    assert home.rollback.rollback("last").snapshot.id == first.id
    assert home.rollback.plan("last").snapshot.id == first.id
    with pytest.raises(UsageError, match="no snapshot `x`"):
        home.rollback.plan("x")
    assert [snapshot.name for snapshot in home.rollback.snapshots()][1:] == [first.name]


def test_tells_what_it_journals(tmp_path: Path) -> None:
    home = KeptHome(tmp_path / "home")
    told: list[Any] = []
    home.rollback._deliver = told.append
    home.rollback.take("one")
    home.rollback.rollback("one")
    assert [type(event) for event in told] == [SnapshotTaken, RolledBack]
    assert [event.seq for event in told] == [1, 2]


async def test_the_calls_do_not_block(home: KeptHome) -> None:
    snapshots = Snapshots(home.rollback)
    taken = await snapshots.take("one")
    assert await snapshots.list() == [taken]
    assert (await snapshots.plan("one")).snapshot == taken
    assert (await snapshots.rollback("one")).undo is not None


def test_a_running_task_is_not_cut_from_under_itself(home: KeptHome) -> None:
    said = Message(role="user", content="Go on.", provenance="user")
    home.append(TaskAccepted(episode_id="ep_1", message=said))
    home.rollback.take("in the middle")
    with pytest.raises(UsageError, match="ep_1 is still running"):
        home.rollback.rollback("last")
    home.append(RunFinished(episode_id="ep_1", outcome="success", answer="Done."))
    done = home.rollback.rollback("last")
    # it is back as it was, unfinished, and nobody's work
    assert home.journal.interrupted() == ["ep_1"]
    assert home.episodes.get("ep_1").outcome == "interrupted"
    home.rollback.rollback(str(done.undo))
    assert home.episodes.get("ep_1").outcome == "success"


def test_a_damaged_adapter_is_refused_before_anything_changes(home: KeptHome) -> None:
    a_day_and_a_night(home)
    home.rollback.take("evening")
    another_day(home)
    before = home.kept(), home.rollback.snapshots(), home.journal.last_seq
    (home.home.adapters / "ad_1" / "adapter_model.safetensors").write_bytes(b"cut")
    with pytest.raises(AdapterError, match="ad_1 is damaged"):
        home.rollback.rollback("evening")
    assert (home.kept(), home.rollback.snapshots(), home.journal.last_seq) == before
    assert home.state.intents() == []


def test_settings_that_are_no_text_are_one_sentence(home: KeptHome) -> None:
    home.home.settings.write_bytes(b"\xff\xfe")
    with pytest.raises(HomeError, match=r"Cannot read .*config\.toml"):
        home.rollback.take("x")


def test_a_full_journal_takes_the_rollback_back(home: KeptHome, monkeypatch: pytest.MonkeyPatch) -> None:
    a_day_and_a_night(home)
    home.rollback.take("evening")
    another_day(home)
    before = home.kept(), home.rollback.snapshots()

    def full(event: object) -> None:
        raise HomeError("Cannot write the journal: No space left on device.")

    with monkeypatch.context() as patch:
        patch.setattr(home.journal, "append", full)
        with pytest.raises(HomeError, match="No space"):
            home.rollback.rollback("evening")
    assert (home.kept(), home.rollback.snapshots()) == before
    assert home.state.intents() == []
    assert home.reopen().kept() == before[0]


def test_settings_that_cannot_be_written_are_written_later(
    home: KeptHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_day_and_a_night(home)
    home.rollback.take("evening")
    evening = home.kept()
    another_day(home)

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(rollback_module, "replace_file", full)
        with pytest.raises(HomeError, match=r"No space left.*the rollback is finished then"):
            home.rollback.rollback("evening")
    # the next call in the same process finishes it too
    again = KeptHome(home.root, home.embedder)
    again.rollback.rollback("evening")
    assert again.kept() == evening
    assert home.reopen().kept() == evening


def test_tables_that_cannot_be_written_follow_later(home: KeptHome, monkeypatch: pytest.MonkeyPatch) -> None:
    a_day_and_a_night(home)
    home.rollback.take("evening")
    evening = home.kept()
    another_day(home)

    def broken(*_: object) -> None:
        raise StoreError("The table cannot be used.")

    with monkeypatch.context() as patch:
        patch.setattr(Table, "delete", broken)
        home.rollback.rollback("evening")
    assert home.state.active == "ad_1"
    assert home.journal.episode_ids() == ["ep_1"]
    assert home.reopen().kept() == evening


def test_what_comes_in_while_it_goes_back_comes_after(
    home: KeptHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event of another thread belongs to the state before or to the one after, never to neither."""
    home.rollback.take("one")
    real = home.state.add_snapshot
    said = Message(role="user", content="Just then.", provenance="user")
    other = threading.Thread(
        target=lambda: home.append(TaskAccepted(episode_id="ep_9", message=said)), daemon=True
    )

    def slow(*args: Any, **kwargs: Any) -> None:
        other.start()
        other.join(0.2)
        real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(home.state, "add_snapshot", slow)
        home.rollback.rollback("one")
    other.join()
    assert home.journal.episode_ids() == ["ep_9"]
    assert [type(event) for event in home.journal.read(after=1)] == [RolledBack, TaskAccepted]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """A home with a snapshot `evening`, and how it is then and how it was."""
    home = KeptHome(tmp_path_factory.mktemp("prepared") / "home", RestlessEmbedder())
    a_day_and_a_night(home)
    home.rollback.take("evening")
    evening = home.kept()
    another_day(home)
    later = home.kept()
    home.close()
    return home.root, evening, later


def test_a_crash_at_any_change_leaves_one_state_or_the_other(
    prepared: tuple[Path, dict[str, Any], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, evening, later = prepared
    opened: list[KeptHome] = []

    def work(number: int) -> Callable[[], object]:
        shutil.copytree(root, tmp_path / str(number) / "home")
        opened.append(KeptHome(tmp_path / str(number) / "home", RestlessEmbedder()))
        return lambda: opened[-1].rollback.rollback("evening")

    outcomes = []
    for number in crashes(monkeypatch, work):
        again = opened[-1].reopen()
        outcomes.append(again.kept() == evening)
        if not outcomes[-1]:
            assert again.kept() == later, number
            assert len(again.rollback.snapshots()) == 3
        else:
            (undo, *_) = again.rollback.snapshots()
            again.rollback.rollback(undo.id)
            assert again.kept() == later, number
        assert again.state.intents() == []
        again.close()
        shutil.rmtree(tmp_path / str(number))
    assert len(outcomes) > 8
    # one point of no return
    assert outcomes == sorted(outcomes)
    assert {True, False} == set(outcomes)


def test_a_crash_while_it_is_redone_is_redone(
    prepared: tuple[Path, dict[str, Any], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, evening, _ = prepared
    shutil.copytree(root, tmp_path / "cut" / "home")
    cut = KeptHome(tmp_path / "cut" / "home", RestlessEmbedder())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cut.rollback, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        cut.rollback.rollback("evening")
    cut.close()
    opened: list[KeptHome] = []

    def work(number: int) -> Callable[[], object]:
        shutil.copytree(cut.root, tmp_path / str(number) / "home")
        opened.append(KeptHome(tmp_path / str(number) / "home", RestlessEmbedder()))
        return opened[-1].start

    count = 0
    for number in crashes(monkeypatch, work):
        again = opened[-1].reopen()
        assert again.kept() == evening, number
        again.close()
        shutil.rmtree(tmp_path / str(number))
        count += 1
    assert count > 4


def test_killed_in_the_middle(prepared: tuple[Path, dict[str, Any], dict[str, Any]], tmp_path: Path) -> None:
    """The same with a real process and a real SIGKILL, while the tables are brought back."""
    root, evening, later = prepared
    shutil.copytree(root, tmp_path / "home")
    code = (
        "import os\nfrom pathlib import Path\nfrom memory.table import Table\n"
        "from tests.agent.kept_home import KeptHome, RestlessEmbedder\n"
        "Table.delete = lambda *_: os.kill(os.getpid(), 9)\n"
        f"KeptHome(Path({str(tmp_path / 'home')!r}), RestlessEmbedder()).rollback.rollback('evening')"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], env={**os.environ})
    assert ran.returncode == -signal.SIGKILL
    again = KeptHome(tmp_path / "home", RestlessEmbedder())
    again.start()
    assert again.kept() == evening
    again.rollback.rollback(again.rollback.snapshots()[0].id)
    assert again.kept() == later


@dataclass
class Model:
    """What a home holds, in plain values."""

    episodes: dict[str, list[str]] = field(default_factory=dict)
    lessons: dict[str, str] = field(default_factory=dict)
    adapter: str | None = None
    settings: str | None = None
    documents: set[str] = field(default_factory=set)


@dataclass
class Taken:
    """A snapshot, as the model sees it."""

    id: str
    model: Model
    rows: dict[str, Any]
    """Everything that was kept then."""
    vectors: bool = True
    """Whether the very same vectors are to come back: forgetting drops those that rows have lost."""

    @property
    def expected(self) -> dict[str, Any]:
        """What is to be kept after going back."""
        return self.rows if self.vectors else without_vectors(self.rows)

    def forget(self, episodes: set[str], lessons: set[str]) -> None:
        """Take what was forgotten out of what is to come back."""
        self.vectors = False
        rows = self.rows
        for name in ("episodes", "lessons"):
            rows[name] = [row for row in rows[name] if row["id"] not in episodes | lessons]
        rows["ids"] = [name for name in rows["ids"] if name not in episodes]
        for name in ("folded", "lesson_seqs"):
            rows[name] = {key: seq for key, seq in rows[name].items() if key not in episodes | lessons}


def without_vectors(kept: dict[str, Any]) -> dict[str, Any]:
    """The same without the vectors of rows."""
    tables = {
        name: [{key: value for key, value in row.items() if key != "vector"} for row in kept[name]]
        for name in ("episodes", "lessons", "chunks")
    }
    return {**kept, **tables}


class Cutter:
    """Cuts kept texts in this process; starting the real one takes a second each time."""

    def __enter__(self) -> Cutter:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def cut(self, text: DocumentText) -> tuple[Piece, ...]:
        return tuple(Piece(text=part.text) for part in text.parts)


class Histories(RuleBasedStateMachine):
    """Random histories of a home against the plain model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.home = KeptHome(self.folder / "home", RestlessEmbedder())
        self.model = Model()
        self.taken: list[Taken] = []
        self.trained: dict[str, tuple[set[str], str | None]] = {}
        self.digests: dict[str | None, str] = {None: ""}
        self.origin: dict[str, str] = {}
        self.ways_back: dict[str, str] = {}
        self.count = 0
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(agent.knowledge_log, "ReadingProcess", Cutter)

    def teardown(self) -> None:
        self.patch.undo()
        self.home.close()
        shutil.rmtree(self.folder)

    def _new(self, kind: str) -> str:
        self.count += 1
        return f"{kind}_{self.count:04d}"

    def _remember(self, snapshot_id: str, model: Model) -> None:
        self.taken.append(Taken(snapshot_id, copy.deepcopy(model), self.home.kept()))

    @rule(text=st.sampled_from(["Ada lives in Rome.", "The cat is grey.", "Run it with -x."]))
    def tell(self, text: str) -> None:
        name = self._new("ep")
        self.home.tell(name, f"{text} {name}")
        self.model.episodes[name] = [f"{text} {name}"]

    @precondition(lambda self: self.model.episodes)
    @rule(data=st.data())
    def tell_more(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.episodes)))
        text = self._new("more")
        self.home.tell(name, text)
        self.model.episodes[name].append(text)

    @precondition(lambda self: self.model.episodes)
    @rule(data=st.data())
    def keep_lesson(self, data: st.DataObject) -> None:
        episode, name = data.draw(st.sampled_from(sorted(self.model.episodes))), self._new("le")
        statement = f"Statement of {name} about {episode}."
        self.home.learn(make_lesson(name, episode, statement))
        self.model.lessons[name] = statement
        self.origin[name] = episode

    @precondition(lambda self: self.model.lessons)
    @rule(data=st.data())
    def change_lesson(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.lessons)))
        statement = f"Changed {self._new('text')}."
        self.home.learn(make_lesson(name, self.origin[name], statement))
        self.model.lessons[name] = statement

    @precondition(lambda self: self.model.lessons)
    @rule()
    def sleep(self) -> None:
        name, parent = self._new("ad"), self.model.adapter
        card = self.home.add_adapter(name, sorted(self.model.lessons), parent)
        self.trained[name] = set(card.trained), parent
        self.digests[name] = card.digest
        self._remember(self.home.rollback.take(f"before {name}").id, self.model)
        self.home.state.promote(card.id, card.digest, self.taken[-1].id)
        self.ways_back[name] = self.taken[-1].id
        self.model.adapter = name

    @rule(text=st.sampled_from(["Bread needs salt.", "Tea needs time."]))
    def add_document(self, text: str) -> None:
        name = self._new("do")
        content = DocumentText(kind="text", parts=(Part(text=f"{text} {name}"),))
        version = Version(
            id=f"ve_{name}",
            document=name,
            domain="general",
            path=f"/d/{name}",
            kind="text",
            digest="d" * 64,
            text=self.home.texts.put(content),
            size=10,
            limit=100,
        )
        self.home.chunks.put_all(chunks_of(version, Cutter().cut(content)))
        self.home.knowledge.commit(KnowledgeChanged(kept=(version,)))
        self.model.documents.add(name)

    @precondition(lambda self: self.model.documents)
    @rule(data=st.data())
    def remove_document(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.documents)))
        self.home.knowledge.commit(KnowledgeChanged(removed=(name,)))
        self.model.documents.remove(name)

    @rule(text=st.sampled_from([None, "a = 1\n", "b = 2\r\n"]))
    def configure(self, text: str | None) -> None:
        if text is None:
            self.home.home.settings.unlink(missing_ok=True)
        else:
            self.home.home.settings.write_bytes(text.encode())
        self.model.settings = text

    @rule()
    def snapshot(self) -> None:
        self._remember(self.home.rollback.take().id, self.model)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        taken = data.draw(st.sampled_from(self.taken))
        self._remember("", self.model)
        plan = self.home.rollback.rollback(taken.id)
        self.taken[-1].id = str(plan.undo)
        self.model = copy.deepcopy(taken.model)
        found = self.home.kept()
        assert (found if taken.vectors else without_vectors(found)) == taken.expected

    @precondition(lambda self: self.taken)
    @rule(keep=st.integers(1, 4))
    def prune(self, keep: int) -> None:
        ids = [taken.id for taken in reversed(self.taken)]
        before = self.home.kept()
        plan = self.home.pruning.plan(keep, None)
        pruned = self.home.pruning.prune(keep, None)
        assert pruned == plan.model_copy(update={"table_bytes": pruned.table_bytes})
        gone = {snapshot.id for snapshot in pruned.snapshots}
        assert gone.isdisjoint(ids[:keep])
        assert gone | {snapshot.id for snapshot in pruned.staying} == set(ids[keep:])
        self.taken = [taken for taken in self.taken if taken.id not in gone]
        for adapter in pruned.adapters:
            del self.trained[adapter]
        # nothing that can be gone back to is lost, nor is any promotion's way back
        there = set(self.home.registry.ids())
        assert there == set(self.trained)
        named = {taken.model.adapter for taken in self.taken} | {self.model.adapter}
        assert named - {None} <= there
        assert {self.ways_back[adapter] for adapter in there}.isdisjoint(gone)
        assert self.home.kept() == before

    @precondition(lambda self: self.model.episodes)
    @rule(data=st.data())
    def forget_episode(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.episodes)))
        lessons = {lesson for lesson, episode in self.origin.items() if episode == name}
        self._forget(name, {name}, lessons)

    @precondition(lambda self: self.model.lessons)
    @rule(data=st.data())
    def forget_lesson(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.lessons)))
        self._forget(name, set(), {name})

    def _forget(self, name: str, episodes: set[str], lessons: set[str]) -> None:
        doomed = {adapter for adapter, (trained, _) in self.trained.items() if trained & lessons}
        gone = self.home.forgetting.forget(name)
        assert set(gone.adapters) == doomed
        assert {lesson.id for lesson in gone.lessons} == lessons
        for model in [self.model, *(taken.model for taken in self.taken)]:
            for episode in episodes:
                model.episodes.pop(episode, None)
            for lesson in lessons:
                model.lessons.pop(lesson, None)
            if model.adapter in doomed:
                model.adapter = self._successor(model.adapter, doomed, set(model.lessons))
        for taken in self.taken:
            taken.forget(episodes, lessons)
            taken.rows["adapter"] = (taken.model.adapter, self.digests[taken.model.adapter])
        for lesson in lessons:
            self.origin.pop(lesson, None)
        for adapter in doomed:
            del self.trained[adapter]

    def _successor(self, adapter: str, doomed: set[str], lessons: set[str]) -> str | None:
        parent = self.trained[adapter][1]
        while parent is not None:
            if parent not in doomed:
                return parent
            parent = self.trained[parent][1]
        fitting = [
            name
            for name, (trained, _) in self.trained.items()
            if name not in doomed and name < adapter and trained <= lessons
        ]
        return max(fitting, default=None)

    @rule()
    def compact(self) -> None:
        for store in (self.home.episodes, self.home.lessons, self.home.chunks):
            store.optimize(timedelta(milliseconds=1))

    @rule()
    def restart(self) -> None:
        self.home = self.home.reopen()

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        home, model = self.home, self.model
        folded = {name: fold(home.journal.read(episode_id=name)) for name in home.journal.episode_ids()}
        said = {
            name: [turn.user.content for turn in episode.turns] for name, episode in folded.items() if episode
        }
        assert said == model.episodes
        assert {episode.id: episode for episode in home.episodes.list()} == folded
        assert {lesson.id: lesson.statement for lesson in home.lessons.list()} == model.lessons
        assert (home.state.active, home.state.active_digest) == (model.adapter, self.digests[model.adapter])
        known = home.knowledge.documents()
        assert {name for name, found in known.items() if not found.removed} == model.documents
        settings = home.home.settings
        assert (settings.read_bytes().decode() if settings.exists() else None) == model.settings


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=int(os.environ.get("HISTORIES", "10")), stateful_step_count=25, deadline=None
)
