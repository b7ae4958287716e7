"""`state.sqlite`: one active adapter, snapshots, and work that was begun."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memory.errors import StoreError, UnknownSnapshot
from memory.learning import Snapshot
from memory.state import State

AT = datetime(2026, 1, 1, tzinfo=UTC)


def snap(name: str, id: str | None = None, **fields: object) -> Snapshot:
    values = {
        "id": id or f"sn_{name}",
        "name": name,
        "history": ((1, 4),),
        "adapter": None,
        "settings": "",
        "created_at": AT,
    }
    return Snapshot.model_validate({**values, **fields})


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state.sqlite")


def test_nothing_is_created_before_it_is_used(state: State) -> None:
    assert not state.file.exists()
    assert (state.active, state.active_digest, state.snapshots(), state.intents()) == (None, "", [], [])
    assert state.file.stat().st_mode & 0o777 == 0o600


def test_the_next_process_sees_it_all(state: State) -> None:
    state.add_snapshot(snap("one"))
    state.promote("ad_1", "d1", "sn_one")
    intent = state.intend("forget", {"episodes": ["ep_1"]})
    state.close()
    again = State(state.file)
    assert (again.active, again.active_digest) == ("ad_1", "d1")
    assert again.snapshots() == [snap("one")]
    assert again.intents() == again.intents("forget") == [intent]
    assert again.intents("rollback") == []
    again.fulfil_and_activate(intent, None, "")
    assert (again.active, again.intents()) == (None, [])


def test_counts_nights_since_the_core(state: State) -> None:
    assert state.nights_since_core == 0
    for number, core in enumerate((False, False, True, False)):
        state.promote(f"ad_{number}", "d", "sn", core)
    assert state.nights_since_core == 1
    state.promote("ad_5", "d", "sn", True)
    assert state.nights_since_core == 0


def test_snapshots_are_found(state: State) -> None:
    with pytest.raises(UnknownSnapshot, match="no snapshot yet"):
        state.resolve_snapshot("last")
    state.add_snapshot(snap("noon", "sn_a1"))
    state.add_snapshot(snap("noon", "sn_a2"))
    state.add_snapshot(snap("before the rollback", "sn_b"), by_rollback=True)
    assert [snapshot.id for snapshot in state.snapshots()] == ["sn_b", "sn_a2", "sn_a1"]
    for wanted, found in (("last", "sn_a2"), ("noon", "sn_a2"), ("sn_a1", "sn_a1"), ("sn_b", "sn_b")):
        assert state.resolve_snapshot(wanted).id == found
    with pytest.raises(UnknownSnapshot, match="fits 2 snapshots"):
        state.resolve_snapshot("sn_a")
    for wrong in ("", "x", "' OR 1=1 --"):
        with pytest.raises(UnknownSnapshot, match="no snapshot"):
            state.resolve_snapshot(wrong)
    changed = snap("noon", "sn_a1", purged=("ep_1",))
    state.replace_snapshot(changed)
    assert state.resolve_snapshot("sn_a1") == changed
    assert state.remove_snapshot("sn_a1")
    assert not state.remove_snapshot("sn_a1")


def test_a_transaction_that_breaks_changes_nothing(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    state.promote("ad_1", "d1", "sn")

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    intent = state.intend("rollback", {})
    with monkeypatch.context() as patch:
        patch.setattr(state, "_fulfil", broken)
        with pytest.raises(KeyboardInterrupt):
            state.fulfil_and_activate(intent, "ad_2", "d2")
    assert state.active == "ad_1"
    assert state.intents() == [intent]


def test_survives_a_kill_between_two_changes(state: State) -> None:
    code = (
        "import os, sys; from pathlib import Path; from memory.state import State\n"
        f"state = State(Path({str(state.file)!r}))\n"
        "state.promote('ad_1', 'd1', 'sn'); state.intend('rollback', {'a': 1})\n"
        "os.kill(os.getpid(), 9)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    assert ran.returncode == -9
    assert (state.active, [intent.payload for intent in state.intents()]) == ("ad_1", [{"a": 1}])


def test_is_durable_and_leaves_no_deleted_text(state: State) -> None:
    state.add_snapshot(snap("x", settings="zimtstern = true"))
    with state._engine().connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    state.remove_snapshot("sn_x")
    state.empty_log()
    for file in state.file.parent.iterdir():
        assert b"zimtstern" not in file.read_bytes()
    assert state.snapshots() == []


def test_several_threads(state: State) -> None:
    def work(number: int) -> None:
        for step in range(10):
            state.add_snapshot(snap(f"{number}-{step}"))
            state.activate(f"ad_{number}", "d")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(state.snapshots()) == 40
    assert state.active is not None


@pytest.mark.parametrize("how", ["garbled", "no database", "cut"])
def test_damage_is_one_sentence_with_a_mend(state: State, how: str) -> None:
    for number in range(200):
        state.add_snapshot(snap(str(number), settings="x" * 500))
    state.empty_log()
    state.close()
    content = state.file.read_bytes()
    damage = {
        "garbled": content[:8192] + b"\xa5" * (len(content) - 8192),
        "no database": b"once upon a time" * 100,
        "cut": content[: len(content) // 2],
    }[how]
    state.file.write_bytes(damage)
    with pytest.raises(StoreError, match=r"state\.sqlite is damaged: .*Move it aside"):
        State(state.file).snapshots()


def test_a_newer_format_is_not_touched(state: State) -> None:
    state.activate("ad_1", "d")
    state.close()
    with sqlite3.connect(state.file) as connection:
        connection.execute("UPDATE about SET value = '99' WHERE key = 'version'")
    connection.close()
    before = state.file.read_bytes()
    with pytest.raises(StoreError, match="newer Night School"):
        _ = State(state.file).active
    assert state.file.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match=r"Cannot write .*state\.sqlite"):
        State(tmp_path / "file" / "state.sqlite").activate(None, "")
