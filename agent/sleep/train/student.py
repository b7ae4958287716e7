"""The model in training: frozen lower layers, adapters on the upper ones, passes over packed conversations.

The residual stream entering layer `first` depends on the base alone, so it is computed once for an item
(`states`); a training pass begins there (`answers`). Which attention and which linear layers are used is
set here; the architecture itself is transformers'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from agent.errors import LearningError
from agent.model.chat import Chat
from agent.model.loading import Quantization
from agent.model.local import LocalModel
from agent.sleep.train.head import Head
from agent.sleep.train.layout import Layout, use_conversations
from agent.sleep.train.linear import ADAPTER, LoraLinear, speed_up


@dataclass(frozen=True)
class Conversation:
    """What a pass needs of one conversation."""

    group: int
    """Which prefix it begins with."""
    states: Tensor
    """(length, size) residual stream entering the first layer that is run."""
    answer: int
    """From how many of its last positions an answer token is predicted."""


class Student:
    """One base model with one trainable adapter."""

    def __init__(
        self,
        base: Path,
        *,
        device: str = "cpu",
        quantization: Quantization = "none",
        threads: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        model = LocalModel.load(
            base,
            base.name,
            device=device,
            dtype=dtype,
            quantization=quantization,
            context_tokens=1 << 20,
            threads=threads,
            pack=False,
        )
        self.network: Any = model.network
        """The transformers model; adapters are put into it."""
        self.chat: Chat = model.chat
        """Prompt format."""
        self.end_token = model.end_tokens[0]
        """Ends a turn."""
        self.context_tokens = model.capabilities.context_tokens
        """Longest prompt plus answer."""
        self.device = next(self.network.parameters()).device
        self.layers = int(self.network.config.num_hidden_layers)
        """Decoder layers."""
        self.peft: Any = None
        """The network with adapters, once there are any."""
        self.first = self.layers
        """First layer with an adapter."""
        self.lora: list[LoraLinear] = []
        """LoRA layers that compute our way."""
        use_conversations(self.network)
        self.head = Head(self.network.lm_head)
        """The output layer."""

    def add_adapter(self, first: int, rank: int, alpha: int, seed: int) -> None:
        """Put a fresh adapter on every linear layer of the decoder layers from `first` on."""
        import peft

        layer = self.network.model.layers[first]
        names = {name.rsplit(".", 1)[-1] for name, module in layer.named_modules() if _is_linear(module)}
        torch.manual_seed(seed)
        self.peft = peft.get_peft_model(
            self.network,
            peft.LoraConfig(
                r=rank,
                lora_alpha=alpha,
                lora_dropout=0.0,
                target_modules=sorted(names),
                layers_to_transform=list(range(first, self.layers)),
                layers_pattern="layers",
                task_type="CAUSAL_LM",
            ),
        )
        self.first = first
        self.lora = speed_up(self.network)

    def parameters(self) -> dict[str, nn.Parameter]:
        """The adapter's trainable tensors by PEFT's names on disk, in a fixed order."""
        mark = f".{ADAPTER}."
        return {
            name.replace(mark, "."): value
            for name, value in self.peft.named_parameters()
            if ".lora_" in name and mark in name
        }

    def load_adapter(self, tensors: Mapping[str, Any], source: Path) -> None:
        """Copy an adapter's tensors into the trainable ones. Raises LearningError when they do not fit."""
        mine = self.parameters()
        shapes = {name: tuple(value.shape) for name, value in mine.items()}
        if shapes != {name: tuple(array.shape) for name, array in tensors.items()}:
            raise LearningError(
                f"The adapter in {source} does not fit {self.network.config.model_type} in this size. "
                "Choose the base model it was trained on, or distil everything into a fresh one."
            )
        with torch.no_grad():
            for name, value in mine.items():
                value.copy_(torch.tensor(tensors[name]))

    def adapter_config(self, base_name: str) -> dict[str, Any]:
        """PEFT's configuration of the adapter, for its file."""
        config: dict[str, Any] = self.peft.peft_config[ADAPTER].to_dict()
        return {**config, "base_model_name_or_path": base_name, "inference_mode": True}

    def embed(self, tokens: Sequence[int]) -> Tensor:
        """(length, size) input embeddings."""
        with torch.no_grad():
            ids = torch.tensor(tokens, dtype=torch.long, device=self.device)
            embedded: Tensor = self.network.model.embed_tokens(ids)
            return embedded

    def run(self, states: Tensor, layout: Layout, first: int, end: int) -> Tensor:
        """Decoder layers `first` to `end` (not included) over packed (length, size) states."""
        hidden = states[None]
        rotary = self.network.model.rotary_emb(hidden, layout.positions)
        for layer in self.network.model.layers[first:end]:
            hidden = layer(
                hidden,
                attention_mask=None,
                position_ids=layout.positions,
                past_key_values=None,
                use_cache=False,
                position_embeddings=rotary,
                layout=layout,
            )
            if isinstance(hidden, tuple):
                hidden = hidden[0]
        return hidden[0]

    def answers(
        self, prefixes: Sequence[Tensor], conversations: Sequence[Conversation], first: int | None = None
    ) -> Tensor:
        """Final hidden states from which answers are predicted, conversation after conversation.

        `prefixes[group]` are the states of the groups' prefixes; a group without conversations is left
        out. Starts at layer `first`, by default the first one with an adapter.
        """
        first = self.first if first is None else first
        layout, states, order = _pack(prefixes, conversations, self.device)
        where = [
            torch.arange(order[index] + len(one.states) - one.answer, order[index] + len(one.states))
            for index, one in enumerate(conversations)
        ]
        hidden = self.run(states, layout, first, self.layers - 1)
        hidden = self._last(hidden, layout, torch.cat(where).to(self.device))
        normed: Tensor = self.network.model.norm(hidden)
        return normed

    def _last(self, states: Tensor, layout: Layout, where: Tensor) -> Tensor:
        """The last decoder layer at some positions: behind its attention nothing looks at the others, so
        most of its work can be left out."""
        layer = self.network.model.layers[-1]
        hidden = states[None]
        attended, _ = layer.self_attn(
            layer.input_layernorm(hidden),
            position_embeddings=self.network.model.rotary_emb(hidden, layout.positions),
            attention_mask=None,
            layout=layout,
        )
        picked = (hidden + attended)[0].index_select(0, where)
        answered: Tensor = picked + layer.mlp(layer.post_attention_layernorm(picked))
        return answered

    @torch.no_grad()
    def states(self, prefix: Tensor, owns: Sequence[Tensor], end: int) -> tuple[Tensor, list[Tensor]]:
        """What enters layer `end`, for a prefix and conversations that begin with it, from embeddings."""
        conversations = [Conversation(0, own, 0) for own in owns]
        layout, states, order = _pack([prefix], conversations, self.device)
        with self.without_adapter():
            hidden = self.run(states, layout, 0, end)
        # copies, so that the packed whole can be freed
        return hidden[: len(prefix)].clone(), [
            hidden[begin : begin + len(own)].clone() for begin, own in zip(order, owns, strict=True)
        ]

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """Compute as the base model."""
        if self.peft is None:
            yield
            return
        with self.peft.disable_adapter():
            yield


def _pack(
    prefixes: Sequence[Tensor], conversations: Sequence[Conversation], device: torch.device
) -> tuple[Layout, Tensor, list[int]]:
    """Layout, packed states, and where each conversation's own tokens begin."""
    members: dict[int, list[int]] = {}
    for index, one in enumerate(conversations):
        members.setdefault(one.group, []).append(index)
    groups = sorted(members)
    layout = Layout(
        [(len(prefixes[g]), [len(conversations[i].states) for i in members[g]]) for g in groups], device
    )
    begins = [0] * len(conversations)
    pieces: list[tuple[int, Tensor]] = []
    for place, group in enumerate(groups):
        pieces.append((layout.prefix_starts[place], prefixes[group]))
        for index, start in zip(members[group], layout.starts[place], strict=True):
            begins[index] = start
            pieces.append((start, conversations[index].states))
    pieces.sort(key=lambda piece: piece[0])
    return layout, torch.cat([states.to(device) for _, states in pieces]), begins


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Linear4bit"
