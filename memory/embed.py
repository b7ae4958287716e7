"""Sentence embeddings: what puts texts of like meaning near each other.

`MiniLmEmbedder` computes them here, from files on disk; nothing is fetched. torch and transformers load
with the first text, not before.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from memory.errors import StoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIMENSIONS = 384
"""Length of every vector in the tables."""


class Embedder(Protocol):
    """Turns texts into vectors."""

    @property
    def name(self) -> str:
        """Catalogue name; vectors of different names are never compared."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row a text, shape (len(texts), dimensions), each of length 1 (L2)."""


class MiniLmEmbedder:
    """all-MiniLM-L6-v2: BERT, mean over the tokens that are no padding, normalised.

    Reads the first 256 tokens of a text, as the model was published with
    (https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2). Safe to use from several threads.
    """

    name = "all-minilm-l6-v2"
    dimensions = DIMENSIONS
    max_tokens = 256
    # 256 tokens never need more text than this, and tokenizing a megabyte takes a second
    _max_chars = 8_192
    _batch = 32

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One normalised row a text. Raises StoreError when the model's files are missing or damaged."""
        import numpy as np
        import torch

        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        if not texts:
            return rows
        with self._lock:
            tokenizer, model = self._load()
            encoded = tokenizer.encode_batch([text[: self._max_chars] for text in texts])
            # texts of like length together: padding costs as much as words
            order = sorted(range(len(texts)), key=lambda index: len(encoded[index].ids))
            for start in range(0, len(order), self._batch):
                chosen = order[start : start + self._batch]
                longest = len(encoded[chosen[-1]].ids)
                ids = torch.zeros(len(chosen), longest, dtype=torch.long)
                mask = torch.zeros(len(chosen), longest, dtype=torch.long)
                for row, index in enumerate(chosen):
                    length = len(encoded[index].ids)
                    ids[row, :length] = torch.tensor(encoded[index].ids)
                    mask[row, :length] = 1
                with torch.inference_mode():
                    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
                    weights = mask.unsqueeze(-1).to(hidden.dtype)
                    mean = (hidden * weights).sum(1) / weights.sum(1)
                    rows[chosen] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return rows

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            try:
                from safetensors.torch import load_file
                from tokenizers import Tokenizer
                from transformers import BertConfig, BertModel

                tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
                tokenizer.no_padding()
                tokenizer.enable_truncation(self.max_tokens)
                # built by hand, because from_pretrained prints a progress bar and a report
                model = BertModel(BertConfig.from_json_file(self._folder / "config.json"))
                weights = load_file(self._folder / "model.safetensors")
                weights.pop("embeddings.position_ids", None)
                model.load_state_dict(weights)
            # tokenizers raises plain Exception for a file it cannot read
            except Exception as error:
                # torch lists every weight of a file that does not fit
                fact = (str(error).strip() or repr(error)).splitlines()[0].rstrip(".: ")
                raise StoreError(
                    f"Cannot load the sentence embedder from {self._folder}: {fact}. "
                    f"Fetch it again with `nightschool model pull {self.name}`."
                ) from error
            self._loaded = tokenizer, model.eval()
        return self._loaded
