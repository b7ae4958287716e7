"""What is recalled, and how it is quoted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory.embed import MiniLmEmbedder
from memory.episodes import EpisodeStore
from memory.recall import quote, recall
from memory.types import Episode
from tests.memory.recall_pairs import HELD_OUT_MEMORIES, HELD_OUT_QUESTIONS, MEMORIES, QUESTIONS

Make = Callable[..., Episode]


def count(text: str) -> int:
    return len(text.split())


def test_shows_task_outcome_answer_correction_and_source(store: EpisodeStore, episode: Make) -> None:
    kept = episode(1, "convert sales.csv to json", "wrote sales.json", correction="dates must be ISO")
    store.put(kept)
    found = recall(store, "convert sales.csv to json", 200, count)
    assert found.episode_ids == (kept.id,)
    for part in (
        kept.id,
        "2026-01-01",
        "success",
        kept.task,
        kept.answer,
        "dates must be ISO",
        "rated this bad",
    ):
        assert part in found.text


def test_nothing_close_recalls_nothing(store: EpisodeStore, episode: Make) -> None:
    store.put(episode(1, "convert sales.csv to json"))
    for task in ("bake bread", "", "   ", "the of and"):
        found = recall(store, task, 200, count)
        assert (found.text, found.episode_ids) == ("", ())
    assert recall(store, "convert sales.csv to json", 0, count).episode_ids == ()


def test_notes_are_verbatim(store: EpisodeStore, episode: Make) -> None:
    text = "My dog is called Biscuit.\n\n  She is   afraid of thunder."
    store.put(episode(1, text, "", kind="note"))
    found = recall(store, "my dog is afraid of thunder", 200, count)
    assert [line.removeprefix("> ") for line in found.text.splitlines()[-3:]] == text.split("\n")
    assert "the user asked to remember" in found.text


@settings(max_examples=50, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300),
    kind=st.sampled_from(["note", "task"]),
)
def test_no_text_steps_out_of_its_quotation(text: str, kind: str) -> None:
    """A recalled text must not pass for something that is said now: every line of it is marked."""
    from tests.memory.conftest import make_episode

    first, *rest = quote(make_episode(1, text, text, kind=kind, correction=text), 100).splitlines()
    assert first.startswith(f"[{kind} ep_")
    assert all(line.startswith("> ") for line in rest)


def test_the_same_thing_is_recalled_once_and_corrected(store: EpisodeStore, episode: Make) -> None:
    store.put(episode(1, "what is the capital of australia", "Sydney", correction="No, Canberra."))
    store.put(episode(2, "What is the  capital of Australia", "Sydney"))
    found = recall(store, "what is the capital of australia", 200, count)
    assert found.text.count("Sydney") == 1
    assert "Canberra" in found.text


def test_episodes_that_tell_nothing_are_left_out(store: EpisodeStore, episode: Make) -> None:
    store.put(episode(1, "convert sales.csv to json", "", outcome="interrupted"))
    assert recall(store, "convert sales.csv to json", 200, count).episode_ids == ()
    store.put(episode(2, "convert sales.csv to json", "", outcome="failure", correction="use pandas"))
    assert len(recall(store, "convert sales.csv to json", 200, count).episode_ids) == 1


def test_what_was_undone_says_so(store: EpisodeStore, episode: Make) -> None:
    store.put(episode(1, "sort names.txt").model_copy(update={"undone": True}))
    assert "changes were undone" in recall(store, "sort names.txt", 200, count).text


def test_left_out_episodes(store: EpisodeStore, episode: Make) -> None:
    kept = episode(1, "sort names.txt")
    store.put(kept)
    assert recall(store, "sort names.txt", 200, count, exclude=[kept.id]).episode_ids == ()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(budget=st.integers(0, 400))
def test_never_over_budget(shelf: EpisodeStore, budget: int) -> None:
    found = recall(shelf, "sort the names in names.txt", budget, count)
    assert count(found.text) <= budget
    assert bool(found.text) == bool(found.episode_ids)
    if budget >= 300:
        assert len(found.episode_ids) >= 3


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> EpisodeStore:
    """Several long episodes about one thing."""
    from tests.memory.conftest import FakeEmbedder, make_episode

    store = EpisodeStore(tmp_path_factory.mktemp("shelf") / "lancedb", FakeEmbedder())
    for number in range(8):
        answer = " ".join(f"word{number}{index}" for index in range(20))
        store.put(make_episode(number, f"sort the names in names.txt part {number}", answer))
    return store


def test_works_by_words_without_an_embedder(tmp_path: Path, episode: Make) -> None:
    store = EpisodeStore(tmp_path / "lancedb", None)
    store.put(episode(1, "convert sales.csv to json"))
    assert recall(store, "please convert sales.csv to json", 200, count).episode_ids
    assert recall(store, "convert the unit of this temperature", 200, count).episode_ids == ()


@pytest.mark.parametrize(
    ("memories", "questions", "precision", "found"),
    [(MEMORIES, QUESTIONS, 0.95, 0.95), (HELD_OUT_MEMORIES, HELD_OUT_QUESTIONS, 0.85, 0.75)],
    ids=["measured", "held out"],
)
def test_recalls_what_helps_and_no_junk(
    tmp_path: Path,
    episode: Make,
    minilm_folder: Path,
    memories: list[tuple[str, str, str, str, str]],
    questions: list[tuple[str, tuple[str, ...]]],
    precision: float,
    found: float,
) -> None:
    store = EpisodeStore(tmp_path / "lancedb", MiniLmEmbedder(minilm_folder))
    names = {}
    for number, (name, kind, task, answer, correction) in enumerate(memories):
        kept = episode(number, task, answer, kind=kind, correction=correction)
        names[kept.id] = name
        store.put(kept)
    right = wrong = missed = 0
    for text, wanted in questions:
        got = {names[episode_id] for episode_id in recall(store, text, 400, count).episode_ids}
        right += len(got & set(wanted))
        wrong += len(got - set(wanted))
        missed += len(set(wanted) - got)
        if got != set(wanted):
            print(f"{text!r}: {sorted(got)} instead of {sorted(wanted)}")
    print(f"precision {right / (right + wrong):.2f}, recall {right / (right + missed):.2f}")
    assert right / (right + wrong) >= precision
    assert right / (right + missed) >= found
