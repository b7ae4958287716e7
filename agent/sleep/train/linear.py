"""A linear layer with LoRA whose two passes take no more than their products need.

PEFT's own layer keeps activations in float32 for the adapter and lets autograd record every cast and sum.
Here the adapter's factors are float32 parameters, the products run in the activations' type, and the
backward pass is written out: dx = dy W + s (dy B) A, dA = s (dy B)^T x, dB = s dy^T (x A^T).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from peft.tuners.lora import Linear as PeftLinear
from torch import Tensor, nn

ADAPTER = "default"


class LoraLinear(PeftLinear):  # type: ignore[misc]
    """PEFT's LoRA layer, computed our way; for training one adapter without dropout."""

    observer: Any = None
    """When set, told (layer, x, dy) in every backward pass."""

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """x W^T + bias + s (x A^T) B^T."""
        base = self.base_layer
        if self.disable_adapters:
            return nn.functional.linear(x, base.weight, base.bias)
        a, b = self.lora_A[ADAPTER].weight, self.lora_B[ADAPTER].weight
        product: Tensor = _Product.apply(  # type: ignore[no-untyped-call]
            x, base.weight, base.bias, a, b, float(self.scaling[ADAPTER]), self
        )
        return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scale: float,
        layer: Any,
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        a, b = a.to(x.dtype), (b * scale).to(x.dtype)
        low = rows @ a.t()
        y = nn.functional.linear(rows, weight, bias).addmm_(low, b.t())
        ctx.save_for_backward(rows, low, weight, a, b)
        ctx.scale, ctx.layer = scale, layer
        return y.view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        rows, low, weight, a, b = ctx.saved_tensors
        shape = (*dy.shape[:-1], rows.shape[-1])
        dy = dy.reshape(-1, dy.shape[-1])
        if ctx.layer.observer is not None:
            ctx.layer.observer(ctx.layer, rows, dy)
        dlow = dy @ b
        dx = (dy @ weight).addmm_(dlow, a).view(shape) if ctx.needs_input_grad[0] else None
        return dx, None, None, (dlow.t() @ rows).float(), (dy.t() @ low).float() * ctx.scale, None, None


def speed_up(network: nn.Module) -> list[LoraLinear]:
    """Have every LoRA layer over a plain linear layer compute our way; returns them, in order."""
    found: list[LoraLinear] = []
    for layer in network.modules():
        if type(layer) is PeftLinear and isinstance(layer.base_layer, nn.Linear):
            layer.__class__ = LoraLinear
            found.append(cast(LoraLinear, layer))
    return found
