"""What counts in the journal after rollbacks, and what stays of it after a purge."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agent.journal_purge as purge_module
from agent.errors import HomeError
from agent.events import Event, LessonKept, RolledBack, RunFinished, TaskAccepted
from agent.history import History, merged
from agent.journal import Journal
from memory.types import Message
from tests.agent.kept_home import make_lesson


def accepted(episode: str, text: str = "Do it.") -> Event:
    return TaskAccepted(episode_id=episode, message=Message(role="user", content=text, provenance="user"))


def finished(episode: str) -> Event:
    return RunFinished(episode_id=episode, outcome="success", answer="Done.")


def back(history: tuple[tuple[int, int], ...]) -> Event:
    return RolledBack(snapshot="s", history=history, undo="u")


def all_of(journal: Journal, episode: str | None = None) -> list[int]:
    return [event.seq for event in journal.read(episode_id=episode)]


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30))))
def test_merging_ranges_keeps_the_positions(ranges: list[tuple[int, int]]) -> None:
    found = merged(ranges)
    assert {n for first, last in found for n in range(first, last + 1)} == {
        n for first, last in ranges for n in range(first, last + 1)
    }
    assert all(one[1] + 1 < other[0] for one, other in pairwise(found))


@given(st.lists(st.integers(0, 30), max_size=8))
def test_going_back_and_forth_is_a_walk_in_a_tree(choices: list[int]) -> None:
    """Every state is the way that led to it: the positions of one state, cut at any of them, are the
    positions of the state there was then."""
    history, seq = History(), 0
    states: dict[int, set[int]] = {0: set()}
    named: list[tuple[tuple[int, int], ...]] = [()]
    for choice in choices:
        for _ in range(2):
            seq += 1
            states[seq] = {n for first, last in history.ranges(seq) for n in range(first, last + 1)}
        named.append(history.ranges(seq))
        seq += 1
        history.roll_back(seq, named[choice % len(named)])
        states[seq] = {n for first, last in history.ranges(seq) for n in range(first, last + 1)}
    for state in states.values():
        for position in state:
            assert {n for n in state if n <= position} == states[position]
            assert all((n in history) == (n in states[seq]) for n in state)


def test_only_what_a_rollback_names_counts_and_what_follows(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for name in ("a", "b"):
        journal.append(accepted(name))
        journal.append(finished(name))
    mark = journal.history
    assert mark == ((1, 4),)
    journal.append(accepted("a", "More."))
    journal.append(accepted("c"))
    journal.append(LessonKept(episode_id="a", lesson=make_lesson("le_1", "a")))
    after = journal.history
    journal.append(back(mark))
    for now in (journal, Journal(tmp_path / "j")):
        assert all_of(now) == [1, 2, 3, 4, 8]
        assert all_of(now, "a") == [1, 2]
        assert now.episode_ids() == ["a", "b"]
        assert (now.episode_seq("a"), now.episode_seq("c"), now.lesson_seqs) == (2, 0, {})
        assert now.interrupted() == []
        assert now.history == ((1, 4), (8, 8))
        assert [event.seq for event in now.read(everything=True)] == list(range(1, 9))
        assert [event.seq for event in now.read(4, "a", everything=True)] == [5, 7]
    journal.append(accepted("d"))
    journal.append(back(after))
    for now in (journal, Journal(tmp_path / "j")):
        assert all_of(now) == [*range(1, 8), 10]
        assert now.episode_ids() == ["a", "b", "c"]
        assert now.lesson_seqs == {"le_1": 7}
        assert now.interrupted() == ["a", "c"]
        # a lesson does not shape the episode it was made from
        assert now.episode_seq("a") == 5


def test_a_rollback_that_ended_without_its_line_end_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(accepted("a"))
    journal.append(back(()))
    journal.close()
    (file,) = (tmp_path / "j").glob("events-*.jsonl")
    file.write_bytes(file.read_bytes()[:-1])
    assert Journal(tmp_path / "j").episode_ids() == []


def test_purging_keeps_every_other_line_and_every_number(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", file_bytes=700)
    kept = []
    for number in range(6):
        kept.append(journal.append(accepted(f"ep_{number % 2}", f"said {number}")))
    journal.append(finished("ep_0"))
    reading = journal.read()
    assert next(reading) == kept[0]
    journal.purge(["ep_1"], lambda event: None if event.episode_id == "ep_1" else event)
    for now in (journal, Journal(tmp_path / "j", file_bytes=700)):
        assert all_of(now) == [1, 3, 5, 7]
        assert now.episode_ids() == ["ep_0"]
        assert now.damage == ()
    # who was reading goes on with what is left
    assert [event.seq for event in reading] == [3, 5, 7]
    assert journal.append(finished("ep_0")).seq == 8
    assert not any(b"said 1" in file.read_bytes() for file in (tmp_path / "j").iterdir())


def test_purging_takes_damaged_and_torn_copies_along(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for name in ("ep_1", "ep_2", "ep_1"):
        journal.append(accepted(name, "secret of " + name))
    journal.close()
    (file,) = (tmp_path / "j").glob("events-*.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    lines[0] = lines[0].replace(b"secret", b"SECRET")
    file.write_bytes(b"".join(lines) + lines[2][:-9])
    (tmp_path / "j" / ".events-0000000001.jsonl.new").write_bytes(lines[2])
    after = Journal(tmp_path / "j")
    assert len(after.damage) == 2
    after.purge(["ep_1"], lambda event: None if event.episode_id == "ep_1" else event)
    assert [path.name for path in (tmp_path / "j").iterdir()] == [file.name]
    assert file.read_bytes() == lines[1]
    assert after.append(finished("ep_2")).seq > 3


def test_a_purge_that_fails_leaves_a_journal_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "j", file_bytes=100)
    for number in range(4):
        journal.append(accepted("ep_1", f"said {number}"))
    journal.append(accepted("ep_2"))
    real, calls = purge_module.replace_file, []

    def full(path: Path, data: bytes) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(purge_module, "replace_file", full)
        with pytest.raises(HomeError, match="No space left on device"):
            journal.purge(["ep_1"], lambda event: None if event.episode_id == "ep_1" else event)
    seq = journal.append(finished("ep_2")).seq
    assert seq == 6
    assert all_of(journal) == all_of(Journal(tmp_path / "j")) == [2, 3, 4, 5, 6]
    journal.purge(["ep_1"], lambda event: None if event.episode_id == "ep_1" else event)
    assert all_of(journal) == all_of(Journal(tmp_path / "j")) == [5, 6]


def test_a_purge_may_change_part_of_an_event(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(accepted("ep_1", "mentions ep_9"))

    def change(event: Event) -> Event | None:
        assert isinstance(event, TaskAccepted)
        return event.model_copy(update={"message": event.message.model_copy(update={"content": "…"})})

    journal.purge(["ep_9"], change)
    (event,) = journal.read()
    assert isinstance(event, TaskAccepted)
    assert (event.message.content, event.seq) == ("…", 1)
    assert Journal(tmp_path / "j").damage == ()


def test_finds_what_mentions_an_id_hidden_events_too(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(accepted("ep_1"))
    journal.append(accepted("ep_2", "as in ep_1"))
    journal.append(accepted("ep_3"))
    journal.append(back(()))
    assert [event.seq for event in journal.mentioning(["ep_1"])] == [1, 2]
    assert list(journal.mentioning([])) == []


def test_a_journal_for_reading_is_not_purged(tmp_path: Path) -> None:
    Journal(tmp_path / "j").append(accepted("ep_1"))
    reader = Journal(tmp_path / "j", writable=False)
    with pytest.raises(HomeError, match="reading only"):
        reader.purge(["ep_1"], lambda event: None)
    assert all_of(reader) == [1]


@settings(max_examples=20, deadline=None)
@given(keep=st.sets(st.integers(0, 5)))
def test_whatever_is_purged_the_rest_reads_as_before(
    tmp_path_factory: pytest.TempPathFactory, keep: set[int]
) -> None:
    journal = Journal(tmp_path_factory.mktemp("j"), file_bytes=400)
    events = [journal.append(accepted(f"ep_{number}")) for number in range(6)]
    names = [f"ep_{number}" for number in range(6) if number not in keep]
    journal.purge(names, lambda event: None if event.episode_id in names else event)
    expected = [event for event in events if event.episode_id not in names]
    assert list(journal.read()) == list(Journal(journal.folder).read()) == expected
