"""A tiny random Qwen2 in a folder laid out like a real model: config, weights, a real byte-level BPE
tokenizer with Qwen's pre-tokeniser, control tokens and chat template. Built in about a second."""

from __future__ import annotations

from pathlib import Path

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKUP_TOKENS = ("<tool_call>", "</tool_call>")

# Same shape as Qwen2.5's: tools in the system turn, tool results grouped in one user turn.
TEMPLATE = """\
{%- set first = messages[0] %}
{%- if tools or first.role == 'system' %}
{{- '<|im_start|>system\\n' }}
{{- first.content if first.role == 'system' else 'You are a small model.' }}
{%- if tools %}
{{- '\\n\\n# Tools\\n\\nSignatures are within <tools></tools>:\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}
{{- '\\n</tools>\\n\\nAnswer a call as:\\n<tool_call>\\n{"name": ..., "arguments": ...}\\n</tool_call>' }}
{%- endif %}
{{- '<|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>system\\nYou are a small model.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}
{%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
{{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
{%- elif not (message.role == 'system' and loop.first) %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""

_CORPUS = [
    "the quick brown fox reads the file and writes the answer to the other file in the workspace",
    "def main(argument):\n    print(argument)\n    return argument + 1\n",
    '{"name": "read_file", "arguments": {"path": "notes.txt"}}\n',
    "You are a small model. user assistant system tool response calls 1234567890 don't they're we've\n\n",
    "Größe, naïve café, Ελληνικά, русский язык, 日本語のテキスト, 한국어, العربية, 🎉🎊 👩‍👩‍👧",
]


def build_tiny_qwen(folder: Path, *, seed: int = 0, layers: int = 2, context: int = 4096) -> Path:
    """Write the model into `folder` (made if missing) and return it. The same seed gives the same weights."""
    import torch
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.trainers import BpeTrainer
    from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=512, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(_CORPUS * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(CONTROL_TOKENS),
        clean_up_tokenization_spaces=False,
        model_max_length=context,
    )
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in MARKUP_TOKENS])
    tokenizer.chat_template = TEMPLATE
    eos = [tokenizer.convert_tokens_to_ids(name) for name in ("<|im_end|>", "<|endoftext|>")]
    config = Qwen2Config(
        # More rows than tokens, as in every Qwen.
        vocab_size=(len(tokenizer) // 64 + 1) * 64,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        # Wide weights, so that the next token depends on the whole prompt and not on rounding.
        initializer_range=0.2,
        eos_token_id=eos[0],
        bos_token_id=eos[1],
        pad_token_id=eos[1],
        dtype="float32",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=eos, pad_token_id=eos[1])
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
