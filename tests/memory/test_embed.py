"""The sentence embedder on its real weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from memory.embed import DIMENSIONS, MiniLmEmbedder
from memory.errors import StoreError


@pytest.fixture(scope="module")
def minilm(minilm_folder: Path) -> MiniLmEmbedder:
    return MiniLmEmbedder(minilm_folder)


def test_matches_the_published_model(minilm: MiniLmEmbedder) -> None:
    """Similarities that the model's own library prints for these sentences."""
    cat, guitar, garden = minilm.embed(
        ["The cat sits outside", "A man is playing guitar", "The cat plays in the garden"]
    )
    assert cat @ garden == pytest.approx(0.6788, abs=1e-3)
    assert cat @ guitar == pytest.approx(0.0363, abs=1e-3)


def test_rows_are_unit_vectors_in_the_order_given(minilm: MiniLmEmbedder) -> None:
    texts = ["a much longer text about many different things " * 20, "", "short", "日本語", "a\0b", "😀" * 40]
    rows = minilm.embed(texts * 8)
    assert (rows.shape, rows.dtype) == ((48, DIMENSIONS), np.float32)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    for index, text in enumerate(texts):
        assert np.allclose(rows[index], minilm.embed([text])[0], atol=1e-5)
    assert minilm.embed([]).shape == (0, DIMENSIONS)


def test_reads_only_the_beginning(minilm: MiniLmEmbedder) -> None:
    beginning = "one two three four five six seven eight " * 32
    long, longer = minilm.embed([beginning, beginning + "zebra " * 500_000])
    assert np.allclose(long, longer, atol=1e-5)


def test_missing_or_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(StoreError, match="nightschool model pull all-minilm-l6-v2"):
            MiniLmEmbedder(tmp_path).embed(["x"])
        for name in ("tokenizer.json", "config.json", "model.safetensors"):
            (tmp_path / name).write_text("{")


def test_torch_is_not_loaded_before_the_first_text() -> None:
    code = "import sys, memory.episodes, memory.recall; print({'torch', 'lancedb'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == "set()"
