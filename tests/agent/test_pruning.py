"""Letting snapshots go: by number and age, with what only they could go back to, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from agent.errors import UsageError
from memory.record import now
from tests.agent.faults import crashes
from tests.agent.kept_home import KeptHome, RestlessEmbedder


@pytest.fixture
def home(tmp_path: Path) -> KeptHome:
    return KeptHome(tmp_path / "home")


def names(home: KeptHome) -> list[str]:
    return [snapshot.name for snapshot in home.rollback.snapshots()]


def dated(home: KeptHome, ages: Sequence[float]) -> None:
    """Give the snapshots, newest first, these ages in days."""
    for snapshot, days in zip(home.rollback.snapshots(), ages, strict=True):
        at = now() - timedelta(days=days)
        home.state.replace_snapshot(snapshot.model_copy(update={"created_at": at}))


@pytest.mark.parametrize(
    ("keep", "days", "left"),
    [
        (2, None, ["e", "d"]),
        (1, None, ["e"]),
        (9, None, ["e", "d", "c", "b", "a"]),
        (None, 3.5, ["e", "d", "c"]),
        (None, 0, ["e"]),
        (None, 9, ["e", "d", "c", "b", "a"]),
        (4, 2.5, ["e", "d", "c", "b"]),
        (1, 4.5, ["e", "d", "c", "b"]),
    ],
)
def test_by_number_and_age(home: KeptHome, keep: int | None, days: float | None, left: list[str]) -> None:
    for name in "abcde":
        home.rollback.take(name)
    dated(home, [1, 2, 3, 4, 5])
    plan = home.pruning.plan(keep, days)
    assert names(home) == ["e", "d", "c", "b", "a"]
    assert home.pruning.prune(keep, days) == plan
    assert names(home) == left
    assert plan.remaining == len(left)


def test_needs_a_rule(home: KeptHome) -> None:
    with pytest.raises(UsageError, match="--keep N, --older-than DAYS"):
        home.pruning.prune(None, None)


def test_nothing_to_prune(home: KeptHome) -> None:
    pruned = home.pruning.prune(1, None)
    assert (pruned.snapshots, pruned.staying, pruned.adapters, pruned.remaining) == ((), (), (), 0)


def test_the_way_back_from_what_serves_stays(home: KeptHome) -> None:
    home.serve(home.add_adapter("ad_1", ["le_1"]))
    home.rollback.take("by hand")
    home.serve(home.add_adapter("ad_2", ["le_2"], parent="ad_1"))
    home.rollback.take("newest")
    pruned = home.pruning.prune(1, None)
    assert names(home) == ["newest", "before ad_2", "before ad_1"]
    assert [snapshot.name for snapshot in pruned.snapshots] == ["by hand"]
    assert [snapshot.name for snapshot in pruned.staying] == ["before ad_2", "before ad_1"]
    assert (pruned.adapters, home.registry.ids()) == ((), ["ad_1", "ad_2"])


def test_an_adapter_that_was_rolled_back_goes_with_the_way_to_it(home: KeptHome) -> None:
    home.serve(home.add_adapter("ad_1", ["le_1"]))
    home.serve(home.add_adapter("ad_2", ["le_2"], parent="ad_1"))
    home.serve(home.add_adapter("ad_3", ["le_3"], parent="ad_2"))
    home.rollback.rollback("before ad_2")
    home.rollback.take("newest")
    sizes = home.registry.size("ad_2") + home.registry.size("ad_3")
    # the undo of the rollback names ad_3 while it is there, and ad_3 its parent
    assert home.pruning.plan(2, None).adapters == ()
    pruned = home.pruning.prune(1, None)
    assert (pruned.adapters, pruned.adapter_bytes) == (("ad_2", "ad_3"), sizes)
    assert home.registry.ids() == ["ad_1"]
    assert names(home) == ["newest", "before ad_1"]
    assert (home.state.active, home.rollback.rollback("newest").adapter_then) == ("ad_1", "ad_1")


def test_what_would_serve_instead_of_a_damaged_adapter_stays(home: KeptHome) -> None:
    home.add_adapter("ad_1", ["le_1"])
    home.state.activate("ad_1", "d")
    home.rollback.take("one")
    home.state.activate("ad_2", home.add_adapter("ad_2", ["le_2"], parent="ad_1").digest)
    home.rollback.take("two")
    assert home.pruning.prune(1, None).adapters == ()
    assert home.registry.ids() == ["ad_1", "ad_2"]


def test_an_adapter_that_no_snapshot_names_is_not_touched(home: KeptHome) -> None:
    home.add_adapter("ad_failed", ["le_1"])
    home.rollback.take("one")
    home.rollback.take("two")
    assert home.pruning.prune(1, None).adapters == ()
    assert home.registry.ids() == ["ad_failed"]


def test_older_versions_of_the_tables_go_and_no_row(home: KeptHome) -> None:
    home.tell("ep_1", "My cat is called Mina.")
    home.rollback.take("one")
    before = home.kept()
    pruned = home.pruning.prune(1, None)
    assert pruned.snapshots == ()
    assert home.kept() == before


def test_a_crash_at_any_change_is_finished_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = KeptHome(tmp_path / "prepared" / "home")
    prepared.serve(prepared.add_adapter("ad_1", ["le_1"]))
    prepared.rollback.rollback("last")
    prepared.rollback.take("newest")
    prepared.close()
    # without tables, which are not what this is about
    shutil.rmtree(prepared.home.lancedb, ignore_errors=True)
    opened: list[KeptHome] = []

    def work(number: int) -> Callable[[], object]:
        shutil.copytree(prepared.root, tmp_path / str(number) / "home")
        opened.append(KeptHome(tmp_path / str(number) / "home", RestlessEmbedder()))
        return lambda: opened[-1].pruning.prune(1, None)

    outcomes = []
    for _ in crashes(monkeypatch, work):
        opened[-1].close()
        again = KeptHome(opened[-1].root)
        again.pruning.redo()
        outcomes.append(names(again) == ["newest"])
        assert again.registry.ids() == ([] if outcomes[-1] else ["ad_1"])
        assert len(names(again)) == (1 if outcomes[-1] else 3)
        assert again.state.intents() == []
        again.close()
    assert len(outcomes) > 5
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {True, False}
