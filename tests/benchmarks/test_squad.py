"""Passages night after night, on a learner by rote: what is asked, how it is marked, and that it goes on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner

from agent.calls import Answer, RuntimeCalls
from agent.config import Settings
from agent.errors import LearningError, UsageError
from agent.learning_calls import NightReport, NightRequest
from benchmarks.squad import SquadOptions, SquadSession, f1, holds, normalised, read_passages
from memory.types import Episode, Message, SignalSummary, TokenUsage, Turn
from tui.cli.bench import bench
from tui.cli.output import Cli

AT = datetime(2026, 1, 2, tzinfo=UTC)
FILE = [
    {
        "title": "A",
        "context": "The mill of Oakmere was built in 1821.",
        "questions": [
            {"question": "When was the mill built?", "answer": "1821"},
            {"question": "Where is the mill?", "answer": "Oakmere"},
            {"question": "Where is the mill?", "answer": "in Oakmere"},
        ],
    },
    {
        "title": "B",
        "context": "Greta Holm wrote The Blue Barge.",
        "questions": [{"question": "Who wrote The Blue Barge?", "answer": "Greta Holm"}],
    },
]


class Killed(BaseException):
    """The process is gone."""


class Rote:
    """Answers with whatever passage it has slept over, or stands in the question."""

    def __init__(self, forgets: bool = False, outcome: str = "promoted", calls: int = 10**6) -> None:
        self.forgets = forgets
        self.outcome = outcome
        self.calls = calls
        self.told: list[str] = []
        self.known: list[str] = []
        self.nights: list[str] = []
        self.asked: list[str] = []

    @contextlib.asynccontextmanager
    async def open(self, home: Path, settings: Settings) -> AsyncIterator[RuntimeCalls]:
        assert settings.learning.review == "auto"
        yield cast(RuntimeCalls, self)

    def _call(self) -> None:
        self.calls -= 1
        if self.calls < 0:
            raise Killed

    async def remember(self, text: str) -> str:
        self._call()
        self.told.append(text)
        return f"ep_{len(self.told)}"

    async def episodes(self, limit: int = 50) -> list[Episode]:
        return [
            Episode(
                id=f"ep_{number}",
                kind="note",
                turns=(
                    Turn(
                        user=Message(role="user", content=text, provenance="user"),
                        outcome="success",
                        answer="",
                    ),
                ),
                workspace=None,
                model="fake",
                started_at=AT,
                ended_at=AT,
            )
            for number, text in enumerate(self.told)
        ]

    async def sleep(self, request: NightRequest) -> str:
        self._call()
        if self.outcome == "promoted":
            self.known = self.told[-1:] if self.forgets else list(self.told)
        self.nights.append(f"ni_{len(self.nights)}")
        return self.nights[-1]

    async def report(self, night: str | None = None) -> NightReport:
        if night not in self.nights:
            raise UsageError("There is no such night.")
        return NightReport(
            night=str(night),
            outcome=self.outcome,  # type: ignore[arg-type]
            reason="",
            started_at=AT,
            seconds=7.0,
            stages={},
            learned=("le_1",),
            exam=None,
            adapter=None,
            loss=(),
            tokens={"trained": 10},
            markdown="",
        )

    async def ask_many(self, questions: tuple[str, ...], memory: bool = True) -> list[Answer]:
        self._call()
        assert not memory, "questions are asked closed-book"
        self.asked += questions
        return [self._answer(question) for question in questions]

    def _answer(self, question: str) -> Answer:
        passage = FILE[1]["context"] if "Barge" in question.rpartition("\n")[2] else FILE[0]["context"]
        text = str(passage) if passage in (*self.known, question.partition("\n")[0]) else "I do not know."
        return Answer(answer=text, tokens=TokenUsage(), signals=SignalSummary())


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIGHTSCHOOL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "passages.json"
    path.write_text(json.dumps(FILE))
    return path


def session(data: Path, **options: Any) -> SquadSession:
    return SquadSession(Settings(), SquadOptions(**options), data)


async def test_passages_are_learned_one_after_another(data: Path) -> None:
    rote = Rote()
    result = await session(data).run(lambda line: None, rote.open)
    assert result["R"] == [[0, 0], [1, None], [1, 1]]
    assert (result["accuracy"], result["questions"], result["passages"]) == (1, 3, 2)
    assert (result["forgetting"], result["after_its_own_night"]) == (0, 1)
    assert result["before"]["accuracy"] == 0
    assert result["open_book"]["accuracy"] == 1
    assert 0 < result["F1"] < 1
    assert [night["seconds"] for night in result["nights"]] == [7.0, 7.0]
    json.dumps(result, allow_nan=False)


async def test_one_who_forgets_is_found_out(data: Path) -> None:
    result = await session(data).run(lambda line: None, Rote(forgets=True).open)
    assert result["R"] == [[0, 0], [1, None], [0, 1]]
    assert result["accuracy"] == pytest.approx(1 / 3)
    assert result["forgetting"] == 0.5


async def test_several_passages_may_be_read_in_one_day(data: Path) -> None:
    rote = Rote()
    result = await session(data, per_night=2).run(lambda line: None, rote.open)
    assert len(rote.nights) == 1
    assert result["R"] == [[0, 0], [1, 1]]


async def test_a_run_goes_on_where_it_was_killed(data: Path) -> None:
    whole = await session(data, seed=9).run(lambda line: None, Rote().open)
    rote = Rote(calls=0)
    for _ in range(20):
        rote.calls = 1
        try:
            result = await session(data).run(lambda line: None, rote.open)
            break
        except Killed:
            continue
    assert {**result, "seed": 9} == whole
    assert rote.told == [row["context"] for row in FILE]
    assert len(rote.nights) == 2
    assert len(rote.asked) == 3 + 3 + 2 + 3


async def test_a_broken_night_ends_the_run(data: Path) -> None:
    with pytest.raises(LearningError, match="Night 1"):
        await session(data).run(lambda line: None, Rote(outcome="error").open)


def test_answers_are_compared_as_squad_does() -> None:
    assert normalised("The 24–10, a win!") == ["24", "10", "win"]
    assert holds("It was built in 1821, I think.", ["1821"])
    assert not holds("It was built in 18210.", ["1821"])
    assert not holds("anything", ["the"])
    assert f1("the old mill", ["mill"]) == pytest.approx(2 / 3)
    assert f1("no", ["mill", "no"]) == 1.0
    assert f1("", ["mill"]) == 0.0


@pytest.mark.parametrize("text", ["", "{}", "[]", '[{"title": "A"}]', '[{"context": "x", "questions": [1]}]'])
def test_a_file_that_is_something_else_is_one_sentence(data: Path, text: str) -> None:
    data.write_text(text)
    with pytest.raises(UsageError, match=r"passages\.json"):
        read_passages(data, 5)
    ran = CliRunner().invoke(bench, ["squad", "--data", str(data)], obj=Cli(data.parent / "home"))
    assert isinstance(ran.exception, UsageError)


def test_questions_asked_twice_are_asked_once(data: Path) -> None:
    (first, _) = read_passages(data, 2)
    assert [one.question for one in first.questions] == ["When was the mill built?", "Where is the mill?"]
    assert first.questions[1].answers == ("Oakmere", "in Oakmere")
    assert len(read_passages(data, 1)) == 1
