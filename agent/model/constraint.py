"""Constrained decoding: what a local model asks of a grammar while it decodes one turn.

The order of calls within a turn, for the model that decodes:

1. `start(logits, look)` once, with the raw next-token logits after the prompt.
2. For each token: `mask(logits)` with the raw logits, `forced`, the choice, `accept(token)`.

`start` and `accept` may answer with tokens that are now the only way on. The model appends them
without sampling, computes them in one forward pass, and flags them `forced`; it does not call `accept`
for them, so the constraint counts them as accepted when it returns them. The end-of-turn token is told
to `accept` (or may be returned as forced) like any other, and nothing is called after it.

Signals are always taken from the raw logits; a constraint never changes what is recorded about the
model's own distribution, only what is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from agent.model.base import GenerateRequest

if TYPE_CHECKING:
    from torch import Tensor


Look = Callable[[Sequence[int]], "Tensor"]
"""What the model would think if these tokens came next: raw logits after each of them, float32, shape
(len(tokens), vocab). Costs one forward pass and leaves the turn as it was."""


class Constraint(Protocol):
    """Restricts decoding token by token; one object for one turn."""

    def start(self, logits: Tensor, look: Look) -> Sequence[int]:
        """Token ids to force before free decoding, often none.

        `logits`: raw next-token logits after the prompt, float32, shape (vocab,), on the model's device;
        vocab is the size of the model's output layer, which may exceed the tokenizer's. Not to be changed.
        `look` may be used here and in `mask`: the tokens given to it come after all that was told to the
        constraint or forced by it so far.
        """

    def mask(self, logits: Tensor) -> Tensor:
        """Logits with every token that is not allowed next at -inf. Same shape as `logits`.

        `logits` is a copy that may be changed in place and returned.
        """

    def accept(self, token_id: int) -> Sequence[int]:
        """Take note of the chosen token; returns tokens that must follow it, often none."""

    @property
    def forced(self) -> bool:
        """Whether the latest `mask` left exactly one token."""


ConstraintFactory = Callable[[GenerateRequest], Constraint | None]
"""Makes the constraint of one turn; None leaves the turn free."""
