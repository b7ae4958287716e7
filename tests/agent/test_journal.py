"""The journal: what was appended is there, whatever happens in between."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agent.journal as journal_module
from agent.errors import HomeError
from agent.events import (
    EpisodeStarted,
    Event,
    FeedbackGiven,
    Progress,
    RunFinished,
    StepFinished,
    TaskAccepted,
    parse_event,
)
from agent.journal import Journal
from memory.types import Feedback, Message, Step, TokenSignal, ToolCall


def accepted(episode: str, text: str = "Do it.") -> Event:
    return TaskAccepted(episode_id=episode, message=Message(role="user", content=text, provenance="user"))


def finished(episode: str) -> Event:
    return RunFinished(episode_id=episode, outcome="success", answer="Done.")


def stepped(episode: str, index: int = 0, text: str = "Hm.") -> Event:
    message = Message(role="assistant", content=text, provenance="model")
    return StepFinished(episode_id=episode, step=Step(index=index, message=message))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def newest(folder: Path) -> Path:
    return sorted(folder.glob("events-*.jsonl"))[-1]


def test_numbers_from_one_and_reads_back_equal(folder: Path) -> None:
    journal = Journal(folder)
    kept = [journal.append(event) for event in (accepted("a"), stepped("a"), accepted("b"), finished("a"))]
    assert [event.seq for event in kept] == [1, 2, 3, 4]
    assert list(journal.read()) == kept
    assert list(Journal(folder).read()) == kept
    assert [event.seq for event in journal.read(after=2)] == [3, 4]
    assert [event.seq for event in journal.read(episode_id="a")] == [1, 2, 4]
    assert [event.seq for event in journal.read(after=1, episode_id="a")] == [2, 4]
    assert list(journal.read(episode_id="unknown")) == []
    assert journal.episode_ids() == ["a", "b"]
    assert (journal.episode_seq("a"), journal.episode_seq("c"), journal.last_seq) == (4, 0, 4)


def test_goes_on_counting_after_reopening(folder: Path) -> None:
    first = Journal(folder)
    first.append(accepted("a"))
    first.close()
    assert Journal(folder).append(finished("a")).seq == 2


def test_knows_what_was_cut_off(folder: Path) -> None:
    journal = Journal(folder)
    for event in (accepted("a"), finished("a"), accepted("b"), stepped("b"), accepted("c"), finished("c")):
        journal.append(event)
    journal.append(accepted("a", "And now?"))
    assert journal.interrupted() == ["b", "a"]
    assert Journal(folder).interrupted() == ["b", "a"]


def test_is_one_flat_json_object_a_line(folder: Path) -> None:
    journal = Journal(folder)
    journal.append(accepted("a", "two\nlines\u2028and a separator"))
    (line,) = newest(folder).read_bytes().splitlines()
    assert json.loads(line)["kind"] == "task_accepted"
    assert json.loads(line)["seq"] == 1


def test_is_private(folder: Path) -> None:
    Journal(folder).append(accepted("a"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert newest(folder).stat().st_mode & 0o777 == 0o600


def test_opening_for_reading_creates_nothing(folder: Path) -> None:
    journal = Journal(folder, writable=False)
    assert list(journal.read()) == []
    assert not folder.exists()
    with pytest.raises(HomeError, match="reading only"):
        journal.append(accepted("a"))


def test_passing_events_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="passing"):
        Journal(folder).append(Progress(stage="loading"))


def test_rotates_by_size_and_reads_across_files(folder: Path) -> None:
    journal = Journal(folder, file_bytes=1000)
    kept = [journal.append(stepped("ab"[index % 2], index)) for index in range(20)]
    assert len(list(folder.glob("events-*.jsonl"))) > 3
    again = Journal(folder, file_bytes=1000)
    assert list(again.read()) == kept
    assert list(again.read(episode_id="b")) == kept[1::2]
    assert again.append(finished("a")).seq == 21


def test_can_be_read_while_it_is_written(folder: Path) -> None:
    writer = Journal(folder)
    writer.append(accepted("a"))
    whole = newest(folder).read_bytes()
    with newest(folder).open("ab") as handle:
        handle.write(whole[:40])
    reader = Journal(folder, writable=False)
    assert [event.seq for event in reader.read()] == [1]
    assert newest(folder).read_bytes() == whole + whole[:40]


def test_several_threads_append(folder: Path) -> None:
    journal = Journal(folder)
    threads = [
        threading.Thread(target=lambda name=name: [journal.append(stepped(name, i)) for i in range(20)])
        for name in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = list(Journal(folder).read())
    assert [event.seq for event in events] == list(range(1, 81))
    assert [e.step.index for e in journal.read(episode_id="c") if isinstance(e, StepFinished)] == list(
        range(20)
    )


def test_odd_values_come_back(folder: Path) -> None:
    """A log-probability of minus infinity and half a surrogate pair in a call's arguments."""
    call = ToolCall(id="call_0_0", name="shell", arguments={"x": "\ud83d\ude00 \ud800", "n": float("nan")})
    signal = TokenSignal(token_id=1, text="a", logprob=float("-inf"), entropy=float("inf"), margin=1.0)
    message = Message(role="assistant", content="", provenance="model", tool_calls=(call,))
    step = Step(index=0, message=message, signals=(signal,))
    journal = Journal(folder)
    kept = journal.append(StepFinished(episode_id='quote " and \\ and é', step=step))
    assert isinstance(kept, StepFinished)
    assert kept.step.signals == (signal,)
    assert kept.step.message.tool_calls[0].arguments["x"] == "😀 \ufffd"
    assert list(Journal(folder).read(episode_id='quote " and \\ and é')) == [kept]


def test_crash_at_every_byte_of_the_last_records(folder: Path, tmp_path: Path) -> None:
    """Whatever was on disk when the power went: every event whose line was whole is there, the rest is
    kept aside, and the next append is sound."""
    journal = Journal(folder)
    events = [journal.append(event) for event in (accepted("a"), stepped("a", 0, "Größe"), finished("a"))]
    journal.close()
    data = newest(folder).read_bytes()
    ends = [index + 1 for index, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(ends[0], len(data) + 1):
        crashed = tmp_path / f"crashed-{cut}"
        crashed.mkdir()
        file = crashed / newest(folder).name
        file.write_bytes(data[:cut])
        after = Journal(crashed)
        whole = sum(end - 1 <= cut for end in ends)
        assert list(after.read()) == events[:whole]
        torn = data[ends[whole - 1] : cut]
        assert [d.kept.read_bytes() for d in after.damage] == ([torn] if torn else [])
        added = after.append(finished("a"))
        assert added.seq == whole + 1
        again = Journal(crashed)
        assert list(again.read()) == [*events[:whole], added]
        assert again.damage == ()


@pytest.mark.parametrize("junk", [b"\0" * 4096, b"{", b"\xff\xfe half", b'{"at":"2026","episode_id":null'])
def test_junk_after_the_last_line_is_moved_aside(folder: Path, junk: bytes) -> None:
    journal = Journal(folder)
    kept = journal.append(accepted("a"))
    journal.close()
    with newest(folder).open("ab") as handle:
        handle.write(junk)
    after = Journal(folder)
    (damage,) = after.damage
    assert damage.line == 2
    assert damage.kept.read_bytes() == junk
    assert list(after.read()) == [kept]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_anywhere_is_noticed_and_costs_only_its_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    events = [journal.append(stepped("a", index)) for index in range(4)]
    journal.close()
    file = newest(folder)
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    was = content[at]
    content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != was))
    hit = bytes(content[:at]).count(b"\n")
    file.write_bytes(content)
    after = Journal(folder)
    read = list(after.read())
    assert after.damage
    assert all(event in events for event in read)
    lost = {event.seq for event in events} - {event.seq for event in read}
    # a lost line end joins two lines
    assert lost <= {hit + 1, hit + 2} if was == ord("\n") else lost == {hit + 1}
    assert file.read_bytes() == bytes(content) or after.damage[-1].kept != file
    added = after.append(finished("a"))
    assert added.seq > max((event.seq for event in read), default=0)
    assert [event.seq for event in Journal(folder).read()] == [*(event.seq for event in read), added.seq]


def test_a_damaged_line_is_named(folder: Path) -> None:
    journal = Journal(folder)
    for index in range(3):
        journal.append(stepped("a", index))
    lines = newest(folder).read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"Hm.", b"Ha.")
    newest(folder).write_bytes(b"".join(lines))
    (damage,) = Journal(folder).damage
    assert (damage.file, damage.line) == (newest(folder), 2)
    assert "line 2" in str(damage)
    # and by a journal that was open before the damage came
    assert [event.seq for event in journal.read()] == [1, 3]
    assert journal.damage[0].line == 2


def test_a_full_disk_leaves_no_half_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(folder)
    first = journal.append(accepted("a"))
    real = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) > 30:
            return real(handle, bytes(data[:30]))
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(HomeError, match="No space left on device"):
            journal.append(stepped("a"))
    assert newest(folder).read_bytes().count(b"\n") == 1
    second = journal.append(stepped("a"))
    assert second.seq == 2
    after = Journal(folder)
    assert (list(after.read()), after.damage) == ([first, second], ())


def test_a_write_that_cannot_be_taken_back_at_once_is_taken_back_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(folder)
    first = journal.append(accepted("a"))

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "sync", broken)
        patch.setattr(os, "ftruncate", broken)
        with pytest.raises(HomeError, match="Input/output error"):
            journal.append(stepped("a", text="never told"))
        journal.close()
    second = journal.append(stepped("a"))
    after = Journal(folder)
    assert (list(after.read()), after.damage) == ([first, second], ())


def test_interrupted_by_the_keyboard_nothing_half_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(folder)
    first = journal.append(accepted("a"))

    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "sync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            journal.append(stepped("a"))
    second = journal.append(stepped("a"))
    assert second.seq == 2
    assert list(Journal(folder).read()) == [first, second]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(HomeError, match=r"^Cannot write the journal in .*file/journal: .*\.$"):
        Journal(tmp_path / "file" / "journal").append(accepted("a"))


def test_a_read_only_home_can_be_read_and_mended_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(folder)
    first = journal.append(accepted("a"))
    journal.close()
    with newest(folder).open("ab") as handle:
        handle.write(b'{"at":"cut')
    real = os.open

    def read_only(path: Path, flags: int, *rest: int) -> int:
        if flags & (os.O_WRONLY | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", read_only)
        after = Journal(folder)
        assert list(after.read()) == [first]
        assert "Read-only" in after.damage[0].reason
        with pytest.raises(HomeError, match="Read-only"):
            after.append(finished("a"))
    second = after.append(finished("a"))
    assert list(Journal(folder).read()) == [first, second]


def test_data_is_on_disk_before_append_returns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = journal_module.sync

    def watched(handle: int) -> None:
        real(handle)
        synced.append(os.fstat(handle).st_size)

    monkeypatch.setattr(journal_module, "sync", watched)
    journal = Journal(folder)
    journal.append(accepted("a"))
    journal.append(stepped("a"))
    assert synced[-1] == newest(folder).stat().st_size
    assert len(synced) == 2


def test_every_kind_of_event_can_be_indexed_without_parsing(folder: Path) -> None:
    """The index reads the head of a line; it relies on the order of the shared fields."""
    journal = Journal(folder)
    journal.append(EpisodeStarted(episode_id="e", episode_kind="note", workspace=None, model="m"))
    journal.append(FeedbackGiven(episode_id="e", feedback=Feedback(rating="good")))
    journal.append(FeedbackGiven(feedback=Feedback(rating="good")))
    after = Journal(folder)
    assert len(after) == 3
    assert [event.seq for event in after.read(episode_id="e")] == [1, 2]
    body = newest(folder).read_bytes().splitlines()[2]
    with pytest.raises(ValueError, match="crc"):
        parse_event(body)
