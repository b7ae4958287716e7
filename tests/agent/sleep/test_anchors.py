"""Anchors: the base model's own answers, asked for once."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.model.base import GenerateRequest
from agent.model.fake import FakeModel
from agent.sleep.anchors import anchor_items

BASE = "a" * 64


class Speaking(FakeModel):
    """Calls a tool where there are tools, else says a sentence, too long for the room given to it."""

    def _next(self, request: GenerateRequest) -> str:
        self.requests.append(request)
        if request.tools:
            return '<tool_call>\n{"name": "list_files", "arguments": {}}\n</tool_call>'
        return "A whole sentence. " + "And a very long one " * (
            40 if "?" in request.messages[-1].content else 1
        )


def test_anchors_are_the_bases_own_answers() -> None:
    model = Speaking()
    items = anchor_items(model, None, BASE, 300, seed=1)
    assert len(items) == 300
    assert model.adapters[0] is None
    assert {item.role for item in items} == {"anchor"}
    assert len({item.id for item in items}) == 300
    tools = [item for item in items if item.tools]
    assert 30 < len(tools) < 100
    assert all(item.answer.startswith("<tool_call>") for item in tools)
    assert all(request.constrain for request in model.requests if request.tools)
    assert all(request.temperature == 0 for request in model.requests)


def test_an_answer_that_was_cut_off_ends_with_a_sentence() -> None:
    items = [item for item in anchor_items(Speaking(), None, BASE, 100, seed=1) if not item.tools]
    cut = [item for item in items if "?" in item.messages[-1].content]
    assert cut
    assert {item.answer for item in cut} == {"A whole sentence."}


def test_half_a_call_is_no_anchor() -> None:
    class Rambling(FakeModel):
        def _next(self, request: GenerateRequest) -> str:
            return '{"name": "write_file", ' + "x " * 400 if request.tools else "Yes."

    items = anchor_items(Rambling(), None, BASE, 300, seed=1)
    assert items
    assert not [item for item in items if item.tools]


def test_a_machine_pays_once(tmp_path: Path) -> None:
    first = anchor_items(Speaking(), tmp_path, BASE, 40, seed=1)
    again = Speaking()
    assert anchor_items(again, tmp_path, BASE, 40, seed=1) == first
    assert again.requests == []
    more = Speaking()
    anchor_items(more, tmp_path, BASE, 60, seed=1)
    assert 0 < len(more.requests) <= 60
    other = Speaking()
    anchor_items(other, tmp_path, "c" * 64, 5, seed=1)
    assert len(other.requests) == 5


@pytest.mark.parametrize("count", [0, 1, 10_000])
def test_as_many_as_there_are(count: int) -> None:
    assert len(anchor_items(Speaking(), None, BASE, count, seed=0)) <= count
