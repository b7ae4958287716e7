"""Which adapter serves: PEFT adapters put into a loaded network, switched, and taken out of service.

Adapters stay in float32 over a bfloat16 base; PEFT casts between the two. Each is known by the digest
of its files, so the same path with other contents is another adapter, and the same contents keep
their cached keys and values.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from agent.errors import ModelError

# Adapters kept in memory besides the serving one: an exam goes back and forth between two.
_LOADED = 3


class Adapters:
    """The adapters of one network."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._peft: Any = None
        self._loaded: list[str] = []
        self.key = ""
        """Digest of the serving adapter, empty for the base model."""

    def activate(self, folder: Path | None) -> None:
        """Serve with this adapter, or with the base alone. On an error the serving one stays.

        Raises ModelError.
        """
        if folder is None:
            if self._peft is not None:
                self._peft.base_model.disable_adapter_layers()
            self.key = ""
            return
        key = folder_digest(folder)
        if key not in self._loaded:
            self._load(folder, key)
        self._peft.base_model.enable_adapter_layers()
        self._peft.set_adapter(key)
        self._peft.requires_grad_(False)
        self._network.eval()
        self._loaded.remove(key)
        self._loaded.append(key)
        self.key = key
        while len(self._loaded) > _LOADED:
            self._peft.delete_adapter(self._loaded.pop(0))

    def served_digest(self) -> str:
        """`canonical_digest` of the tensors that serve, read from the network's own layers; empty for the
        base model. Raises ModelError when the layers do not agree on what serves."""
        from peft.tuners.tuners_utils import BaseTunerLayer
        from peft.utils import get_peft_model_state_dict

        from memory.adapter_files import canonical_digest

        layers = [layer for layer in self._network.modules() if isinstance(layer, BaseTunerLayer)]
        serving = {tuple(() if layer.disable_adapters else layer.active_adapters) for layer in layers}
        merged = any(layer.merged for layer in layers)
        if merged or serving - ({(self.key,)} if self.key else {()}):
            raise ModelError("The model's layers serve with different adapters. Start Night School again.")
        if not self.key:
            return ""
        scalings = {layer.scaling[self.key] for layer in layers if self.key in layer.scaling}
        if len(scalings) != 1:
            raise ModelError("The serving adapter's layers have different scalings, which nothing can prove.")
        tensors = get_peft_model_state_dict(self._peft, adapter_name=self.key, save_embedding_layers=False)
        values = {name: tensor.float().cpu().numpy() for name, tensor in tensors.items()}
        return canonical_digest(values, float(scalings.pop()))

    def _load(self, folder: Path, key: str) -> None:
        import peft
        from safetensors import SafetensorError

        try:
            if self._peft is None:
                self._peft = peft.PeftModel.from_pretrained(
                    self._network, folder, adapter_name=key, is_trainable=False
                )
            else:
                self._peft.load_adapter(folder, adapter_name=key, is_trainable=False)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            self._drop(key)
            first_line = str(error).splitlines()[0] if str(error) else repr(error)
            raise ModelError(f"Adapter {folder} does not fit this model: {first_line}") from error
        self._loaded.append(key)

    def _drop(self, key: str) -> None:
        """Take out what a failed load left in the network."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        for layer in self._network.modules():
            if isinstance(layer, BaseTunerLayer):
                layer.delete_adapter(key)
                if not self.key:
                    layer.enable_adapters(False)
        if self._peft is not None:
            self._peft.peft_config.pop(key, None)


def folder_digest(folder: Path) -> str:
    """Digest of an adapter folder's files. Raises ModelError when it holds no adapter."""
    digest = hashlib.sha256()
    try:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            digest.update((folder / name).read_bytes())
    except OSError as error:
        raise ModelError(
            f"{folder} is no adapter: {error.strerror} ({error.filename}). "
            "It needs adapter_config.json and adapter_model.safetensors."
        ) from error
    return digest.hexdigest()[:32]
