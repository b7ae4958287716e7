"""The optimiser, its learning rate over a run, and what holds the adapter to its start."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from agent.sleep.items import TrainJob
from agent.sleep.train.ewc import Fisher
from agent.sleep.train.state import Standing

# Steps until the Fisher penalty's weight is set, to this share of the loss: before, nothing has moved.
_EWC_AFTER = 5
_EWC_SHARE = 0.1
_LOWEST = 0.1
_WARM_STEPS = 10


def make_optimizer(
    parameters: Sequence[nn.Parameter], device: torch.device, job: TrainJob
) -> torch.optim.Optimizer:
    """AdamW without weight decay; its state in 8 bits beside an NF4 base."""
    rate = job.settings.learning_rate
    if device.type == "cuda" and job.quantization == "nf4":
        import bitsandbytes

        eight_bit: torch.optim.Optimizer = bitsandbytes.optim.AdamW8bit(parameters, lr=rate, weight_decay=0.0)
        return eight_bit
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0, foreach=True)


def rate(job: TrainJob, standing: Standing, steps: int) -> float:
    """Learning rate of the next step of a pass of `steps`: a short linear warm-up, then a cosine to a
    tenth, by whichever budget is used up most."""
    done = (standing.turn + standing.position / steps) / job.settings.passes
    if job.max_tokens:
        done = max(done, standing.tokens / job.max_tokens)
    if job.max_seconds:
        done = max(done, standing.train_seconds / job.max_seconds)
    warm = min(1.0, (standing.step + 1) / max(2, min(_WARM_STEPS, steps // 2)))
    cosine = _LOWEST + (1 - _LOWEST) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return job.settings.learning_rate * standing.rate * warm * cosine


def hold_by_distance(
    parameters: Mapping[str, nn.Parameter], start: Mapping[str, Tensor], weight: float
) -> None:
    """Add the gradient of weight * squared distance from the start."""
    with torch.no_grad():
        for name, value in parameters.items():
            if value.grad is not None:
                value.grad.add_(value - start[name], alpha=2 * weight)


def hold_by_fisher(fisher: Fisher, standing: Standing, loss: float) -> None:
    """Add the gradient of the Fisher penalty, weighted so that it begins near a tenth of the loss."""
    penalty = fisher.penalty()
    if not standing.ewc and standing.step >= _EWC_AFTER and penalty > 0:
        standing.ewc = _EWC_SHARE * loss / float(penalty.detach())
    if standing.ewc:
        torch.autograd.backward(standing.ewc * penalty)
