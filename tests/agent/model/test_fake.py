"""The scripted model behaves like a local one where that can be seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.errors import ModelError
from agent.model.base import GenerateRequest, ScoreRequest, TokenDelta, TurnEnd
from agent.model.fake import FakeModel
from memory.types import Message

Say = Callable[..., Message]


def play(model: FakeModel, *messages: Message, **fields: int) -> tuple[str, TurnEnd]:
    deltas = list(model.stream(GenerateRequest(messages=messages, **fields)))
    return "".join(d.text for d in deltas if isinstance(d, TokenDelta)), deltas[-1]


def test_plays_texts_functions_and_errors_in_order(say: Say) -> None:
    model = FakeModel(["one\n two ", lambda request: request.messages[-1].content.upper(), ModelError("no")])
    text, end = play(model, say("user", "hi"))
    assert text == end.text == "one\n two "
    assert play(model, say("user", "hi"))[0] == "HI"
    with pytest.raises(ModelError, match="no"):
        play(model, say("user", "hi"))
    with pytest.raises(ModelError, match="script is over"):
        play(model, say("user", "hi"))
    assert len(model.requests) == 4


def test_usage_counts_what_a_prefix_cache_would_save(say: Say) -> None:
    model = FakeModel(["one two", "three", "four"])
    start = (say("system", "be brief"), say("user", "hi there"))
    _, first = play(model, *start)
    assert first.usage.prefilled == first.usage.prompt == model.count_tokens(start)
    following = (*start, say("assistant", "one two"), say("tool", "done"))
    _, second = play(model, *following)
    assert second.usage.prefilled == second.usage.prompt - first.usage.prompt - first.usage.generated
    model.activate(None)
    _, third = play(model, *following)
    assert third.usage.prefilled == third.usage.prompt


def test_limits(say: Say) -> None:
    model = FakeModel(["one two three"], context_tokens=8)
    assert play(model, say("user", "hi"), max_tokens=2)[1].finish_reason == "length"
    model.script.append("x")
    with pytest.raises(ModelError, match="8"):
        play(model, say("user", "a b c d e f g h i j"))


def test_scores_every_word_and_the_end(say: Say) -> None:
    score = FakeModel().score([ScoreRequest(messages=(say("user", "hi"),), completion="one two")])[0]
    assert len(score.token_ids) == len(score.logprobs) == 3
    assert max(score.logprobs) <= 0
