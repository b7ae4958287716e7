"""Many conversations as one sequence without padding, in which shared beginnings stand once.

Linear layers, norms and rotary embeddings see all tokens of a step as one long row; only attention knows
where one conversation ends and another begins. Each begins with its group's prefix, whose keys and values
are computed once and seen by all, so gradients flow into them from all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

NAME = "conversations"
# Rows of one padded attention call differ in length by no more than this factor.
_UNEVEN = 1.5
# Attention scores of one call that are few enough to be held: 8 MB in bfloat16.
_FEW_SCORES = 4 << 20


@dataclass(frozen=True)
class _Rows:
    """Conversations of similar length that attend together."""

    where: Tensor
    """(rows, width) positions in the packed sequence; padding repeats position of the row's start."""
    real: Tensor
    """Flat indexes into (rows, width) of what is not padding."""
    mask: Tensor
    """(1, 1, width, prefix + width), True where a query sees a key."""


@dataclass(frozen=True)
class _Group:
    start: int
    """Where its prefix begins."""
    prefix: int
    """Tokens of the prefix."""
    rows: tuple[_Rows, ...]


class Layout:
    """Where everything stands in a packed sequence: for each group its prefix, then its conversations.

    `groups` gives for each group the length of its prefix and of its conversations. Conversations are
    sorted by length inside a group; `starts` has the place of each in the order they were given.
    """

    def __init__(self, groups: Sequence[tuple[int, Sequence[int]]], device: torch.device) -> None:
        self.starts: list[list[int]] = []
        """Of every conversation, group by group: the position of its first own token."""
        self.prefix_starts: list[int] = []
        """Of every group."""
        positions: list[Tensor] = []
        made: list[_Group] = []
        at = 0
        for prefix, lengths in groups:
            self.prefix_starts.append(at)
            positions.append(torch.arange(prefix))
            begin, at = at, at + prefix
            starts = [0] * len(lengths)
            rows: list[_Rows] = []
            for bucket in _buckets(lengths):
                width = max(lengths[index] for index in bucket)
                where = torch.zeros((len(bucket), width), dtype=torch.long)
                real: list[Tensor] = []
                for line, index in enumerate(bucket):
                    length = lengths[index]
                    starts[index] = at
                    where[line] = at
                    where[line, :length] = torch.arange(at, at + length)
                    real.append(torch.arange(length) + line * width)
                    positions.append(torch.arange(prefix, prefix + length))
                    at += length
                own = torch.ones((width, width), dtype=torch.bool).tril()
                seen = torch.cat([torch.ones((width, prefix), dtype=torch.bool), own], dim=1)
                rows.append(_Rows(where.to(device), torch.cat(real).to(device), seen[None, None].to(device)))
            self.starts.append(starts)
            made.append(_Group(begin, prefix, tuple(rows)))
        self.length = at
        """Tokens in all."""
        self.positions = torch.cat(positions)[None].to(device)
        """(1, length) position of each token in its conversation."""
        self._groups = made

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """Attention of every token over its prefix and its own conversation so far.

        `query` (1, heads, length, size), `key` and `value` (1, key heads, length, size); returns
        (1, length, heads, size).
        """
        heads, key_heads = query.shape[1], key.shape[1]
        # token first, so that a conversation is a stretch of memory
        q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
        parts: list[Tensor] = []
        for group in self._groups:
            head = slice(group.start, group.start + group.prefix)
            first_k, first_v = (tensor[head].transpose(0, 1)[None] for tensor in (k, v))
            if group.prefix:
                first_q = q[head].transpose(0, 1)[None]
                attended = nn.functional.scaled_dot_product_attention(
                    first_q,
                    first_k.repeat_interleave(heads // key_heads, dim=1),
                    first_v.repeat_interleave(heads // key_heads, dim=1),
                    is_causal=True,
                    scale=scaling,
                )
                parts.append(attended[0].transpose(0, 1))
            for rows in group.rows:
                count, width = rows.where.shape
                q_rows, k_rows, v_rows = (
                    tensor.index_select(0, rows.where.view(-1))
                    .view(count, width, tensor.shape[1], -1)
                    .transpose(1, 2)
                    for tensor in (q, k, v)
                )
                if group.prefix:
                    k_rows = torch.cat([first_k.expand(count, -1, -1, -1), k_rows], dim=2)
                    v_rows = torch.cat([first_v.expand(count, -1, -1, -1), v_rows], dim=2)
                attended = _grouped(q_rows, k_rows, v_rows, rows.mask, scaling)
                flat = attended.transpose(1, 2).reshape(count * width, heads, -1)
                parts.append(flat.index_select(0, rows.real))
        return torch.cat(parts)[None]


def _grouped(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float | None) -> Tensor:
    """Attention in which the query heads of one key head are further rows of it.

    With gradients, short rows take two plain products, which together are three times as fast here as the
    fused kernel and its backward pass; long ones take the kernel, which never holds all scores.
    """
    batch, heads, length, size = query.shape
    key_heads, keys = key.shape[1], key.shape[2]
    groups = heads // key_heads
    rows = query.reshape(batch, key_heads, groups * length, size)
    if torch.is_grad_enabled() and batch * heads * length * keys <= _FEW_SCORES:
        scale = size**-0.5 if scaling is None else scaling
        scores = (rows * scale) @ key.transpose(2, 3)
        unseen = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, -torch.inf)
        weights = (scores.view(batch, heads, length, keys) + unseen).softmax(dim=-1)
        output = weights.view(scores.shape) @ value
    else:
        output = nn.functional.scaled_dot_product_attention(
            rows, key, value, attn_mask=mask.repeat(1, 1, groups, 1), scale=scaling
        )
    return output.reshape(batch, heads, length, size)


def _buckets(lengths: Sequence[int]) -> list[list[int]]:
    """Indexes by rising length, cut where a row would be mostly padding."""
    buckets: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if buckets and lengths[index] <= lengths[buckets[-1][0]] * _UNEVEN + 8:
            buckets[-1].append(index)
        else:
            buckets.append([index])
    return buckets


def use_conversations(network: Any) -> None:
    """Have a transformers model attend by the layout it is given."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    network.set_attn_implementation(NAME)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    layout: Layout | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    assert layout is not None
    return layout.attend(query, key, value, scaling), None
