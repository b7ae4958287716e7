"""Whether a model has lost its way and writes the same few tokens over and over.

Greedy decoding of small models does not come out of such a loop by itself; it would go on to the limit.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.model.base import FinishReason

_LONGEST_PERIOD = 200
# A stretch of repetition must be this long in tokens, and in repeats: tables, rulers and rows of zeros are
# shorter as a rule.
_LENGTH = 96
_REPEATS = 4


def goes_in_circles(tokens: Sequence[int]) -> bool:
    """Whether the end of `tokens` is one short sequence repeated."""
    if len(tokens) < _LENGTH:
        return False
    for period in range(1, _LONGEST_PERIOD + 1):
        length = max(_LENGTH, _REPEATS * period)
        if length > len(tokens):
            return False
        if tokens[-1] != tokens[-1 - period]:
            continue
        tail = tokens[-length:]
        if tail[period:] == tail[:-period]:
            return True
    return False


def finish_reason(stopped: bool, in_circles: bool) -> FinishReason:
    """Why a turn is over that ended by itself, went in circles, or else reached its limit."""
    return "stop" if stopped else "circles" if in_circles else "length"
