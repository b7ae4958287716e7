"""Faster linear layers on the CPU: weights laid out once the way oneDNN wants them.

The stock layer lets oneDNN rearrange or stride through the weight at every call. Packed once, the same
product reads memory about 1.6 times as fast (2 cores with AVX512-BF16: 12.4 instead of 19.3 ms for the
151,936 x 896 output layer), with results identical to the bit. It costs a second copy of the weights,
so it is left out when memory is short, and it never serves a pass that needs gradients.
"""

from __future__ import annotations

from typing import Any

import psutil
import torch
from torch import Tensor, nn

# Rows of input the layout is made for: few, as in decoding; long inputs lose nothing by it (measured).
_ROWS = 4
# What must stay free of memory after packing.
_SPARE_BYTES = 2 << 30


class PackedLinear(nn.Linear):
    """A linear layer with a packed second copy of its weight for inference."""

    packed: Tensor | None = None

    def forward(self, input: Tensor) -> Tensor:
        """As nn.Linear, from the packed copy unless gradients are recorded."""
        if self.packed is None or torch.is_grad_enabled() or input.dtype != self.weight.dtype:
            return nn.functional.linear(input, self.weight, self.bias)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.packed, self.bias, "none", [], "")
        return product


def can_pack() -> bool:
    """Whether this torch and this processor have what packing needs."""
    if not torch._C._has_mkldnn:
        return False
    operators: Any = torch.ops.mkldnn
    needed = ("_is_mkldnn_bf16_supported", "_reorder_linear_weight", "_linear_pointwise")
    return all(hasattr(operators, name) for name in needed) and bool(operators._is_mkldnn_bf16_supported())


def pack_linears(model: nn.Module) -> int:
    """Pack every bfloat16 linear layer on the CPU; returns how many, 0 when it cannot be done here.

    The weights must not change afterwards.
    """
    layers = [
        layer
        for layer in model.modules()
        if type(layer) is nn.Linear
        and layer.weight.dtype == torch.bfloat16
        and layer.weight.device.type == "cpu"
    ]
    needed = sum(layer.weight.nbytes for layer in layers)
    if not layers or not can_pack() or psutil.virtual_memory().available < needed + _SPARE_BYTES:
        return 0
    with torch.inference_mode():
        for layer in layers:
            packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), _ROWS)
            layer.__class__ = PackedLinear
            # Not a buffer: it must not travel with the state dict, whose digest is of the true weights.
            object.__setattr__(layer, "packed", packed)
    return len(layers)
