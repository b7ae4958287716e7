"""A Qwen GGUF file, turned once into the folder transformers maps into memory in a second.

Writes bf16 safetensors, configuration, tokenizer and chat template. Works in slices, so it needs about
650 MB of memory whatever the size of the model (most of that is the vocabulary, as `gguf` reads it).
Knows Qwen2, Qwen2.5 and Qwen3 (dense); says so when a file holds anything else. It promises nothing about
interruption: callers convert into a folder that nobody reads yet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import ModelError
from agent.model.gguf_tokenizer import write_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFReader
    from gguf.gguf_reader import ReaderTensor

_TOP = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_ARCHITECTURES = {"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}

_SLICE_VALUES = 4 * 1024 * 1024
"""Values dequantised at a time: 16 MiB as float32, and a few copies of it on the way."""

Progress = Callable[[int, int], None]
"""Called with bytes written and bytes in all."""


def convert(source: Path, folder: Path, on_progress: Progress = lambda done, total: None) -> None:
    """Write the model in the GGUF file `source` into the existing `folder`.

    Raises ModelError when the file is not a GGUF file, is cut short, or holds another kind of model.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(source)
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise ModelError(f"{source} is not a whole GGUF file ({error}). Fetch it again.") from error
    metadata = {key: _value(reader, key) for key in reader.fields}
    architecture = metadata.get("general.architecture")
    if architecture not in _ARCHITECTURES:
        raise ModelError(
            f"{source} holds a model of the kind {architecture!r}. Choose a Qwen2, 2.5 or 3 model."
        )
    if metadata.get(f"{architecture}.rope.scaling.type", "none") != "none":
        raise ModelError(f"{source} scales its positions, which is not supported. Choose the plain model.")
    tensors = {_new_name(tensor.name, source): tensor for tensor in reader.tensors}
    tied = _tie(tensors)
    shapes = {name: [int(n) for n in reversed(tensor.shape)] for name, tensor in tensors.items()}
    try:
        _write_config(metadata, architecture, shapes, tied, folder)
        write_tokenizer(metadata, folder)
    except KeyError as error:
        raise ModelError(f"{source} lacks {error.args[0]!r}. Choose another GGUF file.") from error
    _write_safetensors(tensors, shapes, folder / "model.safetensors", on_progress)


def _value(reader: GGUFReader, key: str) -> Any:
    """A metadata value. Arrays of numbers and strings are read in bulk: 150,000 tokens in 0.2 s."""
    from gguf import GGUFValueType

    field = reader.fields[key]
    if field.types[:1] != [GGUFValueType.ARRAY]:
        return field.contents()
    parts = field.parts
    if field.types[-1] == GGUFValueType.STRING:
        return [parts[i].tobytes().decode("utf-8") for i in field.data]
    return [parts[i].item() for i in field.data]


def _new_name(name: str, source: Path) -> str:
    match = re.fullmatch(r"(?:blk\.(?P<layer>\d+)\.)?(?P<part>\w+)\.(?P<kind>weight|bias)", name)
    if match and match["layer"] is None and match["part"] in _TOP:
        return f"{_TOP[match['part']]}.{match['kind']}"
    if match and match["layer"] is not None and match["part"] in _LAYER:
        return f"model.layers.{match['layer']}.{_LAYER[match['part']]}.{match['kind']}"
    raise ModelError(f"{source} holds the tensor {name}, which no plain Qwen has. Choose another GGUF file.")


def _tie(tensors: dict[str, ReaderTensor]) -> bool:
    """Leave one matrix where input and output embeddings are the same; returns whether they are.

    Quantisers may store a tied matrix twice, at two precisions: the more precise one stays. A model whose
    two matrices really differ keeps both; which it is shows in whether their rows point the same way.
    """
    embedding, output = "model.embed_tokens.weight", "lm_head.weight"
    if output not in tensors:
        return True
    first, second = tensors[embedding], tensors[output]
    if tuple(first.shape) != tuple(second.shape) or _cosine(first, second) < 0.8:
        return False
    tensors[embedding] = max(first, second, key=_bits)
    del tensors[output]
    return True


def _bits(tensor: ReaderTensor) -> float:
    """Bits stored for one value of this tensor."""
    from gguf import GGML_QUANT_SIZES

    block, size = GGML_QUANT_SIZES[tensor.tensor_type]
    return 8.0 * int(size) / int(block)


def _cosine(first: ReaderTensor, second: ReaderTensor) -> float:
    """Median cosine between the same rows of two matrices, over up to 256 rows."""
    import numpy as np
    from gguf import dequantize

    rows = np.linspace(0, len(first.data) - 1, num=min(256, len(first.data))).astype(int)
    a = dequantize(np.ascontiguousarray(first.data[rows]), first.tensor_type)
    b = dequantize(np.ascontiguousarray(second.data[rows]), second.tensor_type)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = (a * b).sum(axis=1)[lengths > 0] / lengths[lengths > 0]
    return float(np.median(cosines)) if cosines.size else 0.0


def _write_config(
    metadata: dict[str, Any], architecture: str, shapes: dict[str, list[int]], tied: bool, folder: Path
) -> None:
    def key(name: str) -> Any:
        return metadata[f"{architecture}.{name}"]

    def decimal(name: str) -> float:
        # stored as float32; the shortest decimal of it is what was meant (1e-06, not 9.99999997e-07)
        return float(str(np.float32(key(name))))

    import numpy as np

    heads = key("attention.head_count")
    theta = decimal("rope.freq_base")
    end = metadata["tokenizer.ggml.eos_token_id"]
    padding = metadata.get("tokenizer.ggml.padding_token_id", end)
    config = {
        "architectures": [_ARCHITECTURES[architecture]],
        "attention_dropout": 0.0,
        "bos_token_id": metadata.get("tokenizer.ggml.bos_token_id"),
        "dtype": "bfloat16",
        "eos_token_id": end,
        "head_dim": metadata.get(f"{architecture}.attention.key_length", key("embedding_length") // heads),
        "hidden_act": "silu",
        "hidden_size": key("embedding_length"),
        "initializer_range": 0.02,
        "intermediate_size": key("feed_forward_length"),
        "max_position_embeddings": key("context_length"),
        "max_window_layers": key("block_count"),
        "model_type": architecture,
        "num_attention_heads": heads,
        "num_hidden_layers": key("block_count"),
        "num_key_value_heads": key("attention.head_count_kv"),
        "pad_token_id": padding,
        "rms_norm_eps": decimal("attention.layer_norm_rms_epsilon"),
        "rope_parameters": {"rope_theta": theta, "rope_type": "default"},
        "rope_theta": theta,
        "sliding_window": None,
        "tie_word_embeddings": tied,
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": shapes["model.embed_tokens.weight"][0],
    }
    if architecture == "qwen3":
        config["attention_bias"] = "model.layers.0.self_attn.q_proj.bias" in shapes
    generation = {
        "bos_token_id": config["bos_token_id"],
        "do_sample": False,
        "eos_token_id": list(dict.fromkeys([end, padding])),
        "pad_token_id": padding,
    }
    for name, value in (("config.json", config), ("generation_config.json", generation)):
        (folder / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _write_safetensors(
    tensors: dict[str, ReaderTensor], shapes: dict[str, list[int]], path: Path, on_progress: Progress
) -> None:
    """Write the format by hand (its header, then the tensors), because its library wants all in memory."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + 2 * int(tensor.n_elements)
        header[name] = {"dtype": "BF16", "shape": shapes[name], "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    done = 0
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            for values in _bf16_slices(tensor):
                file.write(values.data)
                done += values.nbytes
                on_progress(done, end)


def _bf16_slices(tensor: ReaderTensor) -> Iterator[np.ndarray[Any, Any]]:
    """The tensor's values rounded to bf16 (nearest, ties to even), as raw bytes."""
    from gguf import GGMLQuantizationType, dequantize, quantize

    data = tensor.data.reshape(-1, tensor.data.shape[-1])
    step = max(1, _SLICE_VALUES // int(tensor.shape[0]))
    for start in range(0, len(data), step):
        values = dequantize(data[start : start + step], tensor.tensor_type)
        yield quantize(values, GGMLQuantizationType.BF16)
