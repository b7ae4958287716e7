"""Log-probabilities of given answers, many at once.

The output layer is the largest matrix of a small model, so it is applied only where an answer stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from agent.model.base import Score

# Tokens of one pass, padding included: enough to keep two cores busy, little enough for their memory.
_PASS_TOKENS = 4096
_PASS_ROWS = 32
# Positions whose float32 logits exist at once: 128 x 151,936 x 4 bytes is 78 MB.
_POSITIONS = 128


def score_together(
    network: Any, pairs: Sequence[tuple[list[int], list[int]]], device: torch.device
) -> list[Score]:
    """Scores of (prompt, answer) token lists, in their order.

    Padded on the right: under a causal mask no real token ever sees the padding.
    """
    scores: list[Score | None] = [None] * len(pairs)
    for rows in _passes([len(prompt) + len(answer) for prompt, answer in pairs]):
        width = max(len(pairs[row][0]) + len(pairs[row][1]) for row in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        for line, row in enumerate(rows):
            both = [*pairs[row][0], *pairs[row][1]]
            ids[line, : len(both)] = torch.tensor(both)
        with torch.inference_mode():
            hidden = network.model(input_ids=ids.to(device), use_cache=False).last_hidden_state
            for line, row in enumerate(rows):
                prompt, answer = pairs[row]
                # What follows position i is predicted at position i.
                where = slice(len(prompt) - 1, len(prompt) + len(answer) - 1)
                scores[row] = Score(
                    token_ids=tuple(answer),
                    logprobs=tuple(_logprobs(network.lm_head, hidden[line, where], answer)),
                )
    return [score for score in scores if score is not None]


def _logprobs(output_layer: Any, hidden: Tensor, answer: list[int]) -> list[float]:
    found: list[float] = []
    for start in range(0, len(answer), _POSITIONS):
        logits = output_layer(hidden[start : start + _POSITIONS]).float()
        chosen = torch.tensor(answer[start : start + _POSITIONS], device=logits.device)
        picked = logits.gather(1, chosen[:, None])[:, 0] - torch.logsumexp(logits, dim=-1)
        found.extend(min(0.0, value) for value in picked.tolist())
    return found


def _passes(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group indexes of similar length, so that little padding is computed."""
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if group and (len(group) >= _PASS_ROWS or (len(group) + 1) * lengths[index] > _PASS_TOKENS):
            yield group
            group = []
        group.append(index)
    if group:
        yield group
