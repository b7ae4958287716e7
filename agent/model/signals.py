"""Uncertainty of one decoding step, from the raw logits.

Shannon entropy over the whole output layer and the top-2 margin, as in `memory.types.TokenSignal`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memory.types import TokenSignal

if TYPE_CHECKING:
    from torch import Tensor


class Distribution:
    """Figures of a batch of next-token distributions that do not depend on which tokens are chosen."""

    def __init__(self, logits: Tensor) -> None:
        """`logits`: raw, float32, shape (batch, vocab)."""
        import torch

        self._logits = logits
        self._top = torch.topk(logits, 2, dim=-1)
        self._log_total = torch.logsumexp(logits, dim=-1)
        weights = torch.exp(logits - self._log_total[:, None])
        # H = logsumexp(z) - sum(p z); the product is taken about the largest logit so that it stays exact
        # where all the mass lies on one token.
        centre = self._top.values[:, :1]
        mean = (weights * (logits - centre)).sum(dim=-1)
        entropy = (self._log_total - centre[:, 0] - mean).clamp(min=0.0)
        best = torch.exp(self._top.values - self._log_total[:, None])
        self._figures = torch.stack([self._log_total, entropy, best[:, 0] - best[:, 1]], dim=1).tolist()

    def best(self, row: int = 0) -> int:
        """The likeliest token."""
        return int(self._top.indices[row, 0])

    def finite(self, row: int = 0) -> bool:
        """Whether the distribution is one: damaged weights give logits that are no numbers."""
        return bool(self._figures[row][1] == self._figures[row][1])

    def signal(self, token_id: int, text: str, forced: bool = False, row: int = 0) -> TokenSignal:
        """The signal of choosing `token_id` here."""
        log_total, entropy, margin = self._figures[row]
        return TokenSignal(
            token_id=token_id,
            text=text,
            logprob=min(0.0, float(self._logits[row, token_id]) - log_total),
            entropy=entropy,
            margin=max(0.0, margin),
            forced=forced,
        )
