"""The store of lessons over a real LanceDB."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memory.errors import StoreError, UnknownLesson
from memory.learning import Lesson
from memory.lessons import LessonStore
from tests.agent.kept_home import make_lesson


@pytest.fixture
def lessons(tmp_path: Path, embedder: object) -> LessonStore:
    return LessonStore(tmp_path / "lancedb", embedder)  # type: ignore[arg-type]


def numbered(number: int, statement: str = "Ada lives in Rome.", **fields: object) -> Lesson:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    return make_lesson(f"le_{number}", f"ep_{number % 2}", statement, created_at=at, **fields)  # type: ignore[arg-type]


def test_gives_back_what_was_put(lessons: LessonStore) -> None:
    assert (lessons.list(), lessons.count(), lessons.seqs(), lessons.nearest("x")) == ([], 0, {}, [])
    kept = numbered(1, "Größe, naïve café, 日本語.", contradicts=("le_9",), tries=2)
    lessons.put(kept, 7)
    assert lessons.get("le_1") == kept
    assert lessons.seqs() == {"le_1": 7}
    newer = kept.model_copy(update={"state": "retired"})
    lessons.put(newer, 9)
    assert (lessons.list(), lessons.seqs()) == ([newer], {"le_1": 9})


def test_lists_by_state_and_episode_newest_first(lessons: LessonStore) -> None:
    states = ["approved", "pending", "approved", "retired"]
    lessons.put_all([numbered(number, state=state) for number, state in enumerate(states)])
    assert [lesson.id for lesson in lessons.list()] == ["le_3", "le_2", "le_1", "le_0"]
    assert [lesson.id for lesson in lessons.list(state="approved")] == ["le_2", "le_0"]
    assert [lesson.id for lesson in lessons.list(episode="ep_1")] == ["le_3", "le_1"]
    assert [lesson.id for lesson in lessons.list("approved", "ep_1")] == []
    assert lessons.list(episode="' OR 1=1 --") == []


def test_finds_by_prefix_and_last(lessons: LessonStore) -> None:
    with pytest.raises(UnknownLesson, match="no lessons yet"):
        lessons.resolve("last")
    for number in (1, 12, 13):
        lessons.put(numbered(number))
    assert [lessons.resolve(name) for name in ("last", "le_1", "le_12")] == ["le_13", "le_1", "le_12"]
    with pytest.raises(UnknownLesson, match="fits 3 lessons"):
        lessons.resolve("le_")
    for wrong in ("", "x"):
        with pytest.raises(UnknownLesson, match="no lesson"):
            lessons.resolve(wrong)
    with pytest.raises(UnknownLesson, match="review list"):
        lessons.get("le_")


def test_finds_what_says_much_the_same(lessons: LessonStore) -> None:
    lessons.put_all([numbered(1, "Ada lives in Rome"), numbered(2, "The parser wants a flag")])
    near = lessons.nearest("Ada lives in Paris")
    assert [found.lesson.id for found in near] == ["le_1", "le_2"]
    assert near[0].similarity > 0.7 > near[1].similarity
    assert len(lessons.nearest("Ada", 1)) == 1
    assert lessons.nearest(" ") == []


def test_without_an_embedder_rows_wait_for_their_vectors(lessons: LessonStore) -> None:
    blind = LessonStore(lessons.folder, None)
    blind.put(numbered(1), 3)
    assert blind.nearest("Ada lives in Rome.") == []
    assert lessons.nearest("Ada lives in Rome.") == []
    assert (blind.embed_missing(), lessons.embed_missing(), lessons.embed_missing()) == (0, 1, 0)
    assert lessons.nearest("Ada lives in Rome.")[0].similarity > 0.99
    assert lessons.seqs() == {"le_1": 3}


def test_unchanged_statements_are_not_embedded_again(lessons: LessonStore, embedder: object) -> None:
    lessons.put(numbered(1))
    lessons.put(numbered(1, state="retired"))
    lessons.rebuild([(numbered(1), 1)])
    assert embedder.texts == 1  # type: ignore[attr-defined]


def test_a_statement_that_comes_back_has_the_very_same_vector(
    lessons: LessonStore, embedder: object, caplog: pytest.LogCaptureFixture
) -> None:
    lessons.put_all([numbered(1, "First."), numbered(2, "Second.")])
    lessons.put(numbered(1, "Changed."))
    lessons.delete("le_2")
    assert embedder.texts == 3  # type: ignore[attr-defined]
    lessons.put_all([numbered(1, "First."), numbered(2, "Second.")])
    assert embedder.texts == 3  # type: ignore[attr-defined]
    assert lessons.nearest("Second.")[0].similarity > 0.99
    # what cannot be read there is computed again
    lessons.delete("le_2")
    for file in (lessons.folder / "lessons_vectors.lance").rglob("*.lance"):
        file.write_bytes(b"\xa5")
    again = LessonStore(lessons.folder, embedder)  # type: ignore[arg-type]
    again.put(numbered(2, "Second."))
    assert "lessons_vectors.lance" in caplog.text
    assert again.nearest("Second.")[0].lesson.id == "le_2"
    again.delete("le_2")
    again.purge([])
    assert not (lessons.folder / "lessons_vectors.lance").exists()


def test_rebuilding_makes_the_same_table(lessons: LessonStore) -> None:
    kept = [(numbered(number, f"Statement {number}."), number + 1) for number in range(130)]
    lessons.put(numbered(999))
    assert lessons.rebuild(iter(kept)) == 130
    assert lessons.seqs() == {lesson.id: seq for lesson, seq in kept}
    assert lessons.list() == [lesson for lesson, _ in reversed(kept)]


def test_deleting(lessons: LessonStore) -> None:
    lessons.put_all([numbered(1), numbered(2)])
    assert lessons.delete("le_1")
    assert not lessons.delete("le_1")
    assert lessons.ids() == {"le_2"}


@pytest.mark.parametrize("tagged", [False, True])
def test_purging_leaves_nothing_in_any_version(
    lessons: LessonStore, tagged: bool, episode: Callable[..., object]
) -> None:
    for number in range(70):
        lessons.put(numbered(number, f"Statement zimtstern{number} of many."), number + 1)
    table = lessons._table._open()
    if tagged:
        table.tags.create("kept", table.version - 1)
    old = set((lessons.folder / "lessons.lance").rglob("*.lance"))
    aside = lessons.folder / "lessons.damaged-20260101"
    aside.mkdir()
    (aside / "data").write_text("zimtstern7")
    lessons.purge(["le_7", "le_8", "unknown"])
    # every file that could hold a row or its words is new
    assert not old & set((lessons.folder / "lessons.lance").rglob("*.lance"))
    assert not aside.exists()
    assert lessons.count() == 68
    assert len(table.list_versions()) == 1
    assert lessons.get("le_9").statement == "Statement zimtstern9 of many."
    assert lessons.seqs()["le_9"] == 10
    assert [row["id"] for row in lessons._table.match("zimtstern9", 5)] == ["le_9"]
    assert lessons._table.match("zimtstern7", 5) == []
    assert lessons.nearest("Statement zimtstern9 of many.")[0].lesson.id == "le_9"
    # and again, as after a crash
    lessons.purge(["le_7", "le_8"])
    lessons.put(numbered(7))
    assert lessons.count() == 69


def test_purging_what_was_never_made_makes_nothing(lessons: LessonStore) -> None:
    lessons.purge(["le_1"])
    assert not (lessons.folder / "lessons.lance").exists()


def test_a_damaged_table_is_named(lessons: LessonStore, embedder: object) -> None:
    lessons.put(numbered(1))
    for file in (lessons.folder / "lessons.lance" / "data").iterdir():
        file.write_bytes(b"\xa5" * 10)
    again = LessonStore(lessons.folder, embedder)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=r"lessons\.lance cannot be used"):
        again.list()
    assert again.rebuild([(numbered(1), 1)]) == 1
    assert again.get("le_1") == numbered(1)
