"""How near texts are to each other in meaning, each embedded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memory.embed import Embedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Nearness:
    """Cosines for one question. Not for several threads at a time."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, NDArray[np.float32]] = {}

    def __call__(self, text: str, others: Sequence[str]) -> list[float]:
        """Cosine between a text and each of the others. Raises StoreError."""
        new = [each for each in dict.fromkeys([text, *others]) if each not in self._known]
        self._known |= dict(zip(new, self._embedder.embed(new), strict=True))
        return [float(self._known[text] @ self._known[other]) for other in others]
