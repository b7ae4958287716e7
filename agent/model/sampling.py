"""Choosing a token from logits: greedy, or temperature and nucleus with a seeded generator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agent.model.base import GenerateRequest
from agent.model.tokens import Tokens

# Nearly every nucleus lies within so many tokens; putting a whole vocabulary in order takes as long as
# decoding the token.
_LIKELIEST = 256


class Sampler:
    """Chooses the tokens of one turn."""

    def __init__(self, request: GenerateRequest, device: torch.device, tokens: Tokens) -> None:
        self._avoided = torch.tensor(_beginnings(request.avoid, tokens), dtype=torch.long, device=device)
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
        return self._generator is None and not len(self._avoided)

    def choose(self, logits: Tensor) -> int:
        """A token id from float32 logits of shape (vocab,); -inf is never chosen."""
        if len(self._avoided):
            logits = logits.index_fill(0, self._avoided, -torch.inf)
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


def _beginnings(words: Sequence[str], tokens: Tokens) -> list[int]:
    """First tokens of the words as they may be written: after a blank or not, with a capital or not."""
    spelled = [form for word in words for form in (word, word.lower(), word[:1].upper() + word[1:])]
    return sorted({tokens.encode(begin + form)[0] for form in spelled for begin in ("", " ") if form})
