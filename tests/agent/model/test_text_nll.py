"""The likelihood of plain text against transformers' own loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from agent.model.fake import FakeModel
from agent.model.text_nll import text_nll

TEXT = "the quick brown fox reads the file and writes the answer to the other file. "


def test_it_is_the_loss_of_a_language_model(tiny: Any) -> None:
    (score,) = text_nll(tiny, [TEXT])
    ids = torch.tensor([tiny.tokens.encode_ordinary(TEXT)])
    with torch.no_grad():
        loss = tiny.network(input_ids=ids, labels=ids).loss
    assert score.tokens == ids.shape[1] - 1
    assert score.nats / score.tokens == pytest.approx(float(loss), rel=1e-4)


def test_long_passages_are_cut_into_even_pieces(tiny: Any) -> None:
    scores = text_nll(tiny, [TEXT * 60, TEXT])
    total = len(tiny.tokens.encode_ordinary(TEXT * 60))
    pieces = scores[:-1]
    assert len(pieces) > 1
    assert sum(piece.tokens + 1 for piece in pieces) == total
    assert max(piece.tokens for piece in pieces) - min(piece.tokens for piece in pieces) <= len(pieces)
    assert scores[-1] == text_nll(tiny, [TEXT])[0]


def test_nothing_and_a_single_token_score_nothing(tiny: Any) -> None:
    assert text_nll(tiny, []) == []
    assert text_nll(tiny, ["", "a"]) == []


def test_progress_is_told(tiny: Any) -> None:
    told: list[tuple[int, int]] = []
    text_nll(tiny, [TEXT] * 20, lambda done, total: told.append((done, total)))
    assert told[0] == (0, 3)
    assert told[-1] == (3, 3)


def test_a_model_elsewhere_scores_text_as_an_answer() -> None:
    (score,) = text_nll(FakeModel(), ["one two three"])
    assert score.tokens == 4
    assert score.nats > 0
