"""Choosing a token from logits: greedy, or temperature and nucleus with a seeded generator."""

from __future__ import annotations

import torch
from torch import Tensor

from agent.model.base import GenerateRequest

# Nearly every nucleus lies within so many tokens; putting a whole vocabulary in order takes as long as
# decoding the token.
_LIKELIEST = 256


class Sampler:
    """Chooses the tokens of one turn."""

    def __init__(self, request: GenerateRequest, device: torch.device) -> None:
        self._temperature = request.temperature
        self._top_p = request.top_p
        self._generator: torch.Generator | None = None
        if request.temperature > 0:
            self._generator = torch.Generator(device)
            if request.seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(request.seed)

    @property
    def greedy(self) -> bool:
        """Whether it always takes the likeliest token."""
        return self._generator is None

    def choose(self, logits: Tensor) -> int:
        """A token id from float32 logits of shape (vocab,); -inf is never chosen."""
        if self._generator is None:
            return int(logits.argmax())
        probabilities = torch.softmax(logits / self._temperature, dim=-1)
        if self._top_p < 1.0:
            # Holtzman et al., 2020: the fewest tokens whose probabilities reach top_p.
            ordered, order = probabilities.topk(min(_LIKELIEST, len(probabilities)))
            if float(ordered.sum()) < self._top_p:
                ordered, order = probabilities.sort(descending=True)
            before = ordered.cumsum(dim=-1) - ordered
            ordered[before >= self._top_p] = 0.0
            return int(order[torch.multinomial(ordered, 1, generator=self._generator)])
        return int(torch.multinomial(probabilities, 1, generator=self._generator))
