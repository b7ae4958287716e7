"""The tiktoken encoding gives the tokenizer's ids, for any text."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ModelError
from agent.model.tokens import TextStream, Tokens

PIECES = [
    "<|im_end|>", "<|im_start|>", "<tool_call>", "</tool_call>", "<|endoftext|>", "<|im_", "|>",
    " ", "  ", "\n", "\r\n", "\t", "\n\n\n", "   \n ", "\u00a0", "\u3000", "\u200d", "\u0338", "e\u0301",
    "\u0301", "A\u030a", "K", "ſ", "'S", "'ſ", "'ll", "don't", "123", "٣٤", "½", "é", "ñ", "日本",
    "👩‍👩‍👧", "🎉", "🇩🇪",
    "Straße", "ΑΣ", "\u1100\u1161\u11a8", "각", "def f(x):\n\treturn x\n", "{\"a\": [1, 2]}", "—",
    "…", "ﬀ", "İ",
]  # fmt: skip


def known(text: str) -> bool:
    """Characters that this Python's Unicode tables know; younger ones may normalise differently."""
    return all(unicodedata.category(character) != "Cn" for character in text)


texts = st.lists(st.one_of(st.text().filter(known), st.sampled_from(PIECES)), max_size=12).map("".join)


@pytest.fixture(scope="module", params=["tiny", "real"])
def both(request: pytest.FixtureRequest) -> tuple[Tokens, Any]:
    import transformers

    folder = request.getfixturevalue("tiny_qwen_dir" if request.param == "tiny" else "real_dir")
    return Tokens.load(folder), transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


@given(text=texts)
@settings(max_examples=400, deadline=None)
def test_same_ids_as_the_tokenizer(both: tuple[Tokens, Any], text: str) -> None:
    tokens, tokenizer = both
    assert tokens.encode(text) == tokenizer.encode(text, add_special_tokens=False)


@given(text=texts)
@settings(max_examples=200, deadline=None)
def test_ordinary_text_never_becomes_an_added_token(both: tuple[Tokens, Any], text: str) -> None:
    tokens, _ = both
    ids = tokens.encode_ordinary(text)
    assert not set(ids) & set(tokens.added.values())
    assert tokens.decode(ids) == unicodedata.normalize("NFC", text)


@given(text=texts)
@settings(max_examples=100, deadline=None)
def test_stream_of_tokens_is_whole_characters_and_the_whole_text(both: tuple[Tokens, Any], text: str) -> None:
    tokens, _ = both
    stream = TextStream(tokens)
    pieces = [stream.push(token) for token in tokens.encode_ordinary(text)]
    assert "".join(pieces) == unicodedata.normalize("NFC", text)
    assert stream.complete
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


@given(ids=st.lists(st.integers(0, 600), max_size=30))
@settings(deadline=None)
def test_any_tokens_stream_to_valid_text(both: tuple[Tokens, Any], ids: list[int]) -> None:
    tokens, _ = both
    stream = TextStream(tokens)
    text = "".join(stream.push(token) for token in ids)
    text.encode("utf-8")
    assert text == tokens.decode(ids)


def test_half_a_character_is_held_back(both: tuple[Tokens, Any]) -> None:
    tokens, _ = both
    stream = TextStream(tokens)
    halves = [tokens.encoding.encode_single_token(bytes([byte])) for byte in "é".encode()]
    assert stream.push(halves[0]) == ""
    assert not stream.complete
    assert stream.push(halves[1]) == "é"


def test_markup_stays_text_and_control_tokens_do_not(both: tuple[Tokens, Any]) -> None:
    tokens, _ = both
    ids = tokens.encode("<tool_call>x</tool_call><|im_end|>")
    assert len(ids) >= 4
    assert tokens.decode(ids) == "<tool_call>x</tool_call>"


@pytest.mark.parametrize("unit", ["a", " ", "\n", " \n", "ab ", "!", "日", "a b\n", "1"])
def test_a_megabyte_of_anything(both: tuple[Tokens, Any], unit: str) -> None:
    tokens, _ = both
    text = unit * (1_000_000 // len(unit))
    assert tokens.decode(tokens.encode(text)) == text


def test_long_text_is_encoded_as_a_whole_would_be(both: tuple[Tokens, Any]) -> None:
    tokens, tokenizer = both
    text = "Once, the quick brown fox, don't: 12 words\n\n  and " * 3000
    assert tokens.encode(text) == tokenizer.encode(text, add_special_tokens=False)


def test_lone_surrogates_are_replaced(both: tuple[Tokens, Any]) -> None:
    tokens, _ = both
    assert "\ufffd" in tokens.decode(tokens.encode("file\udce9name"))


def test_a_damaged_tokenizer_is_one_sentence(tmp_path: Path, tiny_qwen_dir: Path) -> None:
    with pytest.raises(ModelError, match="Cannot read"):
        Tokens.load(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text("{")
    with pytest.raises(ModelError, match="Cannot read"):
        Tokens.load(tmp_path)
    path.write_text("{}")
    with pytest.raises(ModelError, match="not a byte-level BPE"):
        Tokens.load(tmp_path)
    data = json.loads((tiny_qwen_dir / "tokenizer.json").read_text())
    data["model"]["merges"].reverse()
    path.write_text(json.dumps(data))
    with pytest.raises(ModelError, match="order of their ids"):
        Tokens.load(tmp_path)
