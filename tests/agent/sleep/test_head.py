"""The written-out losses and gradients equal what autograd makes of their definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from agent.sleep.train.head import Head, Targets


def _targets(count: int, vocabulary: int, top: int) -> Targets:
    teacher = (torch.randn(count, vocabulary) * 3).log_softmax(-1)
    best = teacher.topk(top)
    return Targets(
        labels=torch.randint(vocabulary, (count,)),
        ce_weight=torch.rand(count),
        kl_weight=torch.rand(count),
        top_ids=best.indices,
        top_logprobs=best.values,
    )


def _defined(logits: Tensor, targets: Targets) -> Tensor:
    log_q = logits.log_softmax(-1)
    ce = -log_q.gather(1, targets.labels[:, None])[:, 0]
    p = targets.top_logprobs.exp()
    top = log_q.gather(1, targets.top_ids)
    rest_p, rest_q = 1 - p.sum(-1), 1 - top.exp().sum(-1)
    kl = (p * (targets.top_logprobs - top)).sum(-1) + rest_p * (rest_p / rest_q).log()
    return (targets.ce_weight * ce + targets.kl_weight * kl).sum()


@pytest.mark.parametrize("top", [1, 5])
def test_gradient_is_that_of_the_definition(top: int) -> None:
    torch.manual_seed(3)
    # more rows than fit one chunk
    layer = nn.Linear(12, 40, bias=False).requires_grad_(False)
    hidden = torch.randn(300, 12, requires_grad=True)
    targets = _targets(300, 40, top)
    losses = Head(layer).losses(hidden, targets)
    torch.autograd.backward(losses.loss * 2)
    ours = hidden.grad
    hidden.grad = None
    expected = _defined(layer(hidden), targets)
    torch.autograd.backward(expected * 2)
    torch.testing.assert_close(losses.loss, expected)
    torch.testing.assert_close(ours, hidden.grad, rtol=1e-4, atol=1e-5)
    assert (losses.kl >= -1e-5).all()


def test_kl_to_itself_is_nothing() -> None:
    layer = nn.Linear(8, 30, bias=False).requires_grad_(False)
    hidden = torch.randn(4, 8, requires_grad=True)
    head = Head(layer)
    with torch.no_grad():
        ids, logprobs = head.top(hidden, 6)
    targets = Targets(torch.zeros(4, dtype=torch.long), torch.zeros(4), torch.ones(4), ids, logprobs)
    losses = head.losses(hidden, targets)
    torch.autograd.backward(losses.loss)
    assert float(losses.loss.detach()) == pytest.approx(0, abs=1e-5)
    assert hidden.grad is not None and float(hidden.grad.abs().max()) < 1e-5


def test_known_tokens_are_left_out_of_cross_entropy_where_allowed() -> None:
    layer = nn.Linear(4, 4, bias=False).requires_grad_(False)
    layer.weight.copy_(torch.eye(4) * 10)
    hidden = torch.eye(4, requires_grad=True)
    targets = Targets(
        labels=torch.arange(4),
        ce_weight=torch.ones(4),
        kl_weight=torch.zeros(4),
        top_ids=torch.zeros((4, 1), dtype=torch.long),
        top_logprobs=torch.zeros((4, 1)),
        known=0.5,
        maskable=torch.tensor([True, True, False, True]),
    )
    losses = Head(layer).losses(hidden, targets)
    assert (losses.logprobs.exp() > 0.9).all()
    torch.autograd.backward(losses.loss)
    assert hidden.grad is not None
    assert (hidden.grad.abs().sum(-1) > 0).tolist() == [False, False, True, False]
