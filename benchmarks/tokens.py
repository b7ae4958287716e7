"""How much faster the tiktoken encoding is than the tokenizer in the model's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import median_seconds

_SAMPLES = (
    "def total(rows):\n    return sum(row['price'] * row['count'] for row in rows)\n\n\n",
    "The ledger says that 12,480 lessons were read, and that nobody's pencil broke. ",
    '{"name": "read_file", "arguments": {"path": "notes/2024-03-01.txt"}}\n',
    "Größe, naïve café, русский язык, 日本語のテキスト, 🎉 ",
)


def run_tokens(model_dir: Path, *, characters: int = 20_000, rounds: int = 9) -> dict[str, Any]:
    """Median seconds of both for the same texts, and the ratio; `identical` says whether the ids agree.

    `short` is many texts of a line each, `long` one text of `characters`.
    """
    from agent.model.loading import load_tokenizer
    from agent.model.tokens import Tokens

    tokens, tokenizer = Tokens.load(model_dir), load_tokenizer(model_dir)
    mixed = "".join(_SAMPLES) * (characters // sum(map(len, _SAMPLES)) + 1)
    cases: dict[str, Sequence[str]] = {"short": _SAMPLES * 25, "long": [mixed[:characters]]}
    result: dict[str, Any] = {"model": model_dir.name, "identical": True}
    for name, texts in cases.items():

        def ours(texts: Sequence[str] = texts) -> list[list[int]]:
            return [tokens.encode(text) for text in texts]

        def theirs(texts: Sequence[str] = texts) -> list[list[int]]:
            return [tokenizer.encode(text, add_special_tokens=False) for text in texts]

        result["identical"] &= ours() == theirs()
        mine, other = median_seconds(ours, rounds), median_seconds(theirs, rounds)
        result[name] = {
            "tiktoken_milliseconds": round(1000 * mine, 3),
            "tokenizer_milliseconds": round(1000 * other, 3),
            "ratio": round(other / mine, 1),
        }
    return result
