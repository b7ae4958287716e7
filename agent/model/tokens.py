"""Token ids from text and back: a tiktoken `Encoding` over the model's own vocabulary and merges.

Gives the very ids of the tokenizer in the model's folder, only faster. It promises that for byte-level
BPE tokenizers whose merges stand in the order of their ids (all of Qwen's); for any other `load`
raises ModelError instead of guessing. Text Python's Unicode tables do not know yet (code points
younger than the interpreter) may be normalised differently from the tokenizer's own tables.
"""

from __future__ import annotations

import codecs
import itertools
import json
import re
import unicodedata
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import tiktoken

from agent.errors import ModelError

# Markup that belongs to an answer's text although it is one token; a GGUF may mark it as control.
TEXT_MARKUP = frozenset({"<tool_call>", "</tool_call>", "<think>", "</think>"})

# Splitting one endless run without spaces costs tiktoken's regex too much stack; this is far longer
# than any word and short enough.
_LONGEST_PIECE = 20_000


class Tokens:
    """Encodes and decodes; safe to share between threads."""

    def __init__(self, encoding: tiktoken.Encoding, added: dict[str, int], control: frozenset[int]) -> None:
        self.encoding = encoding
        """Ordinary text only: knows no added tokens when encoding, all of them when decoding."""
        self.added = added
        """Added tokens (control tokens and markup) by their text."""
        self.control = control
        """Ids of added tokens that are never part of an answer's text."""

    @classmethod
    def load(cls, folder: Path) -> Tokens:
        """Read `tokenizer.json` in a model's folder. Raises ModelError when it is not such a tokenizer."""
        path = folder / "tokenizer.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"Cannot read {path}: {error}. Run `nightschool model verify`.") from error
        try:
            return cls._from_json(data, name=str(folder))
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ModelError(f"{path} is not a byte-level BPE tokenizer like Qwen's ({error!r}).") from error

    @classmethod
    def _from_json(cls, data: dict[str, Any], name: str) -> Tokens:
        vocabulary: dict[str, int] = data["model"]["vocab"]
        merges = [m if isinstance(m, list) else m.split(" ") for m in data["model"]["merges"]]
        order = [vocabulary[left + right] for left, right in merges]
        if any(later <= earlier for earlier, later in itertools.pairwise(order)):
            raise ValueError("its merges are not in the order of their ids")
        pieces = data["pre_tokenizer"]["pretokenizers"]
        pattern = pieces[0]["pattern"]["Regex"]
        normaliser = data.get("normalizer") or {"type": "NFC"}
        if normaliser["type"] != "NFC" or pieces[1]["type"] != "ByteLevel" or pieces[1]["add_prefix_space"]:
            raise ValueError("its normaliser or pre-tokeniser is another")
        table = str.maketrans(_byte_alphabet())
        added = {token["content"]: int(token["id"]) for token in data.get("added_tokens", ())}
        ranks = {
            text.translate(table).encode("latin-1"): rank
            for text, rank in vocabulary.items()
            if text not in added
        }
        control = frozenset(
            int(token["id"])
            for token in data.get("added_tokens", ())
            if token["special"] and token["content"] not in TEXT_MARKUP
        )
        encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=added)
        return cls(encoding, added, control)

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, in which added tokens are recognised, exactly as the tokenizer does.

        For text that is not ours use `encode_ordinary`.
        """
        if self._any_added is None:
            return self.encode_ordinary(text)
        ids: list[int] = []
        for index, piece in enumerate(self._any_added.split(text)):
            if index % 2:
                ids.append(self.added[piece])
            elif piece:
                ids.extend(self.encode_ordinary(piece))
        return ids

    def encode_ordinary(self, text: str) -> list[int]:
        """Ids of `text` as plain characters: what looks like a control token stays text."""
        text = unicodedata.normalize("NFC", _whole_characters(text))
        if len(text) <= _LONGEST_PIECE:
            return self.encoding.encode_ordinary(text)
        return [token for part in _split_long(text) for token in self.encoding.encode_ordinary(part)]

    def count(self, text: str) -> int:
        """Number of tokens of `text` as plain characters."""
        return len(self.encode_ordinary(text))

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes a token adds to an answer's text: none for control tokens and unused ids."""
        if token_id in self.control:
            return b""
        try:
            return self.encoding.decode_single_token_bytes(token_id)
        except KeyError:
            return b""

    def decode(self, token_ids: Iterable[int]) -> str:
        """Text of an answer's tokens; an unfinished character at the end is left out."""
        decoder = TextStream(self)
        return "".join([decoder.push(token_id) for token_id in token_ids])

    @cached_property
    def _any_added(self) -> re.Pattern[str] | None:
        # Longest first, as the tokenizer prefers the longest match at a place.
        longest_first = sorted(self.added, key=len, reverse=True)
        return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if longest_first else None


class TextStream:
    """Turns tokens into text as they come and never emits half a character."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """Text that became complete with this token; may be empty. Bytes that are no UTF-8 become U+FFFD."""
        return self._decoder.decode(self._tokens.token_bytes(token_id))

    @property
    def complete(self) -> bool:
        """Whether no byte is held back."""
        return not self._decoder.getstate()[0]


def _byte_alphabet() -> dict[str, int]:
    """The printable characters that stand for bytes in byte-level BPE vocabularies (GPT-2's convention):
    printable Latin-1 stands for itself, the rest take the code points from U+0100 on, in order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return {chr(byte if byte in printable else next(others)): byte for byte in range(256)}


def _whole_characters(text: str) -> str:
    """Text without lone surrogates, which no UTF-8 can hold (they come from undecodable file names)."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return text


def _split_long(text: str) -> Iterable[str]:
    """Parts that encode as the whole would, cut before a space that follows a letter (where the pattern
    always splits); a part without such a place is cut at the limit."""
    start = 0
    while len(text) - start > _LONGEST_PIECE:
        end = start + _LONGEST_PIECE
        cut = end
        while cut > start + 1 and not (
            text[cut] == " " and text[cut - 1].isalpha() and text[cut + 1 : cut + 2].isalpha()
        ):
            cut -= 1
        cut = cut if cut > start + 1 else end
        yield text[start:cut]
        start = cut
    yield text[start:]
