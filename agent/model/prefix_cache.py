"""Keys and values of the latest conversations, kept so that a next prompt computes only what is new.

A `Sequence` is a list of tokens and what the model computed for each. `PrefixCache` lends one sequence
at a time, cut to the longest prefix it shares with the prompt, and takes it back with whatever was
computed since, finished or not. Sequences of different adapters never meet: the key says which weights
made them. Imports torch; to be imported only where a model is used.
"""

from __future__ import annotations

from collections.abc import Sequence as Tokens
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

# Room grows by this many positions at least, so that decoding does not copy the cache at every token.
_ROOM = 256
# A prefix shorter than this is computed again rather than copied out of another conversation.
_WORTH_COPYING = 16
# So few tokens lost in place are cheaper than a second copy of the conversation.
_WORTH_CUTTING = 64


class GrowingLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's keys and values in a buffer with room to spare, shape (batch, heads, room, head size).

    The stock dynamic layer copies everything at every token; this one writes in place, and cutting it
    is setting a length.
    """

    is_sliding = False
    is_croppable = True

    def __init__(self) -> None:
        super().__init__()
        self.length = 0
        """Positions in use."""

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take type and device from the first states; no room yet."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = key_states[:, :, :0]
        self.values = value_states[:, :, :0]
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append and return everything so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[-2]
        if end > self.keys.shape[-2]:
            self._grow(end)
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def _grow(self, needed: int) -> None:
        room = max(needed + _ROOM, self.length * 5 // 4)
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_empty((old.shape[0], old.shape[1], room, old.shape[3]))
            new[:, :, : self.length] = old[:, :, : self.length]
            setattr(self, name, new)

    def get_seq_length(self) -> int:
        """Positions in use."""
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Keys that `query_length` new positions will see, and the offset of the first."""
        return self.length + query_length, 0

    def get_max_length(self) -> int:
        """No limit."""
        return -1

    def get_max_cache_shape(self) -> int:
        """No limit (an older name)."""
        return -1


class Sequence:
    """Tokens and their keys and values. Only for the thread that runs the model."""

    def __init__(self, layers: int, key: str = "") -> None:
        self.tokens: list[int] = []
        """What has been computed, oldest first."""
        self.key = key
        """Which weights computed it."""
        self.cache = Cache(layers=[GrowingLayer() for _ in range(layers)])
        """What the model is given as past keys and values."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return sum(
            layer.keys.nbytes + layer.values.nbytes for layer in self.cache.layers if layer.is_initialized
        )

    def cut(self, length: int) -> None:
        """Forget everything after the first `length` tokens, and what an aborted pass left behind."""
        del self.tokens[length:]
        for layer in self.cache.layers:
            layer.length = min(layer.length, length)

    def copy(self, length: int) -> Sequence:
        """A sequence of its own with the first `length` tokens."""
        twin = Sequence(len(self.cache.layers), self.key)
        twin.tokens = self.tokens[:length]
        with torch.no_grad():
            for mine, theirs in zip(self.cache.layers, twin.cache.layers, strict=True):
                theirs.update(mine.keys[:, :, :length], mine.values[:, :, :length])
        return twin

    def repeated(self, rows: int) -> Sequence:
        """A sequence of its own with the same tokens in each of `rows` rows."""
        twin = Sequence(len(self.cache.layers), self.key)
        twin.tokens = list(self.tokens)
        with torch.no_grad():
            for mine, theirs in zip(self.cache.layers, twin.cache.layers, strict=True):
                if mine.length:
                    keys, values = mine.keys[:, :, : mine.length], mine.values[:, :, : mine.length]
                    theirs.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1))
        return twin


class PrefixCache:
    """The latest few sequences, least recently used first; bounded in number and memory."""

    def __init__(self, layers: int, *, sequences: int = 3, max_bytes: int = 1 << 30) -> None:
        self._layers = layers
        self._sequences = sequences
        self._max_bytes = max_bytes
        self._kept: list[Sequence] = []

    def take(self, key: str, prompt: Tokens[int]) -> Sequence:
        """A sequence that is a true prefix of `prompt` (at least its last token is left to compute).

        It is the caller's until `put`. A conversation that would lose a long tail is copied from, not cut.
        """
        best, shared = None, 0
        for kept in self._kept:
            common = shared_prefix(kept.tokens, prompt) if kept.key == key else 0
            if common > shared:
                best, shared = kept, common
        shared = min(shared, len(prompt) - 1)
        if best is None or shared < _WORTH_COPYING:
            return Sequence(self._layers, key)
        if len(best) - shared <= _WORTH_CUTTING:
            self._kept.remove(best)
            best.cut(shared)
            return best
        return best.copy(shared)

    def put(self, sequence: Sequence) -> None:
        """Take back a sequence; the oldest ones go when there are too many or they are too large."""
        sequence.cut(len(sequence))
        if not len(sequence):
            return
        self._kept.append(sequence)
        while len(self._kept) > 1 and (
            len(self._kept) > self._sequences or sum(kept.nbytes for kept in self._kept) > self._max_bytes
        ):
            del self._kept[0]

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return sum(kept.nbytes for kept in self._kept)


def shared_prefix(left: Tokens[int], right: Tokens[int]) -> int:
    """Length of the longest common prefix."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))
