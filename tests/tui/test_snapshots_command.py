"""`nightschool snapshot show`, `diff` and `prune`, `backup` and `restore` over a real runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent.kept_home import KeptHome, make_lesson
from tui.render_snapshots import contents_lines, diff_lines

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path) -> KeptHome:
    """An evening, a rollback to it from the next day, and a snapshot since."""
    home = KeptHome(tmp_path / "home")
    home.tell("ep_1", "My cat is called Mina.")
    home.learn(make_lesson("le_1", "ep_1", "The cat is called Mina.\x1b[31m"))
    home.serve(home.add_adapter("ad_1", ["le_1"]))
    home.rollback.take("evening")
    home.home.settings.write_text("[agent]\nmax_steps = 7\n")
    home.tell("ep_2", "Ada lives in Rome.")
    home.learn(make_lesson("le_2", "ep_2"))
    home.serve(home.add_adapter("ad_2", ["le_2"], parent="ad_1"))
    home.rollback.rollback("evening")
    home.rollback.take("morning")
    home.close()
    return home


@pytest.fixture
def run(
    home: KeptHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Callable[[Path], Run]
) -> Run:
    """Runs `nightschool` with arguments: exit code, standard output, standard error."""
    monkeypatch.setenv("NIGHTSCHOOL_CACHE", str(tmp_path / "cache"))

    return command_line(home.root)


def test_shows_compares_and_prunes(run: Run, home: KeptHome) -> None:
    code, out, _ = run("snapshot", "show", "before ad_2")
    assert code == 0
    for part in ("episodes   2", "2 approved", "ad_1, with 1 lesson learned", "agent.max_steps = 7", "ad_2"):
        assert part in out
    shown = json.loads(run("snapshot", "show", "evening", "--json")[1])
    assert (shown["episodes"], shown["lessons"], shown["settings"]) == (1, {"approved": 1}, {})

    code, out, _ = run("snapshot", "diff", "before ad_2", "now")
    assert code == 0 and "\x1b" not in out
    for part in ("1 episode lost", "- ep_2  Ada lives in Rome.", "1 lesson lost", "- le_2", "-max_steps = 7"):
        assert part in out
    assert "+ ep_2" in run("snapshot", "diff", "now", "before ad_2")[1]
    assert "nothing differs" in run("snapshot", "diff", "morning", "now")[1]
    found = json.loads(run("snapshot", "diff", "evening", "before ad_2", "--json")[1])
    assert [episode["task"] for episode in found["episodes_back"]] == ["Ada lives in Rome."]

    code, out, _ = run("snapshot", "prune", "--keep", "1", "--dry-run")
    assert code == 0 and "- adapter ad_2" in out and "stays: it is the way back" in out
    code, _, err = run("snapshot", "prune", "--keep", "1")
    assert code == 1 and "--yes" in err
    assert len(home.rollback.snapshots()) == 5 and home.registry.ids() == ["ad_1", "ad_2"]
    code, out, _ = run("snapshot", "prune", "--keep", "1", "--yes")
    assert code == 0 and "2 snapshots left" in out
    assert [snapshot.name for snapshot in home.rollback.snapshots()] == ["morning", "before ad_1"]
    assert home.registry.ids() == ["ad_1"]
    pruned = json.loads(run("snapshot", "prune", "--keep", "1", "--json")[1])
    assert (pruned["snapshots"], pruned["remaining"]) == ([], 2)


def test_long_lists_are_shortened_for_people(tmp_path: Path) -> None:
    home = KeptHome(tmp_path / "home")
    home.rollback.take("empty")
    for number in range(23):
        home.learn(make_lesson(f"le_{number}", "ep_1"))
    lines = diff_lines(home.contents.diff("now", "empty"))
    assert lines[1] == "23 lessons lost" and lines[-1].startswith("    … 3 more")
    assert "  serves     the base model alone" in contents_lines(home.contents.show("now"))


def test_a_backup_and_back_again(run: Run, home: KeptHome, tmp_path: Path) -> None:
    (home.home.workspaces / "ep_1").mkdir(parents=True)
    (home.home.workspaces / "ep_1" / "link").symlink_to("nowhere")
    target = tmp_path / "kept.tar.gz"
    code, out, _ = run("backup", str(target))
    assert code == 0 and "Left out: 1 links." in out and f"restore {target}" in out
    made = json.loads(run("backup", str(target), "--replace", "--json")[1])
    assert (made["path"], made["adapter"]) == (str(target), "ad_1")
    code, _, err = run("restore", str(target))
    assert code == 2 and "is not empty" in err
    again = tmp_path / "again"
    code, out, _ = run("--home", str(again), "restore", str(target))
    assert code == 0 and f"brought back to {again}" in out and "Serves: ad_1." in out
    told = json.loads(run("--home", str(tmp_path / "third"), "restore", str(target), "--json")[1])
    assert (told["home"], told["adapter"]) == (str(tmp_path / "third"), "ad_1")
    assert told["adapter_digest"] == home.registry.get("ad_1").digest
    listed = run("snapshot", "list", "--json")[1]
    assert run("--home", str(again), "snapshot", "list", "--json")[1] == listed
    assert run("--home", str(again), "snapshot", "diff", "morning", "now")[1].endswith("nothing differs\n")
    adapters = run("adapters", "list", "--json")[1]
    assert run("--home", str(again), "adapters", "list", "--json")[1] == adapters
