"""Passes over cached states and shared beginnings compute what the plain model computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from agent.sleep.train.encode import Encoded, Encoder
from agent.sleep.train.linear import LoraLinear
from agent.sleep.train.prepare import Preparer
from agent.sleep.train.student import Student
from tests.agent.sleep.conftest import TOOL, facts, item

FIRST = 2


@pytest.fixture
def student(small_base: Path) -> Student:
    made = Student(small_base, dtype=torch.float32)
    made.add_adapter(FIRST, rank=4, alpha=8, seed=1)
    with torch.no_grad():
        for name, value in made.parameters().items():
            if ".lora_B." in name:
                value.normal_(std=0.3)
    return made


def _encoded(student: Student) -> list[Encoded]:
    encoder = Encoder(student.chat, student.end_token, 4096)
    long = item("long", "Tell me of the fox. " * 9, "the quick brown fox reads the file", role="anchor")
    call = item("call", "Read notes.txt", '{"name": "read_file"}', tools=(TOOL,))
    encoded = [encoder.encode(one) for one in [*facts(2), long, call]]
    return [one for one in encoded if one is not None]


def _plain(student: Student, one: Encoded) -> Tensor:
    """Logits at the answer, by transformers and PEFT, one conversation at a time."""
    ids = torch.tensor([[*one.prefix, *one.inputs]])
    hidden = student.network.model.embed_tokens(ids)
    length = ids.shape[1]
    rotary = student.network.model.rotary_emb(hidden, torch.arange(length)[None])
    mask = torch.zeros(length, length).masked_fill(torch.ones(length, length).triu(1).bool(), -torch.inf)
    for layer in student.network.model.layers:
        hidden = layer(hidden, attention_mask=mask[None, None], position_embeddings=rotary)
    logits: Tensor = student.network.lm_head(student.network.model.norm(hidden))[0, -one.answer :]
    return logits


def _use_plain_layers(student: Student) -> None:
    for layer in student.lora:
        layer.__class__ = LoraLinear.__base__
    student.network.set_attn_implementation("eager")


def test_system_turn_is_shared_and_prompts_are_served_ones(student: Student) -> None:
    encoded = _encoded(student)
    assert len({one.prefix for one in encoded}) == 2
    for one in encoded:
        prompt = student.chat.prompt(one.item.messages, one.item.tools)
        answer = [*student.chat.answer(one.item.answer, after=prompt), student.end_token]
        assert [*one.prefix, *one.own] == [*prompt, *answer]
        assert list(one.labels) == answer
    assert all(len(one.prefix) > 10 for one in encoded)


def test_upper_layers_on_cached_states_equal_the_whole_model(student: Student, tmp_path: Path) -> None:
    encoded = _encoded(student)
    preparer = Preparer(student, 8, with_teacher=True, folder=tmp_path)
    prepared = preparer.prepare(encoded)
    # another order than they were prepared in
    prepared = [*prepared[::-1]]
    hidden = student.answers(preparer.prefixes, [one.conversation for one in prepared])
    logits = student.network.lm_head(hidden)
    torch.autograd.backward((logits.sin() * 0.1).sum())
    ours = {
        name: value.grad.clone() for name, value in student.parameters().items() if value.grad is not None
    }
    student.peft.zero_grad()

    _use_plain_layers(student)
    expected = torch.cat([_plain(student, one.encoded) for one in prepared])
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    torch.autograd.backward((expected.sin() * 0.1).sum())
    assert len(ours) == len(student.parameters()) == 2 * 2 * 7
    for name, value in student.parameters().items():
        torch.testing.assert_close(ours[name], value.grad, rtol=1e-3, atol=1e-4, msg=name)


def test_teacher_is_the_base_with_context(student: Student, tmp_path: Path) -> None:
    encoded = _encoded(student)
    prepared = Preparer(student, 8, with_teacher=True, folder=tmp_path).prepare(encoded)
    _use_plain_layers(student)
    with torch.no_grad(), student.without_adapter():
        for one in prepared:
            source = one.encoded
            if source.item.role == "anchor":
                logits = _plain(student, source)
            elif source.with_context is None:
                assert one.top_ids is None
                continue
            else:
                helped = Encoded(source.item, source.prefix, source.with_context, source.answer, None)
                logits = _plain(student, helped)
            assert one.top_logprobs is not None
            expected = logits.log_softmax(-1).topk(8).values
            torch.testing.assert_close(one.top_logprobs, expected, rtol=1e-4, atol=1e-4)


def test_prepared_items_come_back_from_disk_to_the_bit(student: Student, tmp_path: Path) -> None:
    encoded = _encoded(student)
    first = Preparer(student, 8, with_teacher=True, folder=tmp_path)
    made = first.prepare(encoded)
    again = Preparer(student, 8, with_teacher=True, folder=tmp_path)
    read = again.prepare(encoded)
    assert again.teacher_tokens == 0 < first.teacher_tokens
    for one, other in zip(made, read, strict=True):
        assert torch.equal(one.conversation.states, other.conversation.states)
        assert (one.top_ids is None) == (other.top_ids is None)
    assert all(map(torch.equal, first.prefixes, again.prefixes))
