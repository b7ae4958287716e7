"""Jobs side by side: what they wait for is asked together, in an order that follows from them alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ModelError
from agent.model.base import GenerateRequest, Model, TurnEnd
from agent.model.fake import FakeModel
from agent.sleep.side_by_side import side_by_side
from memory.types import Message


class Counting(FakeModel):
    """Says back what it is told, and keeps what came together."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []

    def generate_batch(self, requests: Sequence[GenerateRequest]) -> list[TurnEnd]:
        texts = [request.messages[-1].content for request in requests]
        self.batches.append(texts)
        if "bad" in texts:
            raise ModelError("This one cannot be answered.")
        self.script = [f"<{text}>" for text in texts]
        return super().generate_batch(requests)


def ask(*texts: str) -> list[GenerateRequest]:
    return [
        GenerateRequest(messages=(Message(role="user", content=text, provenance="user"),), max_tokens=4)
        for text in texts
    ]


def job(name: str, rounds: Sequence[int], pause: float = 0.0) -> Callable[[Model], list[str]]:
    def run(model: Model) -> list[str]:
        said = []
        for turn, count in enumerate(rounds):
            time.sleep(pause)
            texts = [f"{name}.{turn}.{number}" for number in range(count)]
            said += [end.text for end in model.generate_batch(ask(*texts))]
        return said

    return run


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=5))
def test_each_gets_its_own_answers_in_batches_that_do_not_depend_on_the_threads(
    plan: list[list[int]],
) -> None:
    models = [Counting(), Counting()]
    for model, pauses in zip(models, (0.0, 0.001), strict=True):
        jobs = [job(str(n), rounds, pauses * (n % 2)) for n, rounds in enumerate(plan)]
        assert side_by_side(model, jobs) == [
            [f"<{n}.{turn}.{k}>" for turn, count in enumerate(rounds) for k in range(count)]
            for n, rounds in enumerate(plan)
        ]
    assert models[0].batches == models[1].batches
    assert len(models[0].batches) == max((sum(map(bool, rounds)) for rounds in plan), default=0)


def test_an_error_reaches_every_job_that_waited_for_it_and_then_the_caller() -> None:
    heard: list[str] = []

    def fails(model: Model) -> None:
        model.generate_batch(ask("bad"))

    def waits(model: Model) -> None:
        try:
            model.generate_batch(ask("good"))
        except ModelError:
            heard.append("good")
            raise

    with pytest.raises(ModelError, match="cannot be answered"):
        side_by_side(Counting(), [fails, waits, job("later", [0])])
    assert heard == ["good"]


def test_a_job_may_not_change_who_answers() -> None:
    with pytest.raises(ModelError, match="before jobs are run"):
        side_by_side(Counting(), [lambda model: model.activate(None)])
