"""The tokenizer and the chat template that a Qwen GGUF file carries, as the files transformers reads.

Promises the same ids as Qwen's own tokenizer: NFC, Qwen's split, byte-level BPE, nothing added before
or after the text. Knows only the `gpt2` tokenizer with the `qwen2` split; anything else is an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.errors import ModelError

# How Qwen splits text before BPE: contractions, a word with at most one leading mark, single digits,
# punctuation with the line ends after it, line ends, then other white space.
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4

# GGUF writers mark every token that looks like <|this|> as control. Qwen itself keeps these visible
# when special tokens are skipped, because code models write them into their answers.
_VISIBLE = {
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
}


def write_tokenizer(metadata: Mapping[str, Any], folder: Path) -> None:
    """Write `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja` into `folder`.

    `metadata` holds the GGUF keys. Raises ModelError for a tokenizer that is not Qwen's.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
    from tokenizers.models import BPE

    kind = (metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre"))
    if kind != ("gpt2", "qwen2"):
        raise ModelError(
            f"The GGUF file has the tokenizer {kind[0]}/{kind[1]}, not Qwen's. Choose a Qwen model."
        )
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    types: list[int] = metadata["tokenizer.ggml.token_type"]
    vocabulary = {token: i for i, token in enumerate(tokens) if types[i] == _NORMAL}
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(
        add_prefix_space=False, trim_offsets=False, use_regex=False
    )
    tokenizer.decoder = decoders.ByteLevel()

    added: dict[str, dict[str, Any]] = {}
    for i, token in enumerate(tokens):
        if types[i] not in (_CONTROL, _USER_DEFINED):
            continue
        special = types[i] == _CONTROL and token not in _VISIBLE
        entry = AddedToken(token, special=special, normalized=False)
        if special:
            tokenizer.add_special_tokens([entry])
        else:
            tokenizer.add_tokens([entry])
        if tokenizer.token_to_id(token) != i:
            raise ModelError(f"The GGUF file numbers the token {token} in a way no tokenizer can follow.")
        added[str(i)] = {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": special,
        }
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)

    end = tokens[metadata["tokenizer.ggml.eos_token_id"]]
    padding = tokens[metadata.get("tokenizer.ggml.padding_token_id", metadata["tokenizer.ggml.eos_token_id"])]
    specials = [entry["content"] for entry in added.values() if entry["special"]]
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": [token for token in specials if token != padding],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": end,
        "errors": "replace",
        "model_max_length": metadata[f"{metadata['general.architecture']}.context_length"],
        "pad_token": padding,
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    text = json.dumps(config, ensure_ascii=False, indent=2)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
    template = metadata.get("tokenizer.chat_template", "")
    if "tools" not in template or "tool_response" not in template:
        template = (Path(__file__).parent / "qwen_chat.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").write_text(_single_braces(template), encoding="utf-8")


def _single_braces(template: str) -> str:
    """Mend the first Qwen2.5-Coder templates, which show the model a call in doubled braces.

    They stand in a string, where nothing halves them, so the model would be told to answer `{{"name": …}}`.
    """
    shown = r"{\"name\": <function-name>, \"arguments\": <args-json-object>}"
    return template.replace("{" + shown + "}", shown)
