"""Elastic weight consolidation on the effective update, as a baseline.

The penalty is on BA, not on A and B apart: at B = 0 the Fisher information of A is zero. Kirkpatrick et
al. (2017) with a diagonal Fisher of the effective weight W + s BA, which is taken to be a product of an
output and an input factor, F_oi = E[dy_o^2] E[x_i^2]. Then the penalty sum F_oi (s BA - s B'A')_oi^2 needs
only matrices of the rank's size: with U = s[B, -B'] and V = [A; A'] it is the sum of the elementwise product
of U^T diag(E dy^2) U and V diag(E x^2) V^T.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agent.sleep.train.linear import ADAPTER, LoraLinear


class Fisher:
    """Collects the Fisher factors while old items are passed through, then penalises leaving them."""

    def __init__(self, layers: list[LoraLinear]) -> None:
        self._layers = layers
        self._inputs: dict[LoraLinear, Tensor] = {}
        self._outputs: dict[LoraLinear, Tensor] = {}
        self._start = {layer: (_a(layer).detach().clone(), _b(layer).detach().clone()) for layer in layers}

    def collect(self, on: bool) -> None:
        """Begin or end to watch backward passes."""
        for layer in self._layers:
            layer.observer = self._observe if on else None

    def _observe(self, layer: LoraLinear, x: Tensor, dy: Tensor) -> None:
        for store, values in ((self._inputs, x), (self._outputs, dy)):
            squares = values.float().square().sum(dim=0)
            store[layer] = store[layer] + squares if layer in store else squares

    def penalty(self) -> Tensor:
        """Sum over all layers; a scalar with gradient."""
        total = torch.zeros(())
        for layer in self._layers:
            if layer not in self._inputs:
                continue
            old_a, old_b = self._start[layer]
            scale = float(layer.scaling[ADAPTER])
            u = torch.cat([_b(layer), -old_b], dim=1) * scale
            v = torch.cat([_a(layer), old_a], dim=0)
            outer = (u * self._outputs[layer][:, None]).t() @ u
            inner = (v * self._inputs[layer]) @ v.t()
            total = total.to(u.device) + (outer * inner).sum()
        return total


def _a(layer: LoraLinear) -> Tensor:
    weight: Tensor = layer.lora_A[ADAPTER].weight
    return weight


def _b(layer: LoraLinear) -> Tensor:
    weight: Tensor = layer.lora_B[ADAPTER].weight
    return weight
