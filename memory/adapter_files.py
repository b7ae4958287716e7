"""The two files of a PEFT adapter folder, read without torch: their digest, and whether they are sound.

The digest names what an adapter computes, not how it is stored: it covers the canonical tensors as float32
and the scaling, so that the same digest can be taken of the weights a model holds in memory.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memory.errors import AdapterError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def canonical_name(name: str) -> str:
    """PEFT's name of a tensor without what depends on how it was wrapped.

    `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` becomes
    `model.layers.0.self_attn.q_proj.lora_A`.
    """
    return name.removeprefix(_PREFIX).removesuffix(".weight")


def canonical_digest(tensors: Mapping[str, NDArray[Any]], scaling: float) -> str:
    """SHA-256 over the tensors, sorted by canonical name: name, shape, float32 little-endian values in
    C order; then the scaling. `tensors` may have PEFT's names or canonical ones."""
    import numpy as np

    digest = hashlib.sha256()
    for name, tensor in sorted((canonical_name(name), tensor) for name, tensor in tensors.items()):
        shape = ",".join(str(size) for size in tensor.shape)
        digest.update(f"{name}({shape})\n".encode())
        digest.update(np.ascontiguousarray(tensor, dtype="<f4").tobytes())
    digest.update(struct.pack("<d", scaling))
    return digest.hexdigest()


def adapter_digest(folder: Path) -> str:
    """`canonical_digest` of a PEFT LoRA folder. Raises AdapterError when it is damaged."""
    config = read_config(folder)
    return canonical_digest(read_tensors(folder), scaling_of(config, folder))


def check_adapter(folder: Path) -> None:
    """Raise AdapterError unless the folder holds a whole, finite LoRA adapter."""
    import numpy as np

    config = read_config(folder)
    scaling_of(config, folder)
    tensors = {canonical_name(name): tensor for name, tensor in read_tensors(folder).items()}
    if not any(name.endswith((".lora_A", ".lora_embedding_A")) for name in tensors):
        raise damaged(folder, "there is no LoRA tensor in it")
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise damaged(folder, f"{name} holds values that are no numbers")
        if name.endswith(".lora_A"):
            other = tensors.get(name.removesuffix("A") + "B")
            if other is None:
                raise damaged(folder, f"{name} has no lora_B")
            if tensor.ndim == other.ndim == 2 and not tensor.shape[0] == other.shape[1] == config["r"]:
                raise damaged(folder, f"{name} is not of rank {config['r']}")


def read_config(folder: Path) -> dict[str, Any]:
    """The adapter's configuration. Raises AdapterError."""
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except OSError as error:
        raise missing(folder, CONFIG, error) from error
    except ValueError as error:
        raise damaged(folder, f"{CONFIG} is no JSON") from error
    if not isinstance(config, dict):
        raise damaged(folder, f"{CONFIG} holds no settings")
    return config


def read_tensors(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Every tensor as float32, by PEFT's name. Raises AdapterError."""
    import numpy as np
    import safetensors

    try:
        content = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise missing(folder, WEIGHTS, error) from error
    tensors: dict[str, NDArray[np.float32]] = {}
    try:
        for name, found in safetensors.deserialize(content):  # type: ignore[no-untyped-call]
            values = np.frombuffer(found["data"], dtype=_TYPES[found["dtype"]])
            if found["dtype"] == "BF16":
                # bfloat16 is the upper half of a float32
                values = (values.astype("<u4") << 16).view("<f4")
            tensors[name] = values.astype("<f4").reshape(found["shape"])
    except KeyError as error:
        raise damaged(folder, f"{WEIGHTS} holds values of type {error.args[0]}") from error
    except (safetensors.SafetensorError, ValueError) as error:
        raise damaged(folder, f"{WEIGHTS} is cut off or garbled") from error
    return tensors


def scaling_of(config: Mapping[str, Any], folder: Path) -> float:
    """What the product of the factors is multiplied by: alpha / r, or alpha / sqrt(r) for rsLoRA
    (Kalajdzievski 2023). Raises AdapterError where it is not the same for every layer."""
    try:
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
        if rank <= 0 or config.get("peft_type") != "LORA":
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(folder, f"{CONFIG} does not describe a LoRA adapter") from error
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        raise AdapterError(
            f"Adapter {folder} has layers of different rank or scaling, which Night School does not make. "
            "Use one with the same rank everywhere."
        )
    return alpha / rank**0.5 if config.get("use_rslora") else alpha / rank


def missing(folder: Path, name: str, error: OSError) -> AdapterError:
    """The error for a file that cannot be read."""
    return AdapterError(
        f"Adapter {folder} is incomplete: {name}: {(error.strerror or str(error)).lower()}. "
        "Choose another one with `nightschool adapters activate`."
    )


def damaged(folder: Path, fact: str) -> AdapterError:
    """The error for files that are there and wrong."""
    return AdapterError(
        f"Adapter {folder} is damaged: {fact}. Choose another one with `nightschool adapters activate`."
    )
