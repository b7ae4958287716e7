"""GGUF in, a folder for transformers out: the same numbers, the same ids, the right configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ModelError
from agent.model import gguf_convert
from agent.model.gguf_convert import convert
from tests.agent.model.weights_samples import QWEN_TEMPLATE, Architecture, reference_model, write_gguf

EMBEDDING, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"


def _vocabulary(tiny: Path) -> int:
    size: int = json.loads((tiny / "config.json").read_text())["vocab_size"]
    return size + 64


def _converted(gguf: Path, folder: Path) -> Path:
    folder.mkdir()
    convert(gguf, folder)
    return folder


def _load(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("architecture", ["qwen2", "qwen3"])
@pytest.mark.parametrize("more_precise", [OUTPUT, EMBEDDING])
def test_a_matrix_stored_twice_is_tied_to_the_more_precise_one(
    architecture: Architecture, more_precise: str, tiny_qwen_dir: Path, tmp_path: Path
) -> None:
    import torch

    model = reference_model(architecture, tied=True, vocabulary=_vocabulary(tiny_qwen_dir))
    kinds = {EMBEDDING: "Q5_0", OUTPUT: "Q5_0", "model.layers.1.self_attn.q_proj.weight": "Q8_0"}
    kinds[more_precise] = "Q8_0"
    stored = write_gguf(tmp_path / "m.gguf", model, tiny_qwen_dir / "tokenizer.json", kinds=kinds)

    loaded = _load(_converted(tmp_path / "m.gguf", tmp_path / "out"))

    assert loaded.config.tie_word_embeddings is True
    assert loaded.lm_head.weight.data_ptr() == loaded.model.embed_tokens.weight.data_ptr()
    shared = stored[more_precise]
    state = {
        name: torch.from_numpy(shared if name in (EMBEDDING, OUTPUT) else values).bfloat16().float()
        for name, values in stored.items()
    }
    model.load_state_dict(state)
    ids = torch.arange(24)[None] * 7 % model.config.vocab_size
    with torch.inference_mode():
        expected, got = model(ids).logits, loaded(ids).logits
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_matrices_that_differ_stay_apart(tiny_qwen_dir: Path, tmp_path: Path) -> None:
    model = reference_model("qwen2", tied=False, vocabulary=_vocabulary(tiny_qwen_dir))
    stored = write_gguf(tmp_path / "m.gguf", model, tiny_qwen_dir / "tokenizer.json")
    loaded = _load(_converted(tmp_path / "m.gguf", tmp_path / "out"))
    assert loaded.config.tie_word_embeddings is False
    np.testing.assert_allclose(loaded.lm_head.weight.detach().numpy(), stored[OUTPUT], rtol=2**-8)


def test_a_matrix_stored_once_is_tied(tiny_qwen_dir: Path, tmp_path: Path) -> None:
    model = reference_model("qwen2", tied=True, vocabulary=_vocabulary(tiny_qwen_dir))
    write_gguf(tmp_path / "m.gguf", model, tiny_qwen_dir / "tokenizer.json")
    assert _load(_converted(tmp_path / "m.gguf", tmp_path / "out")).config.tie_word_embeddings is True


@pytest.fixture(scope="module")
def converted(tiny_qwen_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted tiny model."""
    folder = tmp_path_factory.mktemp("converted")
    model = reference_model("qwen2", tied=True, vocabulary=_vocabulary(tiny_qwen_dir))
    control = ("<|fim_prefix|>", "<|file_sep|>", "<|vision_pad|>")
    write_gguf(folder / "m.gguf", model, tiny_qwen_dir / "tokenizer.json", control=control)
    return _converted(folder / "m.gguf", folder / "out")


def test_configuration(converted: Path, tiny_qwen_dir: Path) -> None:
    config = json.loads((converted / "config.json").read_text())
    tiny = json.loads((tiny_qwen_dir / "config.json").read_text())
    assert config["rms_norm_eps"] == 1e-6
    assert config["rope_parameters"] == {"rope_theta": 1e6, "rope_type": "default"}
    assert config["vocab_size"] == _vocabulary(tiny_qwen_dir)
    assert (config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]) == (4, 2, 16)
    assert config["eos_token_id"] == tiny["eos_token_id"]
    generation = json.loads((converted / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [tiny["eos_token_id"], tiny["pad_token_id"]]
    assert generation["pad_token_id"] == tiny["pad_token_id"]


@given(text=st.text(max_size=80))
@settings(deadline=None, max_examples=150)
def test_tokenizer_gives_the_ids_of_the_original(text: str, converted: Path, tiny_qwen_dir: Path) -> None:
    from tokenizers import Tokenizer

    ours = _tokenizer(converted)
    original = Tokenizer.from_file(str(tiny_qwen_dir / "tokenizer.json"))
    assert ours.encode(text).ids == original.encode(text, add_special_tokens=False).ids


_loaded: dict[Path, Any] = {}


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    if folder not in _loaded:
        _loaded[folder] = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return _loaded[folder]


def test_transformers_reads_the_tokenizer_the_same(converted: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(converted)
    text = (
        "<|im_start|>user\nnaïve I'LL  12 <tool_call>\n{}</tool_call><|fim_prefix|><|vision_pad|><|im_end|>"
    )
    ids = tokenizer(text)["input_ids"]
    assert ids == _tokenizer(converted).encode(text).ids
    assert tokenizer.bos_token is None
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    # markup that the model writes for its reader survives, control tokens do not
    visible = tokenizer.decode(ids, skip_special_tokens=True)
    assert visible == "user\nnaïve I'LL  12 <tool_call>\n{}</tool_call><|fim_prefix|>"
    assert tokenizer.chat_template == QWEN_TEMPLATE


MESSAGES = [
    {"role": "user", "content": "Weather in Paris and Rome?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}},
            {"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}},
        ],
    },
    {"role": "tool", "content": "sun"},
    {"role": "tool", "content": "rain"},
]
RENDERED = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.\n\n# Tools\n\n"
    "You may call one or more functions to assist with the user query.\n\nYou are provided with function "
    'signatures within <tools></tools> XML tags:\n<tools>\n{"type": "function"}\n</tools>\n\n'
    "For each function call, return a json object with function name and arguments within "
    "<tool_call></tool_call> XML tags:\n"
    '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n'
    "<|im_start|>user\nWeather in Paris and Rome?<|im_end|>\n"
    '<|im_start|>assistant\n<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call><|im_end|>\n'
    "<|im_start|>user\n<tool_response>\nsun\n</tool_response>\n<tool_response>\nrain\n</tool_response><|im_end|>\n"
    "<|im_start|>assistant\n"
)


def test_a_file_without_tool_template_gets_qwens(tiny_qwen_dir: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    model = reference_model("qwen2", tied=True, vocabulary=_vocabulary(tiny_qwen_dir))
    write_gguf(tmp_path / "m.gguf", model, tiny_qwen_dir / "tokenizer.json", template="{{ messages }}")
    tokenizer = AutoTokenizer.from_pretrained(_converted(tmp_path / "m.gguf", tmp_path / "out"))

    def render(messages: list[dict[str, Any]], **more: Any) -> str:
        text: str = tokenizer.apply_chat_template(messages, tokenize=False, **more)
        return text

    assert render(MESSAGES, tools=[{"type": "function"}], add_generation_prompt=True) == RENDERED
    plain = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert render(plain) == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"


def test_doubled_braces_in_the_shown_call_are_mended(tiny_qwen_dir: Path, tmp_path: Path) -> None:
    shown = r"{{\"name\": <function-name>, \"arguments\": <args-json-object>}}"
    template = '{% if tools %}{{- "<tool_response>' + shown + '" }}{% endif %}'
    model = reference_model("qwen2", tied=True, vocabulary=_vocabulary(tiny_qwen_dir))
    write_gguf(tmp_path / "m.gguf", model, tiny_qwen_dir / "tokenizer.json", template=template)
    written = (_converted(tmp_path / "m.gguf", tmp_path / "out") / "chat_template.jinja").read_text()
    assert written == template.replace(shown, shown[1:-1])


def test_slices_do_not_change_the_numbers(
    tiny_qwen_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = reference_model("qwen2", tied=True, vocabulary=_vocabulary(tiny_qwen_dir))
    kinds = {EMBEDDING: "Q8_0", "model.layers.0.mlp.up_proj.weight": "Q5_0"}
    write_gguf(tmp_path / "m.gguf", model, tiny_qwen_dir / "tokenizer.json", kinds=kinds)
    whole = (_converted(tmp_path / "m.gguf", tmp_path / "whole") / "model.safetensors").read_bytes()
    monkeypatch.setattr(gguf_convert, "_SLICE_VALUES", 200)
    seen: list[tuple[int, int]] = []
    (tmp_path / "slices").mkdir()
    convert(tmp_path / "m.gguf", tmp_path / "slices", lambda done, total: seen.append((done, total)))
    assert (tmp_path / "slices" / "model.safetensors").read_bytes() == whole
    assert len(seen) > 100
    assert seen[-1][0] == seen[-1][1]


def test_what_is_not_a_qwen_file_is_one_sentence(tiny_qwen_dir: Path, tmp_path: Path) -> None:
    import gguf

    text = tmp_path / "text.gguf"
    text.write_text("not a model at all, but long enough to look at")
    empty = tmp_path / "empty.gguf"
    empty.touch()
    short = tmp_path / "short.gguf"
    model = reference_model("qwen2", tied=True, vocabulary=_vocabulary(tiny_qwen_dir))
    write_gguf(short, model, tiny_qwen_dir / "tokenizer.json")
    data = short.read_bytes()
    other = tmp_path / "llama.gguf"
    writer = gguf.GGUFWriter(other, "llama")
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for number, length in enumerate((10, 100, len(data) // 3, len(data) - 1)):
        (tmp_path / f"cut{number}.gguf").write_bytes(data[:length])
    for path in [text, empty, other, *tmp_path.glob("cut*.gguf")]:
        with pytest.raises(ModelError, match=path.name):
            _converted(path, tmp_path / f"out-{path.name}")
