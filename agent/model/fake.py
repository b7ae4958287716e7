"""A scripted model for tests and demonstrations: says what it is told to, one word at a time.

It behaves like a local model where that can be seen from outside: prompt lengths, what a prefix cache
would have saved, signals, interruption, the context limit. Its tokens are words.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agent.errors import ModelError
from agent.model.base import (
    Capabilities,
    Delta,
    GenerateRequest,
    PrefillProgress,
    Score,
    ScoreRequest,
    TokenDelta,
    TurnEnd,
)
from memory.adapter_files import adapter_digest
from memory.types import Message, SignalSummary, TokenSignal, TokenUsage
from skills.tool import ToolSpec

Turn = str | Exception | Callable[[GenerateRequest], str]
"""What one turn says: a text, an error to raise, or a function of the request."""

_END = 0
_WORD = re.compile(r"\s*\S+|\s+")


class FakeModel:
    """Plays a script; a turn past its end raises ModelError."""

    def __init__(
        self,
        script: Sequence[Turn] = (),
        *,
        name: str = "fake",
        context_tokens: int = 8192,
        seconds_per_token: float = 0.0,
    ) -> None:
        self.name = name
        self.capabilities = Capabilities(context_tokens=context_tokens)
        self.script = list(script)
        """Turns still to come; may be extended at any time."""
        self.requests: list[GenerateRequest] = []
        """Every request so far, batches included."""
        self.adapters: list[Path | None] = []
        """Every activation so far."""
        self._seconds_per_token = seconds_per_token
        self._computed: list[str] = []

    def stream(self, request: GenerateRequest) -> Iterator[Delta]:
        """Play the next turn."""
        text = self._next(request)
        prompt = _prompt(request.messages, request.tools)
        if len(prompt) >= self.capabilities.context_tokens:
            raise ModelError(
                f"The prompt needs {len(prompt)} tokens and the context holds "
                f"{self.capabilities.context_tokens}. Give less text, or raise model.context_tokens."
            )
        cached = min(_shared(self._computed, prompt), len(prompt) - 1)
        self._computed = list(prompt)
        yield PrefillProgress(done=cached, total=len(prompt))
        yield PrefillProgress(done=len(prompt), total=len(prompt))
        words = _WORD.findall(text)
        limit = min(request.max_tokens, self.capabilities.context_tokens - len(prompt))
        signals: list[TokenSignal] = []
        for word in [*words, ""][:limit]:
            if self._seconds_per_token:
                time.sleep(self._seconds_per_token)
            signal = _signal(word, len(signals))
            signals.append(signal)
            self._computed.append(word)
            yield TokenDelta(text=word, signal=signal)
        yield TurnEnd(
            text="".join(words[:limit]),
            finish_reason="stop" if len(words) < limit else "length",
            usage=TokenUsage(prompt=len(prompt), prefilled=len(prompt) - cached, generated=len(signals)),
            signals=SignalSummary.of(signals),
        )

    def generate_batch(self, requests: Sequence[GenerateRequest]) -> list[TurnEnd]:
        """Play one turn for each request."""
        return [next(d for d in self.stream(request) if isinstance(d, TurnEnd)) for request in requests]

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Figures that depend on nothing but the words."""
        scores = []
        for request in requests:
            signals = [_signal(word, i) for i, word in enumerate([*_WORD.findall(request.completion), ""])]
            scores.append(
                Score(
                    token_ids=tuple(signal.token_id for signal in signals),
                    logprobs=tuple(signal.logprob for signal in signals),
                )
            )
        return scores

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> int:
        """Words of the prompt."""
        return len(_prompt(messages, tools))

    def activate(self, adapter: Path | None) -> None:
        """Only noted; what was computed for another adapter is not used."""
        if self.adapters[-1:] != [adapter]:
            self._computed = []
        self.adapters.append(adapter)

    def served_digest(self) -> str:
        """Digest of the files of whatever was activated last."""
        serving = self.adapters[-1] if self.adapters else None
        return "" if serving is None else adapter_digest(serving)

    def _next(self, request: GenerateRequest) -> str:
        self.requests.append(request)
        if not self.script:
            raise ModelError("The fake model's script is over. Give it as many turns as the task takes.")
        turn = self.script.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return turn(request) if callable(turn) else turn


def _prompt(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[str]:
    words = [tool.model_dump_json() for tool in tools]
    for message in messages:
        words += [f"<{message.role}>", *_WORD.findall(message.context), *_WORD.findall(message.content), ""]
    return [*words, "<assistant>"]


def _shared(left: Sequence[str], right: Sequence[str]) -> int:
    same = (one == other for one, other in zip(left, right, strict=False))
    return next((i for i, equal in enumerate(same) if not equal), min(len(left), len(right)))


def _signal(word: str, index: int) -> TokenSignal:
    """Plausible and repeatable: the first word of a turn is the least certain."""
    chance = (zlib.crc32(word.encode("utf-8", "replace")) % 90 + 5) / 100
    logprob = -chance if index else -2.0
    return TokenSignal(
        token_id=zlib.crc32(word.encode("utf-8", "replace")) % 150_000 + 1 if word else _END,
        text=word,
        logprob=logprob,
        entropy=-2 * logprob,
        margin=1.0 - chance,
    )
