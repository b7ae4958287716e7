"""Forgetting: no trace is left, what stays is whole, and a crash in between changes neither."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import agent.journal_purge as purge_module
from agent.errors import HomeError, UsageError
from agent.events import EpisodeJudged, Forgotten, LessonKept, NightFinished, TaskAccepted
from agent.forget import Forget
from agent.learning_calls import NightReport, NightRequest
from agent.sleep.folder import Begun, Chosen, NightFolder
from memory.learning import AdapterCard
from memory.recall import without_quotations
from memory.record import now
from memory.types import Message
from tests.agent.faults import crashes
from tests.agent.kept_home import KeptHome, make_lesson
from tests.memory.conftest import FakeEmbedder

WORD = "Zimtstern"
QUOTED = (
    "Quotations from earlier episodes, for reference.\n\n"
    "[conversation ep_cat, 2026-01-01] outcome: success\n> asked: My cat is called Zimtstern.\n\n"
    "[note ep_other, 2026-01-01] the user asked to remember:\n> Ada lives in Rome."
)


def filled(root: Path) -> KeptHome:
    """A home with what is to be forgotten (`ep_cat`, `le_cat`) in every place it can get to."""
    home = KeptHome(root, FakeEmbedder())
    home.tell("ep_other", "Ada lives in Rome.")
    home.learn(make_lesson("le_other", "ep_other"))
    home.serve(home.add_adapter("ad_1", ["le_other"]))
    home.rollback.take("before the cat")
    home.tell("ep_cat", f"My cat is called {WORD}.", f"{WORD} is a fine name.")
    home.tell("ep_cat", f"Is {WORD} really?")
    home.learn(make_lesson("le_cat", "ep_cat", f"The cat is called {WORD}."))
    home.learn(make_lesson("le_cat", "ep_cat", f"The cat's name is {WORD}."))
    home.learn(make_lesson("le_third", "ep_other", "Ada has a dog.", contradicts=("le_cat",)))
    home.tell("ep_later", "What is my cat called?", "I do not know.", context=QUOTED)
    home.serve(home.add_adapter("ad_2", ["le_cat"], parent="ad_1"))
    home.serve(home.add_adapter("ad_3", ["le_third"], parent="ad_2"))
    other = home.add_adapter("ad_other", ["le_other"])
    asked = home.registry.get("ad_2").exam
    assert asked is not None
    asked = asked.model_copy(update={"reasons": (f"in unrelated answers turned up: {WORD}",)})
    home.registry.rewrite_card(other.model_copy(update={"exam": asked}))
    for folder in (home.home.outputs, home.home.preimages, home.home.workspaces):
        for episode in ("ep_cat", "ep_other"):
            (folder / episode).mkdir(parents=True)
            (folder / episode / "file.txt").write_text(f"{WORD if episode == 'ep_cat' else 'Rome'}\n")
    for night, lessons, over in (
        ("ni_1", ["le_other"], True),
        ("ni_2", ["le_cat"], True),
        ("ni_3", ["le_cat"], False),
    ):
        make_night(home, night, lessons, over)
    words = f"in unrelated answers turned up: {WORD}"
    home.append(NightFinished(night="ni_2", outcome="failed", reason=words))
    home.append(NightFinished(night="ni_1", outcome="failed", reason="it was late"))
    home.rollback.take("after the cat")
    home.episodes.optimize()
    table = home.episodes._table._open()
    table.tags.create("snapshot", table.version)
    home.tell("ep_last", "Something else.")
    return home


def make_night(home: KeptHome, night: str, lessons: list[str], over: bool) -> None:
    folder = NightFolder(home.home.nights, night)
    card = home.registry.get("ad_2" if "le_cat" in lessons else "ad_1")
    folder.begin(Begun(request=NightRequest(), started_at=now(), base_digest="b", serving=None))
    folder.choose(Chosen(new=tuple(lessons), old=(), untaught=()))
    assert card.exam is not None
    folder.sat(card.exam)
    folder.train.mkdir()
    text = WORD if "le_cat" in lessons else "Rome"
    (folder.train / "items.jsonl").write_text(json.dumps({"lesson_id": lessons[0], "answer": text}) + "\n")
    (folder.train / "checkpoint.safetensors").write_bytes(b"\0" * 3_000_000 + text.encode())
    if over:
        folder.close(
            NightReport(
                night=night,
                outcome="promoted",
                reason=f"in unrelated answers turned up: {text}",
                started_at=now(),
                seconds=1.0,
                stages={},
                learned=tuple(lessons),
                exam=card.exam,
                adapter=card,
                loss=(),
                tokens={},
                markdown=f"The model learned {text}.",
            )
        )


def traces(root: Path, *words: str) -> list[str]:
    """Files that hold one of the words, in any case."""
    found = []
    for path in sorted(root.rglob("*")):
        if path.is_file():
            content = path.read_bytes().lower()
            found += [str(path.relative_to(root)) for word in words if word.lower().encode() in content]
    return found


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = filled(tmp_path_factory.mktemp("prepared") / "home")
    home.close()
    return home.root


@pytest.fixture
def home(prepared: Path, tmp_path: Path) -> KeptHome:
    shutil.copytree(prepared, tmp_path / "home")
    return KeptHome(tmp_path / "home", FakeEmbedder())


def assert_forgotten(home: KeptHome) -> None:
    """Nothing of the cat is anywhere, and everything else is."""
    assert traces(home.root, WORD) == []
    table = home.episodes._table._connect().open_table("episodes")
    assert table.tags.list() == {}
    for version in table.list_versions():
        table.checkout(version["version"])
        assert "ep_cat" not in table.to_arrow()["id"].to_pylist()
    assert home.journal.episode_ids() == ["ep_other", "ep_later", "ep_last"]
    assert home.episodes.ids() == {"ep_other", "ep_later", "ep_last"}
    assert home.lessons.ids() == {"le_other", "le_third"}
    assert home.journal.damage == ()
    assert home.registry.ids() == ["ad_1", "ad_other"]
    assert home.state.active == "ad_1"
    home.registry.path("ad_1")
    assert home.lessons.get("le_third").contradicts == ()
    later = home.episodes.get("ep_later").turns[0].user
    assert later.context == without_quotations(QUOTED, ["ep_cat"])
    assert "Ada lives in Rome" in later.context
    for folder in (home.home.outputs, home.home.preimages, home.home.workspaces):
        assert [path.name for path in folder.iterdir()] == ["ep_other"]
    assert sorted(path.name for path in home.home.nights.iterdir()) == ["ni_1", "ni_2"]
    assert (home.home.nights / "ni_1" / "train" / "items.jsonl").exists()
    report = NightFolder(home.home.nights, "ni_2").report
    assert report is not None
    assert (report.learned, report.exam and [r.lesson_id for r in report.exam.lessons]) == ((), ["le_other"])
    assert report.markdown.startswith("# Night ni_2")
    nights = [event for event in home.journal.read() if isinstance(event, NightFinished)]
    assert [event.reason for event in nights] == ["some of it was forgotten since", "it was late"]
    assert home.state.intents() == []
    # being the newest then, it keeps the positions of purged events from being given again
    (forgotten,) = [event.seq for event in home.journal.read() if isinstance(event, Forgotten)]
    assert forgotten == max(event.seq for event in home.journal.read(everything=True))


def test_no_trace_is_left_and_nothing_else_goes(home: KeptHome) -> None:
    assert len(traces(home.root, WORD)) > 8
    gone = home.forgetting.forget("ep_cat")
    assert gone.episodes == ("ep_cat",)
    assert [lesson.statement for lesson in gone.lessons] == [f"The cat's name is {WORD}."]
    assert (gone.adapters, gone.serving_after) == (("ad_2", "ad_3"), "ad_1")
    assert WORD in gone.text
    assert gone.workspaces == (str(home.home.workspaces / "ep_cat"),)
    assert_forgotten(home)
    assert_forgotten(home.reopen())
    # the open process finds by what is left
    assert home.episodes.search(WORD) == []
    assert home.episodes.search("Rome")[0].episode.id == "ep_other"


def test_the_journal_says_so_with_ids_alone(home: KeptHome) -> None:
    told: list[Any] = []
    home.forgetting._deliver = told.append
    home.forgetting.forget("ep_cat")
    (event,) = [event for event in home.journal.read() if isinstance(event, Forgotten)]
    assert told == [event]
    assert (event.episodes, event.lessons, event.adapters) == (("ep_cat",), ("le_cat",), ("ad_2", "ad_3"))


def test_the_preview_changes_nothing(home: KeptHome) -> None:
    before = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    shown = home.forgetting.preview("ep_cat")
    home.close()
    after = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    assert {p: c for p, c in after.items() if "sqlite" not in p.name} == {
        p: c for p, c in before.items() if "sqlite" not in p.name
    }
    assert home.forgetting.forget("ep_cat") == shown


def test_snapshots_list_what_was_purged_and_bring_back_the_rest(home: KeptHome) -> None:
    home.forgetting.forget("ep_cat")
    after, before = home.rollback.snapshots()[0], home.state.resolve_snapshot("before the cat")
    assert after.name == "after the cat"
    assert (after.purged, after.adapter) == (("ep_cat", "le_cat"), "ad_1")
    assert (before.purged, before.adapter) == ((), "ad_1")
    home.rollback.rollback("before the cat")
    assert home.journal.episode_ids() == ["ep_other"]
    home.rollback.rollback("after the cat")
    assert home.journal.episode_ids() == ["ep_other", "ep_later"]
    assert home.lessons.ids() == {"le_other", "le_third"}
    assert traces(home.root, WORD) == []


def test_what_a_rollback_hid_can_be_forgotten(home: KeptHome) -> None:
    home.rollback.rollback("before the cat")
    assert "ep_cat" not in home.journal.episode_ids()
    assert traces(home.root, WORD) != []
    gone = home.forgetting.forget("ep_cat")
    assert (gone.adapters, gone.serving_after) == (("ad_2", "ad_3"), "ad_1")
    assert traces(home.root, WORD) == []


def test_forgetting_a_lesson_keeps_its_episode_and_does_not_learn_it_again(home: KeptHome) -> None:
    gone = home.forgetting.forget("le_cat")
    assert (gone.episodes, gone.adapters) == ((), ("ad_2", "ad_3"))
    assert "name is" in gone.text
    assert home.state.active == "ad_1"
    assert home.lessons.ids() == {"le_other", "le_third"}
    assert traces(home.root, f"cat's name is {WORD}", "called Zimtstern. of") == []
    again = home.reopen()
    episode = again.episodes.get("ep_cat")
    assert WORD in episode.task
    assert episode.verdict is not None
    # a night takes up episodes with a first verdict of the gate only
    assert (episode.verdict.by, episode.verdict.kind, episode.verdict.stage) == ("user", "remember", "scored")
    assert again.home.outputs.joinpath("ep_cat").exists()
    # both versions of the lesson are gone from the journal, whatever counts
    kept = [event for event in again.journal.read(everything=True) if isinstance(event, LessonKept)]
    assert [event.lesson.id for event in kept] == ["le_other", "le_third"]
    assert sum(isinstance(event, EpisodeJudged) for event in again.journal.read()) == 1


def test_without_a_clean_ancestor_an_older_clean_adapter_serves_else_the_base(tmp_path: Path) -> None:
    home = KeptHome(tmp_path / "home")
    home.tell("ep_1", "One.")
    home.tell("ep_2", "Two.")
    home.learn(make_lesson("le_1", "ep_1", "The first."))
    home.learn(make_lesson("le_2", "ep_2", "The second."))
    home.add_adapter("ad_1", ["le_1"])
    failed = home.add_adapter("ad_2", ["le_1"])
    home.registry.rewrite_card(failed.model_copy(update={"exam": None}))
    home.add_adapter("ad_3", ["le_1"], base_digest="c" * 64)
    home.add_adapter("ad_4", ["le_unknown"])
    core = home.add_adapter("ad_5", ["le_1", "le_2"], kind="core")
    home.serve(core)
    home.add_adapter("ad_6", ["le_1"])
    # not the one that failed, nor one of another base, of lessons that are gone, or made later
    assert home.forgetting.preview("ep_2").serving_after == "ad_1"
    assert home.forgetting.preview("ep_1").serving_after is None
    home.forgetting.forget("ep_2")
    assert (home.state.active, home.state.active_digest) == ("ad_1", home.registry.get("ad_1").digest)
    home.forgetting.forget("ep_1")
    assert (home.state.active, home.state.active_digest, home.registry.ids()) == (None, "", ["ad_4"])


def test_an_adapter_whose_card_cannot_be_read_goes_when_it_mentions_the_lesson(home: KeptHome) -> None:
    for name in ("ad_other", "ad_2"):
        card = home.home.adapters / name / "card.json"
        card.write_text(card.read_text()[:-5])
    assert home.forgetting.forget("ep_cat").adapters == ("ad_2", "ad_3", "ad_other")
    assert home.registry.ids() == ["ad_1"]


@pytest.mark.parametrize("table", ["episodes", "lessons"])
def test_a_table_that_cannot_be_read_is_made_anew_without_them(home: KeptHome, table: str) -> None:
    for file in (home.home.lancedb / f"{table}.lance" / "data").iterdir():
        file.write_bytes(b"\xa5" * 10)
    home.close()
    again = KeptHome(home.root, FakeEmbedder())
    again.forgetting.forget("ep_cat")
    assert_forgotten(again)


def test_a_workspace_that_others_work_in_stays(home: KeptHome) -> None:
    from agent.events import EpisodeStarted

    shared = str(home.home.workspaces / "ep_cat")
    home.append(EpisodeStarted(episode_id="ep_guest", episode_kind="task", workspace=shared, model="m"))
    home.forgetting.forget("ep_cat")
    assert (home.home.workspaces / "ep_cat" / "file.txt").exists()
    assert not (home.home.outputs / "ep_cat").exists()


def test_caches_are_dropped(home: KeptHome) -> None:
    dropped = []
    home.forgetting._drop_caches = lambda: dropped.append(1)
    home.forgetting.forget("ep_cat")
    assert dropped == [1]


def test_ids_are_found(home: KeptHome) -> None:
    assert home.forgetting.preview("last").episodes == ("ep_last",)
    assert home.forgetting.preview("ep_c").episodes == ("ep_cat",)
    assert [lesson.id for lesson in home.forgetting.preview("le_c").lessons] == ["le_cat"]
    for wrong in ("", "x", "ad_1"):
        with pytest.raises(UsageError, match="no episode or lesson"):
            home.forgetting.preview(wrong)
    with pytest.raises(UsageError, match="fits 4 episodes and lessons"):
        home.forgetting.forget("ep_")
    home.append(
        TaskAccepted(episode_id="ep_now", message=Message(role="user", content="…", provenance="user"))
    )
    with pytest.raises(UsageError, match="still running"):
        home.forgetting.forget("ep_now")


async def test_the_calls_do_not_block(home: KeptHome) -> None:
    forget = Forget(home.forgetting)
    shown = await forget.preview("ep_cat")
    assert await forget.forget("ep_cat") == shown


def test_quotations_are_taken_out_whole() -> None:
    text = "\n\n".join(
        [
            "Header.",
            "[task ep_1, 2026-01-01] outcome: success\n> asked: one\n> [task ep_2, 2026-01-01] two\n> x",
            "[note ep_2, 2026-01-01] the user asked to remember:\n> two\n> ",
            "[conversation ep_3, 2026-01-01] outcome: failure, its changes were undone\n> three",
            "File notes.txt:\n[task ep_2 is mentioned here]",
        ]
    )
    without = without_quotations(text, ["ep_2"])
    assert without == text.replace("[note ep_2, 2026-01-01] the user asked to remember:\n> two\n> \n\n", "")
    assert without_quotations(text, []) == text
    assert without_quotations("", ["ep_2"]) == ""


def test_a_full_disk_is_one_sentence_and_the_next_start_finishes(
    home: KeptHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(purge_module, "replace_file", full)
        with pytest.raises(HomeError, match=r"No space left on device"):
            home.forgetting.forget("ep_cat")
    # out of service at once, whatever else is still to be done
    assert home.state.active == "ad_1"
    assert_forgotten(home.reopen())


def test_a_crash_at_any_change_is_finished_at_the_next_start(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[KeptHome] = []

    def work(number: int) -> Callable[[], object]:
        shutil.copytree(prepared, tmp_path / str(number) / "home")
        opened.append(KeptHome(tmp_path / str(number) / "home", FakeEmbedder()))
        return lambda: opened[-1].forgetting.forget("ep_cat")

    count = 0
    for number in crashes(monkeypatch, work):
        again = opened[-1].reopen()
        if number == 0:
            # it had not begun
            assert again.episodes.ids() >= {"ep_cat"}
            again.forgetting.forget("ep_cat")
        assert_forgotten(again)
        again.close()
        shutil.rmtree(tmp_path / str(number))
        count += 1
    assert count > 25


def test_killed_in_the_middle(prepared: Path, tmp_path: Path) -> None:
    """The same with a real process and a real SIGKILL, after the journal and before the tables."""
    shutil.copytree(prepared, tmp_path / "home")
    code = (
        "import os\nfrom pathlib import Path\nfrom memory.table import Table\n"
        "from tests.agent.kept_home import KeptHome\nfrom tests.memory.conftest import FakeEmbedder\n"
        "Table.purge = lambda *_: os.kill(os.getpid(), 9)\n"
        f"KeptHome(Path({str(tmp_path / 'home')!r}), FakeEmbedder()).forgetting.forget('ep_cat')"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], env={**os.environ})
    assert ran.returncode == -signal.SIGKILL
    home = KeptHome(tmp_path / "home", FakeEmbedder())
    assert traces(home.root, WORD) != []
    home.start()
    assert_forgotten(home)


def test_a_card_is_only_as_new_as_its_weights(home: KeptHome) -> None:
    """The card of an adapter that stays loses the questions about what goes, and nothing else."""
    before = home.registry.get("ad_other")
    home.forgetting.forget("ep_cat")
    after: AdapterCard = home.registry.get("ad_other")
    assert before.exam is not None and after.exam is not None
    assert [result.lesson_id for result in before.exam.lessons] == ["le_other", "le_cat"]
    assert [result.lesson_id for result in after.exam.lessons] == ["le_other"]
    assert after.model_copy(update={"exam": None}) == before.model_copy(update={"exam": None})
    home.registry.path("ad_other")
