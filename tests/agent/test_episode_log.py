"""Events fold into episodes as a plain reading of them would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.episode_log import EpisodeLog, catch_up, fold, folded
from agent.events import (
    CallDecided,
    EpisodeStarted,
    EpisodeUndone,
    Event,
    FeedbackGiven,
    RunFinished,
    StepFinished,
    StepStarted,
    TaskAccepted,
    parse_event,
)
from agent.journal import Journal
from memory.types import Episode, Feedback, Message, Step


def started(kind: str = "conversation") -> Event:
    return EpisodeStarted.model_validate(
        {
            "episode_id": "e",
            "episode_kind": kind,
            "workspace": "/tmp/w",
            "model": "m",
            "system": "Be kind.",
            "tools": ("shell",),
        }
    )


def user(text: str) -> Message:
    return Message(role="user", content=text, provenance="user")


def step(index: int) -> Step:
    return Step(index=index, message=Message(role="assistant", content=f"s{index}", provenance="model"))


outcomes = st.sampled_from(["success", "failure", "interrupted", "out_of_budget", "refused"])
turns = st.tuples(
    st.text(max_size=5), st.integers(0, 3), outcomes, st.text(max_size=5), st.booleans(), st.booleans()
)


@settings(max_examples=200, deadline=None)
@given(history=st.lists(turns, max_size=5), cut=st.booleans(), noise=st.booleans())
def test_random_histories_fold_as_a_plain_model_says(
    history: list[tuple[str, int, str, str, bool, bool]], cut: bool, noise: bool
) -> None:
    events: list[Event] = [started()]
    expected: list[tuple[str, int, str, str]] = []
    ratings, index, undone = 0, 0, False
    for number, (text, steps, outcome, answer, rated, undo) in enumerate(history):
        last = number == len(history) - 1
        events.append(TaskAccepted(episode_id="e", message=user(text)))
        for _ in range(steps):
            if noise:
                events.append(StepStarted(episode_id="e", index=index, calls=()))
                events.append(
                    CallDecided(episode_id="e", call_id="c", tool="t", allowed=True, by="policy", reason="")
                )
            events.append(StepFinished(episode_id="e", step=step(index)))
            index += 1
            undone = False
        if last and cut:
            expected.append((text, steps, "interrupted", ""))
            break
        events.append(RunFinished.model_validate({"episode_id": "e", "outcome": outcome, "answer": answer}))
        expected.append((text, steps, outcome, answer))
        if rated:
            events.append(FeedbackGiven(episode_id="e", feedback=Feedback(rating="bad", text=text)))
            ratings += 1
        if undo:
            events.append(EpisodeUndone(episode_id="e", paths=("a",)))
            undone = True

    events = [parse_event(event.model_dump_json()) for event in events]
    whole = fold(events, interrupted=True)
    finished = fold(events)
    if not expected:
        assert whole is None
    else:
        assert whole is not None
        assert [(t.user.content, len(t.steps), t.outcome, t.answer) for t in whole.turns] == expected
        assert [s.index for s in whole.steps] == list(range(index))
        assert (len(whole.feedback), whole.undone) == (ratings, undone)
        assert (whole.workspace, whole.model, whole.tools) == ("/tmp/w", "m", ("shell",))
        assert whole.started_at == events[0].at <= whole.ended_at
        assert Episode.model_validate_json(whole.model_dump_json()) == whole
    if cut and history:
        closed = expected[:-1]
        assert (finished is None) == (not closed)
        assert finished is None or len(finished.turns) == len(closed)
    else:
        assert finished == whole


def test_a_message_that_was_never_finished_is_interrupted_by_the_next() -> None:
    events = [
        started(),
        TaskAccepted(episode_id="e", message=user("one")),
        StepFinished(episode_id="e", step=step(0)),
        TaskAccepted(episode_id="e", message=user("two")),
        RunFinished(episode_id="e", outcome="success", answer="2"),
    ]
    episode = fold(events)
    assert episode is not None
    assert [(t.user.content, t.outcome, len(t.steps)) for t in episode.turns] == [
        ("one", "interrupted", 1),
        ("two", "success", 0),
    ]


def test_a_log_with_lost_lines_still_folds() -> None:
    episode = fold(
        [
            StepFinished(episode_id="e", step=step(0)),
            RunFinished(episode_id="e", outcome="success", answer="Done."),
        ]
    )
    assert episode is not None
    assert (episode.answer, episode.model, len(episode.steps)) == ("Done.", "unknown", 1)
    # nobody said this, so it must not pass as the user's words
    assert episode.turns[0].user.provenance == "system"


def test_a_log_can_be_read_as_it_grows() -> None:
    log = EpisodeLog("e")
    log.add(started())
    assert (log.running, log.episode()) == (False, None)
    log.add(TaskAccepted(episode_id="e", message=user("one")))
    assert log.running
    assert log.episode() is None
    growing = log.episode(interrupted=True)
    assert growing is not None
    assert growing.outcome == "interrupted"


def test_events_of_two_episodes_do_not_mix() -> None:
    with pytest.raises(ValueError, match="belongs to f"):
        fold([started(), TaskAccepted(episode_id="f", message=user("x"))])
    assert fold([]) is None


class Shelf:
    """A store that only remembers."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Episode, int]] = {}

    def seqs(self) -> Mapping[str, int]:
        return {name: seq for name, (_, seq) in self.kept.items()}

    def put_all(self, episodes: Sequence[Episode], seqs: Mapping[str, int]) -> None:
        self.kept |= {episode.id: (episode, seqs[episode.id]) for episode in episodes}

    def delete_all(self, ids: Sequence[str]) -> int:
        return len([self.kept.pop(name) for name in ids])


def test_catching_up_puts_only_what_is_missing_or_old(tmp_path: Path) -> None:
    journal, shelf = Journal(tmp_path / "journal"), Shelf()
    for name in ("a", "b", "c"):
        journal.append(TaskAccepted(episode_id=name, message=user(name)))
        journal.append(RunFinished(episode_id=name, outcome="success", answer=name))
    journal.append(TaskAccepted(episode_id="running", message=user("…")))
    assert catch_up(journal, shelf, skip=["running"]) == ["a", "b", "c"]
    assert catch_up(journal, shelf, skip=["running"]) == []
    journal.append(FeedbackGiven(episode_id="b", feedback=Feedback(rating="good", text="Nice.")))
    del shelf.kept["c"]
    assert catch_up(journal, shelf, skip=["running"]) == ["b", "c"]
    assert shelf.kept["b"][0].feedback[0].text == "Nice."
    assert catch_up(journal, shelf) == ["running"]
    assert [episode.id for episode, _ in folded(journal)] == ["a", "b", "c", "running"]
    shelf.kept["gone"] = shelf.kept["a"]
    shelf.kept["b"] = shelf.kept["b"][0], 99
    assert catch_up(journal, shelf) == ["b"]
    assert sorted(shelf.kept) == ["a", "b", "c", "running"]
