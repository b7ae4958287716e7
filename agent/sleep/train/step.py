"""One optimiser step's loss and gradients, within the memory there is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agent.errors import LearningError
from agent.sleep.items import TrainSettings
from agent.sleep.train.head import Losses, Targets
from agent.sleep.train.prepare import Prepared
from agent.sleep.train.recipe import Recipe
from agent.sleep.train.student import Student


@dataclass(frozen=True)
class Seen:
    """One item after a pass over it."""

    prepared: Prepared
    """The item."""
    probability: float
    """Lowest over its answer tokens."""
    divergence: float
    """Highest KL(teacher || student) over its answer positions, nats; 0 without a teacher."""


class Objective:
    """Loss of a step: the mean over the answer tokens that are to be learned of a*CE + (1-a)*KL, plus the
    weighted mean over the anchors' tokens of KL."""

    def __init__(
        self, student: Student, prefixes: Sequence[Tensor], settings: TrainSettings, recipe: Recipe
    ) -> None:
        self._student = student
        self._prefixes = prefixes
        self._settings = settings
        self._recipe = recipe

    def gradients(self, step: Sequence[Prepared], splits: int) -> tuple[float, list[Seen]]:
        """Add the step's gradients; the step is passed in so many parts. Returns loss and what was seen."""
        total, seen = 0.0, list[Seen]()
        # what shares a prefix stays together
        ordered = sorted(step, key=lambda one: one.conversation.group)
        for part in chunks(ordered, math.ceil(len(ordered) / splits)):
            losses = self._part(part, step)
            total += float(losses.loss.detach())
            seen.extend(_see(part, losses.logprobs, losses.kl))
        return total, seen

    def _part(self, part: Sequence[Prepared], step: Sequence[Prepared]) -> Losses:
        hidden = self._student.answers(self._prefixes, [one.conversation for one in part])
        losses = self._student.head.losses(hidden, self._targets(part, step))
        torch.autograd.backward(losses.loss)
        return losses

    @torch.no_grad()
    def look(self, items: Sequence[Prepared]) -> Iterator[Seen]:
        """The answers' probabilities, without gradients."""
        for part in chunks(items, 4 * self._settings.batch_items):
            hidden = self._student.answers(self._prefixes, [one.conversation for one in part])
            if any(one.encoded.item.role == "unteach" for one in part):
                losses = self._student.head.losses(hidden, self._targets(part, part))
                yield from _see(part, losses.logprobs, losses.kl)
            else:
                labels = torch.cat([one.labels for one in part]).to(self._student.device)
                logprobs = self._student.head.logprobs(hidden, labels)
                yield from _see(part, logprobs, torch.zeros_like(logprobs))

    def _targets(self, part: Sequence[Prepared], step: Sequence[Prepared]) -> Targets:
        """What the answers of `part` are to become, weighted by what the whole `step` holds."""
        learned = sum(len(one.labels) for one in step if one.encoded.item.role != "anchor")
        anchored = sum(len(one.labels) for one in step if one.encoded.item.role == "anchor")
        columns: list[tuple[Tensor, ...]] = []
        for one in part:
            item, count = one.encoded.item, len(one.labels)
            ids, logprobs = one.top_ids, one.top_logprobs
            if ids is None or logprobs is None:
                top = self._settings.teacher_top
                ids, logprobs = torch.zeros((count, top), dtype=torch.long), torch.zeros((count, top))
                a = torch.ones(count)
            elif item.role in ("anchor", "unteach"):
                a = torch.zeros(count)
            else:
                # Where the teacher would say something else, it is no teacher.
                a = torch.where(ids[:, 0] == one.labels, self._recipe.ce_share, 1.0)
            each = self._settings.anchor_weight / anchored if item.role == "anchor" else 1 / learned
            mask = self._recipe.early_stop and item.role in ("new", "unknown")
            columns.append(
                (
                    one.labels,
                    a * (each * item.weight),
                    (1 - a) * (each * item.weight),
                    ids,
                    logprobs,
                    torch.full((count,), mask),
                )
            )
        device = self._student.device
        labels, ce_weight, kl_weight, ids, logprobs, maskable = (
            torch.cat(column).to(device) for column in zip(*columns, strict=True)
        )
        return Targets(labels, ce_weight, kl_weight, ids, logprobs, self._settings.stop_probability, maskable)


def fitting(
    action: Callable[[int], tuple[float, list[Seen]]], splits: int, most: int, reset: Callable[[], None]
) -> tuple[float, list[Seen], int]:
    """`action(splits)`, with twice the splits each time memory runs out; also returns the splits used.

    Raises LearningError when `most` are not enough.
    """
    while True:
        reset()
        try:
            return *action(splits), splits
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
        if splits >= most:
            reset()
            raise LearningError(
                "Training on one item alone needs more memory than there is. Close other programs, or choose "
                "a smaller model."
            )
        splits *= 2


def _see(part: Sequence[Prepared], logprobs: Tensor, kl: Tensor) -> Iterator[Seen]:
    counts = [len(one.labels) for one in part]
    for one, own, far in zip(part, torch.split(logprobs, counts), torch.split(kl, counts), strict=True):
        yield Seen(one, math.exp(float(own.min())), float(far.max()))


def chunks(items: Sequence[Prepared], size: int) -> list[list[Prepared]]:
    """Stretches of at most `size` items."""
    return [list(items[begin : begin + size]) for begin in range(0, len(items), size)]


def _out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in text for words in ("not enough memory", "out of memory", "can't allocate memory")
    )
