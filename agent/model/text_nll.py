"""How well a model predicts plain text: nats for each token, by teacher forcing, many passages at once.

Perplexity is exp of the mean. Passages are scored raw, without a chat around them, so that the figure is
about language and not about the template. A backend that is not in this process scores them as answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agent.model.base import Model, ScoreRequest
from memory.types import Message, Record

# Longer passages are cut into pieces of about this many tokens, so that passes are even.
_PIECE = 512


class TextScore(Record):
    """One piece of text."""

    nats: float
    """Negative log-likelihood of its tokens but the first."""
    tokens: int
    """How many those are."""


def text_nll(
    model: Model, passages: Sequence[str], on_piece: Callable[[int, int], None] = lambda done, total: None
) -> list[TextScore]:
    """Scores of the pieces of all passages, in order. Two runs over the same passages can be paired."""
    scores: list[TextScore] = []
    groups = [passages[start : start + 8] for start in range(0, len(passages), 8)]
    for number, group in enumerate(groups):
        on_piece(number, len(groups))
        # a model lent for one call at a time is asked for each group anew
        run = getattr(model, "run", None)
        scores += run(lambda lent, group=group: _scores(lent, group)) if run else _scores(model, group)
    on_piece(len(groups), len(groups))
    return scores


def _scores(model: Model, passages: Sequence[str]) -> list[TextScore]:
    return _local(model, passages) if hasattr(model, "network") else _served(model, passages)


def _local(model: Model, passages: Sequence[str]) -> list[TextScore]:
    from agent.model.local import LocalModel
    from agent.model.scoring import score_together

    assert isinstance(model, LocalModel)
    pairs: list[tuple[list[int], list[int]]] = []
    for passage in passages:
        tokens = model.tokens.encode_ordinary(passage)
        # even pieces: one of 520 tokens makes two of 260
        pieces = -(-len(tokens) // _PIECE)
        size = -(-len(tokens) // max(1, pieces))
        for start in range(0, len(tokens), max(1, size)):
            piece = tokens[start : start + size]
            if len(piece) > 1:
                pairs.append((piece[:1], piece[1:]))
    device = next(model.network.parameters()).device
    return [
        TextScore(nats=-sum(score.logprobs), tokens=len(score.logprobs))
        for score in score_together(model.network, pairs, device)
    ]


def _served(model: Model, passages: Sequence[str]) -> list[TextScore]:
    user = Message(role="user", content="Recite a text.", provenance="user")
    scores = model.score([ScoreRequest(messages=(user,), completion=passage) for passage in passages])
    return [TextScore(nats=-sum(score.logprobs), tokens=len(score.logprobs)) for score in scores]
