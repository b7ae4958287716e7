"""What a snapshot holds, and what differs between two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.client import RemoteRuntime
from agent.config import set_value
from agent.errors import UsageError
from agent.events import FeedbackGiven, KnowledgeChanged
from agent.home import Home
from agent.host import Host
from agent.runtime import Runtime
from agent.snapshot_contents import unlike_defaults
from memory.knowledge import Version, document_id
from memory.types import Feedback
from tests.agent.kept_home import KeptHome, make_lesson


@pytest.fixture
def home(tmp_path: Path) -> KeptHome:
    home = KeptHome(tmp_path / "home")
    home.tell("ep_1", "My cat is called Mina.")
    home.learn(make_lesson("le_1", "ep_1", "The cat is called Mina."))
    home.serve(home.add_adapter("ad_1", ["le_1"]))
    home.home.settings.write_text("[agent]\nmax_steps = 7\nmax_tokens = 8000\n")
    home.append(KnowledgeChanged(kept=(version("a.md", 1),)))
    home.rollback.take("evening")
    home.tell("ep_1", "And she is grey.")
    home.tell("ep_2", f"Ada lives in Rome. {'And so on. ' * 40}")
    home.append(FeedbackGiven(episode_id="ep_2", feedback=Feedback(rating="bad", text="In Paris!")))
    home.learn(make_lesson("le_1", "ep_1", "The cat is called Mina.", state="retired"))
    home.learn(make_lesson("le_2", "ep_2"))
    home.append(KnowledgeChanged(kept=(version("a.md", 2), version("b.md", 1))))
    home.serve(home.add_adapter("ad_2", ["le_2"], parent="ad_1"))
    home.home.settings.write_text("[agent]\nmax_steps = 9\n")
    return home


def version(name: str, number: int) -> Version:
    """One version of a document whose text nobody kept."""
    return Version(
        id=f"ve_{name}_{number}",
        document=document_id("general", f"/d/{name}"),
        domain="general",
        path=f"/d/{name}",
        kind="markdown",
        digest="d" * 64,
        text="e" * 64,
        size=10,
        limit=100,
    )


def test_shows_what_a_snapshot_holds(home: KeptHome) -> None:
    shown = home.contents.show("evening")
    assert (shown.episodes, shown.lessons, shown.documents) == (1, {"approved": 1}, 1)
    assert (shown.snapshot.adapter, shown.adapter_lessons, shown.adapter_problem) == ("ad_1", 1, "")
    assert (shown.settings, shown.settings_problem) == ({"agent.max_steps": 7}, "")
    assert shown.way_back_of == ()
    assert home.contents.show("before ad_2").way_back_of == ("ad_2",)
    now = home.contents.show("now")
    assert (now.snapshot.id, now.episodes, now.lessons) == ("now", 2, {"approved": 1, "retired": 1})
    assert (now.documents, now.settings) == (2, {"agent.max_steps": 9})
    assert "now" not in [snapshot.id for snapshot in home.rollback.snapshots()]


def test_shows_an_adapter_that_cannot_serve(home: KeptHome) -> None:
    (home.home.adapters / "ad_1" / "adapter_model.safetensors").write_bytes(b"cut")
    shown = home.contents.show("evening")
    assert shown.adapter_lessons == 1
    assert "ad_1 is damaged" in shown.adapter_problem
    home.registry.remove("ad_1")
    assert "no adapter `ad_1`" in home.contents.show("evening").adapter_problem


def test_says_what_differs(home: KeptHome) -> None:
    diff = home.contents.diff("now", "evening")
    (lost,) = diff.episodes_lost
    assert (lost.id, lost.task[:18], lost.task[-1]) == ("ep_2", "Ada lives in Rome.", "…")
    assert [episode.id for episode in diff.episodes_changed] == ["ep_1"]
    assert diff.episodes_changed[0].task == "My cat is called Mina."
    assert diff.episodes_back == ()
    assert [lesson.statement for lesson in diff.lessons_lost] == ["Ada lives in Rome."]
    (change,) = diff.lessons_changed
    assert (change.before.state, change.after.state) == ("retired", "approved")
    assert [document.path for document in diff.documents_lost] == ["/d/b.md"]
    assert [document.path for document in diff.documents_changed] == ["/d/a.md"]
    assert (diff.adapter_first, diff.adapter_second) == ("ad_2", "ad_1")
    assert "-max_steps = 9" in diff.settings and "+max_steps = 7" in diff.settings


def test_the_other_way_round_what_is_lost_comes_back(home: KeptHome) -> None:
    one, other = home.contents.diff("now", "evening"), home.contents.diff("evening", "now")
    assert one.episodes_lost == other.episodes_back
    assert one.lessons_lost == other.lessons_back
    assert one.documents_lost == other.documents_back
    assert (one.adapter_first, one.adapter_second) == (other.adapter_second, other.adapter_first)


def test_a_state_does_not_differ_from_itself(home: KeptHome) -> None:
    diff = home.contents.diff("evening", "evening")
    empty = {name: value for name, value in diff if value in ((), "")}
    assert len(empty) == len(type(diff).model_fields) - 4


def test_what_was_forgotten_is_in_no_snapshot(home: KeptHome) -> None:
    home.forgetting.forget("ep_1")
    shown = home.contents.show("evening")
    assert (shown.episodes, shown.lessons, shown.snapshot.purged) == (0, {}, ("ep_1", "le_1"))


def test_changes_nothing(home: KeptHome) -> None:
    before = home.kept(), home.journal.last_seq, home.rollback.snapshots()
    home.contents.show("last")
    home.contents.diff("now", "last")
    assert (home.kept(), home.journal.last_seq, home.rollback.snapshots()) == before


@pytest.mark.parametrize("wanted", ["", "nosuch", "sn_"])
def test_an_unknown_snapshot_is_one_sentence(home: KeptHome, wanted: str) -> None:
    with pytest.raises(UsageError, match="snapshot"):
        home.contents.show(wanted)
    with pytest.raises(UsageError, match="snapshot"):
        home.contents.diff("now", wanted)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("[agent]\nmax_steps = 20\n", {}),
        ("[agent]\nnosuch = 1\n", {"agent.nosuch": 1}),
        ("[nosuch]\na = 1\n", {"nosuch.a": 1}),
        ("agent = 1\n", {"agent": 1}),
    ],
)
def test_settings_that_differ_from_the_defaults(text: str, found: dict[str, object]) -> None:
    assert unlike_defaults(text) == (found, "")


def test_settings_that_are_no_toml_say_so(home: KeptHome) -> None:
    home.home.settings.write_text("[agent\n")
    shown = home.contents.show("now")
    assert shown.settings == {}
    assert shown.settings_problem.startswith("config.toml is not valid TOML")


def test_without_a_file_the_defaults_are_what_differs(home: KeptHome) -> None:
    home.home.settings.unlink()
    home.rollback.take("defaults")
    assert home.contents.show("now").settings == {}
    set_value(home.root, "agent.max_steps", "7")
    lines = home.contents.diff("defaults", "now").settings.split("\n")
    found = [line.split("#")[0].strip() for line in lines if line[:1] in ("+", "-")]
    assert found[2:] == ["-max_steps = 20", "+max_steps = 7"]


def test_other_line_ends_are_a_difference(home: KeptHome) -> None:
    home.home.settings.write_bytes(b"a = 1\n")
    home.rollback.take("unix")
    home.home.settings.write_bytes(b"a = 1\r\n")
    assert "+a = 1\r" in home.contents.diff("unix", "now").settings


async def test_the_owner_answers_too(home: KeptHome, make_runtime: Callable[..., Any]) -> None:
    home.rollback.rollback("evening")
    home.rollback.take("morning")
    home.close()
    runtime: Runtime = await make_runtime([], home=home.root)
    host = Host(runtime, Home(home.root))
    await host.start()
    remote = await RemoteRuntime.connect(Home(home.root).socket)
    assert await remote.snapshot_contents("evening") == await runtime.snapshot_contents("evening")
    assert await remote.snapshot_diff("evening", "last") == await runtime.snapshot_diff("evening", "last")
    assert (await remote.prune_snapshots(1, dry_run=True)).adapters == ("ad_2",)
    assert (await remote.prune_snapshots(keep=1)).remaining == 2
    with pytest.raises(UsageError, match="--keep N"):
        await remote.prune_snapshots()
    await remote.close()
    await host.stop()
