"""Generating many turns together: one pass decodes one token of each.

What all prompts of a group begin with (a system prompt, the tools, worked examples) is computed once, shared,
and kept for the next batch that begins so; the rest is padded on the left, so that all prompts end at the
same position. Prompts are grouped by what they begin with, by length, and by how much memory their keys and
values will take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from agent.errors import ModelError
from agent.model.base import GenerateRequest, TurnEnd
from agent.model.circles import finish_reason, goes_in_circles
from agent.model.prefix_cache import Sequence as Computed
from agent.model.prefix_cache import shared_prefix
from agent.model.sampling import Sampler
from agent.model.signals import Distribution
from agent.model.tokens import TextStream
from memory.types import SignalSummary, TokenSignal, TokenUsage

if TYPE_CHECKING:
    from agent.model.local import LocalModel

# Decoding one token of 48 rows takes twice as long as of 16 (0.5B, two cores).
_ROWS = 48
# Positions of all rows together, prompts and answers: 12 KB each with the 0.5B model, 28 KB with 1.5B.
_POSITIONS = 32_768
# A shared beginning shorter than this is cheaper computed in every row than copied into all.
_WORTH_SHARING = 64
_CHUNK = 512

Fitted = tuple[list[int], int]
"""A prompt's tokens and how many may be decoded after it."""


def generate_together(
    model: LocalModel, requests: Sequence[GenerateRequest], fitted: Sequence[Fitted]
) -> list[TurnEnd]:
    """Turns for requests whose prompts fit, in their order."""
    ends: list[TurnEnd | None] = [None] * len(requests)
    for rows in _groups(fitted):
        turns = [_Row(model, requests[row], *fitted[row]) for row in rows]
        _run(model, turns)
        for row, turn in zip(rows, turns, strict=True):
            ends[row] = turn.end()
    return [end for end in ends if end is not None]


def _run(model: LocalModel, rows: list[_Row]) -> None:
    device = next(model.network.parameters()).device
    shared = _shared(rows)
    width = max(len(row.prompt) for row in rows)
    room = width + max(row.limit for row in rows)
    mask = torch.zeros((len(rows), room), dtype=torch.long, device=device)
    mask[:, :shared] = 1
    ids = torch.zeros((len(rows), width - shared), dtype=torch.long, device=device)
    for line, row in enumerate(rows):
        rest = row.prompt[shared:]
        ids[line, width - shared - len(rest) :] = torch.tensor(rest, device=device)
        mask[line, width - len(rest) : width] = 1
    mask[:, width:] = 1
    positions = (mask[:, :width].cumsum(dim=-1) - 1).clamp(min=0)[:, shared:]
    computed = _computed(model, rows[0].prompt[:shared]).repeated(len(rows))
    seen = width
    with torch.inference_mode():
        while True:
            output = model.network(
                input_ids=ids,
                attention_mask=mask[:, :seen],
                position_ids=positions,
                past_key_values=computed.cache,
                use_cache=True,
                logits_to_keep=1,
            )
            logits = output.logits[:, -1].float()
            distribution = Distribution(logits)
            for line, row in enumerate(rows):
                row.choose(logits[line], distribution, line)
            if all(row.over for row in rows):
                return
            ids = torch.tensor([[row.latest] for row in rows], device=device)
            positions = positions[:, -1:] + 1
            seen += 1


def _shared(rows: list[_Row]) -> int:
    """How many tokens all prompts begin with; 0 where sharing them gains nothing."""
    first = rows[0].prompt
    # at least one token of each prompt is left to compute
    length = min(min(shared_prefix(first, row.prompt), len(row.prompt) - 1) for row in rows)
    return length if length >= _WORTH_SHARING else 0


def _computed(model: LocalModel, prefix: list[int]) -> Computed:
    """The prefix computed, as far as an earlier batch has not done so; not to be changed."""
    if not prefix:
        return Computed(int(model.network.config.num_hidden_layers))
    computed = model.prefixes.take(model.adapter_key, prefix)
    for start in range(len(computed), len(prefix), _CHUNK):
        model.forward(computed, prefix[start : start + _CHUNK])
    model.prefixes.put(computed)
    return computed


class _Row:
    """One turn of a batch."""

    def __init__(self, model: LocalModel, request: GenerateRequest, prompt: list[int], limit: int) -> None:
        self.prompt = prompt
        self.limit = limit
        self.latest = 0
        """The token to compute next; anything once the turn is over."""
        self.over = False
        self._model = model
        self._sampler = Sampler(request, next(model.network.parameters()).device, model.tokens)
        self._text = TextStream(model.tokens)
        self._pieces: list[str] = []
        self._signals: list[TokenSignal] = []
        self._chosen: list[int] = []
        self._stopped = False
        self._in_circles = False

    def choose(self, logits: torch.Tensor, distribution: Distribution, line: int) -> None:
        """Take the next token, unless the turn is over."""
        if self.over:
            return
        if not distribution.finite(line):
            raise ModelError(
                f"The model {self._model.name} computes no numbers. Its weights are damaged: run "
                "`nightschool model verify`."
            )
        token = distribution.best(line) if self._sampler.greedy else self._sampler.choose(logits)
        text = self._text.push(token)
        self._pieces.append(text)
        self._signals.append(distribution.signal(token, text, row=line))
        self.latest = token
        self._chosen.append(token)
        self._stopped = token in self._model.end_tokens
        self._in_circles = goes_in_circles(self._chosen)
        self.over = self._stopped or self._in_circles or len(self._pieces) >= self.limit

    def end(self) -> TurnEnd:
        """The finished turn."""
        return TurnEnd(
            text="".join(self._pieces),
            finish_reason=finish_reason(self._stopped, self._in_circles),
            usage=TokenUsage(
                prompt=len(self.prompt), prefilled=len(self.prompt), generated=len(self._pieces)
            ),
            signals=SignalSummary.of(self._signals),
        )


def _groups(fitted: Sequence[Fitted]) -> Iterator[list[int]]:
    """Indexes of the prompts that are decoded together."""
    for alike in _alike([prompt for prompt, _ in fitted]):
        group: list[int] = []
        longest = 0
        for index in sorted(alike, key=lambda i: len(fitted[i][0])):
            prompt, limit = fitted[index]
            longest = max(longest, len(prompt) + limit)
            if group and (len(group) >= _ROWS or (len(group) + 1) * longest > _POSITIONS):
                yield group
                group, longest = [], len(prompt) + limit
            group.append(index)
        if group:
            yield group


def _alike(prompts: Sequence[list[int]]) -> Iterator[list[int]]:
    """Prompts with a long beginning in common by themselves; all others together."""
    order = sorted(range(len(prompts)), key=prompts.__getitem__)
    shares = [shared_prefix(prompts[one], prompts[other]) >= _WORTH_SHARING for one, other in pairwise(order)]
    apart: list[int] = []
    run: list[int] = []
    for place, index in enumerate(order):
        run.append(index)
        if place < len(shares) and shares[place]:
            continue
        if len(run) > 1:
            yield run
        else:
            apart += run
        run = []
    if apart:
        yield apart
