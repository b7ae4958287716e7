"""The scoring pass: what a model knows by itself, and what reading the lesson changes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import cache_dir
from agent.gate import scored_verdict
from agent.model.base import GenerateRequest
from agent.model.fake import FakeModel
from agent.sleep.scoring import SAMPLES, Asked, disagreement, measure, measure_all, semantic_entropy

QUESTION = "Where does Orlin Vask live?"
LESSON = Asked(statement="Orlin Vask lives in Tarsova.", question=QUESTION, expected="Tarsova")
texts = st.lists(st.text(max_size=60), min_size=1, max_size=6)


def _knows(request: GenerateRequest) -> str:
    """Answers from what stands in the prompt, and guesses another town each time without it."""
    if "Tarsova" in request.messages[-1].context:
        return "Orlin Vask lives in Tarsova."
    return "Orlin Vask lives in Oslo." if request.seed is None else f"He lives in Town{request.seed}."


def test_both_books_are_asked_under_the_serving_prompt() -> None:
    model = FakeModel([_knows] * 7)
    (found,) = measure_all(model, [LESSON])
    assert found.opened == "Orlin Vask lives in Tarsova." and found.closed == "Orlin Vask lives in Oslo."
    assert found.signals.disagreement == 1 and found.signals.semantic_entropy == pytest.approx(math.log(5))
    systems = {request.messages[0].content for request in model.requests}
    assert len(systems) == 1 and "Night School" in systems.pop()
    sampled = [request for request in model.requests if request.temperature > 0]
    assert len(sampled) == SAMPLES == len({request.seed for request in sampled})
    assert all(request.messages[-1].content == QUESTION for request in model.requests)


def test_what_the_model_knows_disagrees_with_nothing() -> None:
    model = FakeModel([lambda request: "Tarsova, of course."] * 7)
    signals = measure(model, LESSON.statement, QUESTION, "Tarsova")
    assert signals.disagreement == 0 and signals.semantic_entropy == 0
    assert signals.max_entropy is not None and signals.surprise is not None


def test_the_same_seed_measures_the_same_whatever_stands_beside_it() -> None:
    alone, beside = FakeModel([_knows] * 7), FakeModel([_knows] * 21)
    other = Asked(statement="Ida plays the oboe.", question="What does Ida play?", expected="oboe")
    third = Asked(statement="Rex is a dog.", question="Who is Rex?", expected="dog")
    first = measure_all(alone, [LESSON], seed=3)[0]
    assert measure_all(beside, [other, LESSON, third], seed=3)[1].samples == first.samples
    assert measure_all(FakeModel([_knows] * 7), [LESSON], seed=4)[0].samples != first.samples


def test_it_can_be_stopped_between_parts() -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done:
            raise Stopped

    with pytest.raises(Stopped):
        measure_all(FakeModel([_knows] * 200), [LESSON] * 20, on_progress=stop)
    assert measure_all(FakeModel(), []) == []


@given(texts)
def test_semantic_entropy_lies_between_none_and_all_different(samples: list[str]) -> None:
    value = semantic_entropy("Where?", samples)
    assert 0 <= value <= math.log(len(samples)) + 1e-9
    assert semantic_entropy("Where?", samples[:1] * 5) == 0


@given(texts, st.text(max_size=60), st.text(max_size=20))
def test_disagreement_is_a_share(samples: list[str], opened: str, expected: str) -> None:
    assert 0 <= disagreement("Where?", samples, opened, expected) <= 1
    assert disagreement("Where?", [opened] * 3, opened, expected) == 0


def test_wording_is_no_disagreement_and_no_entropy() -> None:
    said = ["Orlin Vask lives in Tarsova.", "Tarsova", "He lives in the town of Tarsova."]
    assert disagreement(QUESTION, said, "He lives in Tarsova.", "Tarsova") == 0
    assert semantic_entropy(QUESTION, said) == 0
    assert semantic_entropy(QUESTION, ["In Oslo.", "Orlin Vask lives in Oslo.", "Lima"]) > 0


@pytest.mark.real_model
def test_the_real_model_tells_a_stranger_from_a_capital() -> None:
    from agent.model.local import LocalModel

    folder = cache_dir() / "models" / "qwen2.5-coder-0.5b-instruct"
    if not (folder / "tokenizer.json").is_file():
        pytest.skip("the weights of qwen2.5-coder-0.5b-instruct are not in the cache")
    model = LocalModel.load(folder, folder.name, context_tokens=1024)
    capital = Asked(
        statement="The capital of France is Paris.",
        question="What is the capital of France?",
        expected="Paris",
    )
    stranger, known = (found.signals for found in measure_all(model, [LESSON, capital]))
    assert stranger.context_gain is not None and known.context_gain is not None
    assert stranger.context_gain > known.context_gain
    assert stranger.disagreement == 1 and (known.disagreement or 0) <= 0.4
    assert (stranger.semantic_entropy or 0) > (known.semantic_entropy or 0)
    assert (stranger.mean_entropy or 0) > (known.mean_entropy or 0)
    assert scored_verdict(stranger).kind == "write"
    assert scored_verdict(known).kind == "remember"
