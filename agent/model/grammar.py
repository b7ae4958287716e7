"""Constrained decoding of one turn: free text, or one or more calls that parse and fit their schemas.

A turn starts free. Where the model opens a call, in whatever shape, the template's own opening is put in
its place; within a call only what `agent.model.tool_grammar` allows; after it another call or the end. What
leaves no choice is forced without asking the model.

Promises: a call that is not cut off by the token limit parses and fits the grammar; no call is put on a
model that is writing text; untagged JSON that would read as a call of an offered tool is not written.
Whether a call makes sense is judged by `agent.model.relevance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import regex

from agent.errors import ModelError
from agent.model.base import GenerateRequest
from agent.model.constraint import Constraint, ConstraintFactory, Look
from agent.model.optional_arguments import leave_out_unsure
from agent.model.relevance import Embed, best_tool, is_judged, is_relevant, named_tool
from agent.model.tool_grammar import ToolGrammar
from skills.tool import ToolSpec

if TYPE_CHECKING:
    from torch import Tensor
    from xgrammar import GrammarMatcher

TAG = "<tool_call>"
OPENING = '\n{"name": "'
AFTER_NAME = '", "arguments": {'
CLOSING = "\n</tool_call>"

# How models open a call, from the first character to where the tool's name begins.
_OPENED = regex.compile(
    r"(?:```[a-z_]*\s*)?(?:\[\s*)?\{\s*(?:\"type\":\s*\"function\",\s*\"function\":\s*\{\s*)?\"name\"\s*:\s*\""
    r"|(?:```[a-z_]*\s*)?<(?:tool_call|tools|function=)"
)
_TO_ARGUMENTS = regex.compile(r"[^\"\n]*\"\s*,\s*\"(?:arguments|parameters)\"")
# Tokens to look ahead for such an opening; with a fence and line breaks it takes about ten.
_LOOK_AHEAD = 14
_OPENERS = ('{"', "{\n", "[{", "[\n")
# Share of the first token's probability on openers from which the first turn of a task is a call.
_LEANING = 0.2
# From how much another call's share of the stop's share on, after a call, another call follows. The 0.5B
# model gives it less than 1e-5 where one call was asked for, and 0.03 to 0.1 where two were and it shows.
_AGAIN = 0.02
_SPELLED = {"<tool_call": ">", "<tools": ">", "<function": "="}
_BARE_NAME = regex.compile(r"\{\s*\"(?:name|function)\"\s*:\s*\"$")


def constraint_factory(folder: Path, embedder: Embed | None = None) -> ConstraintFactory:
    """Constraints for the model in `folder`, which is read with the first turn that has tools.

    With an `embedder` it can tell far better which requests no tool serves. A model whose template knows
    no tool calls is never constrained.
    """
    found: list[ToolGrammar | None] = []

    def make(request: GenerateRequest) -> Constraint | None:
        if not request.tools:
            return None
        if not found:
            found.append(ToolGrammar.load(folder))
        return None if found[0] is None else CallConstraint(found[0], request, embedder)

    return make


class CallConstraint:
    """One turn's constraint; see `agent.model.constraint.Constraint`."""

    def __init__(self, grammar: ToolGrammar, request: GenerateRequest, embedder: Embed | None = None) -> None:
        self._grammar = grammar
        self._request = request
        self._embedder = embedder
        self._tokens = grammar.tokens
        self._tag = grammar.tag
        self._opening = [self._tag, *self._tokens.encode_ordinary(OPENING)]
        (self._newline,) = self._tokens.encode_ordinary("\n")
        # with a tool that talks or finishes, a call of a made-up name is best led to an offered one
        self._can_decline = any(tool.risk == "none" for tool in request.tools)
        self._look: Look | None = None
        self._text_only = False
        self._text = ""
        self._matcher: GrammarMatcher | None = None
        self._between_calls = False
        self._written: list[int] = []
        self._calls: list[list[int]] = []
        self._forced = False

    @property
    def forced(self) -> bool:
        """Whether the latest `mask` left exactly one token."""
        return self._forced

    def start(self, logits: Tensor, look: Look) -> Sequence[int]:
        """Decide whether this turn may call at all, and whether it opens with a call; where the user says
        which of the agent's tools is to be used, with that one."""
        self._look = look
        if is_judged(self._request):
            names = self._grammar.first_tokens(self._request.tools)
            opens = float(logits.softmax(-1)[self._openers()].sum())
            at_name = look(self._opening)[-1]
            relevant = is_relevant(self._request, at_name, names, opens, self._embedder)
            self._text_only = not relevant
            if not relevant:
                return ()
            best = best_tool(self._request, self._spelled, self._embedder)
            return self._open(self._request.tools if best is None else (best,))
        latest = self._request.messages[-1]
        named = named_tool(latest.content, self._request.tools) if latest.role == "user" else None
        if named is not None:
            return self._open((named,))
        return self._open() if self._leans_to_call(logits) else ()

    def mask(self, logits: Tensor) -> Tensor:
        """Text as it is but for look-alikes of calls; a call as the grammar wants it."""
        self._forced = False
        if self._between_calls:
            return self._only(logits, [self._newline if self._calls_again(logits) else self._grammar.end])
        if self._matcher is not None:
            return self._mask_call(logits, self._matcher)
        if not self._text_only and self._at_line_start() and self._opens_call(logits):
            return self._only(logits, [self._tag])
        return self._mask_text(logits)

    def accept(self, token_id: int) -> Sequence[int]:
        """Follow the chosen token; answers with what it settles."""
        if self._between_calls:
            self._between_calls = False
            return self._open() if token_id == self._newline else ()
        if self._matcher is not None:
            return self._follow_call(token_id, self._matcher)
        if token_id == self._tag:
            return self._open()[1:]
        self._text += self._grammar.text(token_id)
        return ()

    def _spelled(self, name: str) -> float:
        """Log-probability of a whole name where a call's name would begin."""
        assert self._look is not None
        ids = self._tokens.encode_ordinary(name + AFTER_NAME)
        rows = self._look([*self._opening, *ids])[len(self._opening) - 1 : -1].log_softmax(-1)
        return float(rows[range(len(ids)), ids].sum())

    def _open(self, tools: Sequence[ToolSpec] | None = None) -> list[int]:
        self._matcher = self._grammar.matcher(self._request.tools if tools is None else tools)
        self._written = []
        return list(self._opening)

    def _mask_call(self, logits: Tensor, matcher: GrammarMatcher) -> Tensor:
        allowed = self._grammar.mask(logits, matcher)
        leave_out_unsure(self._grammar, allowed, matcher)
        self._forced = int((allowed > -float("inf")).sum()) == 1
        return allowed

    def _follow_call(self, token_id: int, matcher: GrammarMatcher) -> Sequence[int]:
        if not matcher.accept_token(token_id):
            raise ModelError("The grammar of the tool calls refused a token. Turn off model.constrain.")
        ahead = self._grammar.only_way_on(matcher)
        self._written += [token_id, *ahead]
        if not matcher.is_completed():
            return ahead
        self._matcher = None
        closing = self._tokens.encode(CLOSING)
        repeated = self._written in self._calls
        self._calls.append(self._written)
        if repeated or len(self._calls) >= self._request.max_calls:
            return [*ahead, *closing, self._grammar.end]
        self._between_calls = True
        return [*ahead, *closing]

    def _calls_again(self, logits: Tensor) -> bool:
        """Whether another call follows. Some models end their turn a line later, with any control token."""
        assert self._look is not None
        if int(logits.argmax()) == self._grammar.end:
            return False
        following = self._look([self._newline])[-1].softmax(-1)
        again = float(following[self._openers()].sum())
        return again >= _AGAIN * float(following[list(self._tokens.control)].sum())

    def _openers(self) -> list[int]:
        """Tokens that begin a call more likely than not."""
        openers = {self._tag, *self._tokens.encode_ordinary("<")}
        openers |= {token for start in _OPENERS for token in self._grammar.starting_with(start)}
        return list(openers)

    def _leans_to_call(self, logits: Tensor) -> bool:
        """Whether a turn is to open with a call: it would anyway, or it is the first and half wants to.

        Small models like to talk before they act, and in the loop talk without a call ends the task.
        """
        if self._opens_call(logits):
            return True
        if self._request.messages[-1].role != "user":
            return False
        openers = self._openers()
        if int(logits.argmax()) in openers:
            return False  # it opens JSON, but no call
        return float(logits.softmax(-1)[openers].sum()) >= _LEANING

    def _at_line_start(self) -> bool:
        return not self._text or self._text.rstrip(" ").endswith("\n")

    def _in_code(self) -> bool:
        """Whether the text is inside a fence that holds no JSON, where nothing is a call."""
        inside, _, fenced = self._text.rpartition("```")
        return (
            inside.count("```") % 2 == 0
            and "```" in self._text
            and not fenced.partition("\n")[2].lstrip().startswith(("{", "["))
        )

    def _opens_call(self, logits: Tensor) -> bool:
        """Whether the likeliest way on from here is a call of an offered tool."""
        assert self._look is not None
        ahead = [int(logits.argmax())]
        if ahead[0] == self._tag:
            return True
        while len(ahead) <= _LOOK_AHEAD:
            text = "".join(self._grammar.text(token) for token in ahead).lstrip()
            match = _OPENED.fullmatch(text, partial=True)
            if match is None or ahead[-1] == self._grammar.end:
                return False
            following = self._look(ahead)[-1]
            if text and not match.partial:
                if "<" in text or self._names_tool(following):
                    return True
                return self._can_decline and self._goes_on_to_arguments(ahead)
            ahead.append(int(following.argmax()))
        return False

    def _goes_on_to_arguments(self, ahead: Sequence[int]) -> bool:
        """Whether the JSON opened by `ahead` is a call, if of no offered tool, and not some other object."""
        assert self._look is not None
        tokens, rest = list(ahead), ""
        while len(tokens) <= 2 * _LOOK_AHEAD:
            following = int(self._look(tokens)[-1].argmax())
            tokens.append(following)
            rest += self._grammar.text(following)
            match = _TO_ARGUMENTS.match(rest, partial=True)
            if match is None or following == self._grammar.end:
                return False
            if not match.partial:
                return True
        return False

    def _names_tool(self, logits: Tensor) -> bool:
        names = self._grammar.first_tokens(self._request.tools)
        return float(logits.softmax(-1)[names].sum()) >= 0.5

    def _mask_text(self, logits: Tensor) -> Tensor:
        """Keep look-alikes of calls out of text: they would be carried out, or fail to parse."""
        banned: list[int] = []
        if self._text_only:
            banned.append(self._tag)
        for spelled, last in _SPELLED.items():
            if self._text.endswith(spelled):
                banned += self._grammar.starting_with(last)
        if _BARE_NAME.search(self._text) and not self._in_code():
            banned += self._grammar.first_tokens(self._request.tools)
        if banned:
            logits[banned] = -float("inf")
        return logits

    def _only(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:
        kept = logits[list(tokens)].clone()
        logits.fill_(-float("inf"))
        logits[list(tokens)] = kept
        self._forced = len(tokens) == 1
        return logits
