"""From a folder of safetensors to a transformers model ready for inference.

Never reaches the network. Imports torch; to be imported only where a model is used.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import torch

from agent.errors import ModelError
from agent.model.attention import use_grouped_attention
from agent.model.offline import go_offline
from agent.model.packing import can_pack, pack_linears

Quantization = Literal["none", "nf4"]

# peft asks transformers for what it calls by a newer name; nothing a user could do about it
warnings.filterwarnings("ignore", message=r".*is_gradient_checkpointing.*")
warnings.filterwarnings("ignore", message=r".*Already found a `peft_config` attribute.*")


def choose_device(wanted: str) -> torch.device:
    """`auto` or a device's name to a device. Raises ModelError when it is not there."""
    if wanted == "auto":
        wanted = (
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    device = torch.device(wanted)
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, True):
        raise ModelError(
            f"There is no {device.type} device here. Set model.device to `cpu` or `auto`, "
            "or install a torch build for it."
        )
    return device


def choose_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes with it, else float32 (slower emulation would gain nothing)."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and not can_pack():
        return torch.float32
    return torch.bfloat16


def load_network(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    quantization: Quantization = "none",
    pack: bool = True,
) -> Any:
    """The causal language model in `folder`, in evaluation mode. Raises ModelError."""
    go_offline()
    import transformers
    from safetensors import SafetensorError

    transformers.utils.logging.disable_progress_bar()
    if not (folder / "config.json").is_file():
        raise ModelError(f"There is no model in {folder}. Run `nightschool model pull`.")
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": "sdpa", "local_files_only": True}
    if quantization == "nf4":
        if device.type != "cuda":
            raise ModelError("4-bit weights need a CUDA device. Set model.quantization to `none`.")
        options["device_map"] = {"": device}
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    try:
        network = transformers.AutoModelForCausalLM.from_pretrained(folder, **options)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        first_line = str(error).splitlines()[0] if str(error) else repr(error)
        raise ModelError(f"Cannot load {folder}: {first_line} Run `nightschool model verify`.") from error
    except SafetensorError as error:
        raise ModelError(
            f"The weights in {folder} are damaged: {error}. Run `nightschool model verify`."
        ) from error
    if quantization == "none":
        network = network.to(device)
    network.requires_grad_(False)
    network.eval()
    if device.type == "cpu":
        use_grouped_attention(network)
        if pack:
            pack_linears(network)
    return network


def load_tokenizer(folder: Path) -> Any:
    """The transformers tokenizer in `folder` (for its chat template). Raises ModelError."""
    go_offline()
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"Cannot load the tokenizer in {folder}: {error}. Run `nightschool model verify`."
        ) from error
