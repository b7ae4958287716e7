"""Optional arguments only where the model is sure of them.

Small models fill in what was never asked for: once a call could be closed, they like to go on to the next
optional argument and invent its value. Where both ways are open, going on must be much the likelier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.model.tool_grammar import ToolGrammar

if TYPE_CHECKING:
    from torch import Tensor
    from xgrammar import GrammarMatcher

# What may still have to be written of the value underway before the call can be closed.
_ENDS = ("", '"', "]", '"]', "}")
_CLOSE = "}}"
_SURE = 0.9


def leave_out_unsure(grammar: ToolGrammar, logits: Tensor, matcher: GrammarMatcher) -> Tensor:
    """`logits`, already masked, without the tokens that go on to an optional argument the model is not sure
    of; changed in place. Sure: it gives going on at least `_SURE` of the probability of both ways."""
    likeliest = grammar.text(int(logits.argmax()))
    for end in _ENDS:
        if not likeliest.startswith(end + ","):
            continue
        ahead = matcher.fork()
        if not (ahead.accept_string(end + _CLOSE) and ahead.is_completed()):
            continue
        on = grammar.starting_with(end + ",")
        closing = grammar.starting_with(end + "}")
        likely = logits.softmax(-1)
        going_on, closed = float(likely[on].sum()), float(likely[closing].sum())
        if closed and going_on < _SURE * (going_on + closed):
            logits[on] = -float("inf")
        break
    return logits
