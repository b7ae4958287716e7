"""The local backend: a transformers model decoded step by step, with PEFT adapters.

Promises: greedy decoding gives the tokens transformers' own `generate` gives; a stream may be closed
between any two tokens and everything computed so far stays usable; a prompt that continues an earlier
one computes only what is new; signals come from the raw distribution whatever a grammar allows.
All methods belong to one thread (`agent.model.thread`). Imports torch; to be imported only where a
model is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agent.errors import ModelError
from agent.model.adapters import Adapters
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
from agent.model.batch import generate_together
from agent.model.chat import Chat
from agent.model.circles import finish_reason, goes_in_circles
from agent.model.constraint import Constraint, ConstraintFactory
from agent.model.loading import Quantization, choose_device, choose_dtype, load_network, load_tokenizer
from agent.model.prefix_cache import PrefixCache
from agent.model.prefix_cache import Sequence as Computed
from agent.model.sampling import Sampler
from agent.model.scoring import score_together
from agent.model.signals import Distribution
from agent.model.tokens import TextStream, Tokens
from memory.types import Message, SignalSummary, TokenSignal, TokenUsage
from skills.tool import ToolSpec

# An interruption waits for one chunk at most: under a second on two cores with the 0.5B model. Larger
# chunks are hardly faster.
_CHUNK = 256


class LocalModel:
    """A model on this machine; see `agent.model.base.Model`."""

    def __init__(
        self,
        name: str,
        network: Any,
        chat: Chat,
        tokens: Tokens,
        *,
        context_tokens: int,
        constraint_factory: ConstraintFactory | None = None,
    ) -> None:
        self.name = name
        self.network = network
        """The transformers model, adapters included."""
        self.tokens = tokens
        """Its tokenizer."""
        self.chat = chat
        """Its prompt format."""
        self.constraint_factory = constraint_factory
        """Makes the grammar of a turn; None never constrains."""
        self.capabilities = Capabilities(
            constrained=constraint_factory is not None,
            context_tokens=min(context_tokens, network.config.max_position_embeddings),
        )
        self.end_tokens = _end_tokens(network, tokens)
        """Tokens that end a turn; the first is the template's own."""
        self._device = next(network.parameters()).device
        self._adapters = Adapters(network)
        self._layers = int(network.config.num_hidden_layers)
        self._cache = PrefixCache(self._layers)
        self.prefixes = PrefixCache(self._layers, sequences=16, max_bytes=256 << 20)
        """What batches begin with; apart from the conversations, which they would drive out."""

    @classmethod
    def load(
        cls,
        folder: Path,
        name: str,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        quantization: Quantization = "none",
        context_tokens: int = 8192,
        constraint_factory: ConstraintFactory | None = None,
        threads: int | None = None,
        pack: bool = True,
    ) -> LocalModel:
        """Load the model in `folder`. `dtype` None takes bfloat16 where the device is good at it.

        `threads` is torch's, for the whole process; `pack` trades memory for speed on a CPU.
        Raises ModelError.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        place = choose_device(device)
        # The tokenizers take about as long as the weights; side by side they cost nothing more.
        with ThreadPoolExecutor(1) as beside:
            reading = beside.submit(lambda: (Tokens.load(folder), load_tokenizer(folder)))
            network = load_network(folder, place, dtype or choose_dtype(place), quantization, pack)
            tokens, tokenizer = reading.result()
        return cls(
            name,
            network,
            Chat.of_tokenizer(tokenizer, tokens),
            tokens,
            context_tokens=context_tokens,
            constraint_factory=constraint_factory,
        )

    def stream(self, request: GenerateRequest) -> Iterator[Delta]:
        """Generate one turn; see `Model.stream`. Closing the iterator interrupts it."""
        prompt, limit = self._fit(request)
        constraint = None
        if self.constraint_factory is not None and request.constrain and request.tools:
            constraint = self.constraint_factory(request)
        computed = self._cache.take(self._adapters.key, prompt)
        turn = _Turn(self, request, computed, constraint, limit)
        try:
            yield from turn.prefill(prompt)
            yield from turn.decode()
        finally:
            self._cache.put(computed)
            turn.keep_tokens(prompt)

    def generate_batch(self, requests: Sequence[GenerateRequest]) -> list[TurnEnd]:
        """Generate one turn for each request. Constrained ones run one after the other."""
        answers: list[TurnEnd | None] = [None] * len(requests)
        together: list[int] = []
        for index, request in enumerate(requests):
            if self.constraint_factory is not None and request.constrain and request.tools:
                answers[index] = next(d for d in self.stream(request) if isinstance(d, TurnEnd))
            else:
                together.append(index)
        fitted = [self._fit(requests[index]) for index in together]
        ends = generate_together(self, [requests[index] for index in together], fitted)
        for index, end in zip(together, ends, strict=True):
            answers[index] = end
        return [answer for answer in answers if answer is not None]

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Log-probabilities of given answers, each with its end-of-turn token."""
        pairs = []
        for request in requests:
            prompt = self.chat.prompt(request.messages, request.tools)
            answer = [*self.chat.answer(request.completion, after=prompt), self.end_tokens[0]]
            self._check_length(len(prompt) + len(answer))
            pairs.append((prompt, answer))
        return score_together(self.network, pairs, self._device)

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> int:
        """Length of the prompt these would make."""
        return len(self.chat.prompt(messages, tools))

    def activate(self, adapter: Path | None) -> None:
        """Serve with an adapter, or the base alone. Cached keys and values stay with the weights that
        made them."""
        self._adapters.activate(adapter)

    def served_digest(self) -> str:
        """Digest of the serving adapter's tensors, taken from memory; see `Model.served_digest`."""
        return self._adapters.served_digest()

    @property
    def adapter_key(self) -> str:
        """Digest of the serving adapter's files, empty for the base model."""
        return self._adapters.key

    def forward(self, computed: Computed, tokens: Sequence[int], keep: int = 1) -> Tensor:
        """Compute `tokens` after what `computed` holds and add them to it.

        Returns the raw logits of the last `keep` positions, float32, shape (keep, vocab).
        """
        start = len(computed)
        with torch.inference_mode():
            computed.cut(start)
            ids = torch.tensor([tokens], device=self._device)
            positions = torch.arange(start, start + len(tokens), device=self._device)[None]
            output = self.network(
                input_ids=ids,
                position_ids=positions,
                past_key_values=computed.cache,
                use_cache=True,
                logits_to_keep=keep,
            )
            computed.tokens.extend(tokens)
            logits: Tensor = output.logits[0].float()
            return logits

    def _fit(self, request: GenerateRequest) -> tuple[list[int], int]:
        """The prompt's tokens and how many may be decoded."""
        prompt = self.chat.prompt(request.messages, request.tools)
        self._check_length(len(prompt) + 1)
        return prompt, min(request.max_tokens, self.capabilities.context_tokens - len(prompt))

    def _check_length(self, length: int) -> None:
        if length > self.capabilities.context_tokens:
            raise ModelError(
                f"The prompt needs {length} tokens and the context holds {self.capabilities.context_tokens}. "
                "Give less text, or raise model.context_tokens."
            )


class _Turn:
    """One turn being generated."""

    def __init__(
        self,
        model: LocalModel,
        request: GenerateRequest,
        computed: Computed,
        constraint: Constraint | None,
        limit: int,
    ) -> None:
        self._model = model
        self._computed = computed
        self._constraint = constraint
        self._limit = limit
        self._sampler = Sampler(request, model._device, model.tokens)
        self._text = TextStream(model.tokens)
        self._pieces: list[str] = []
        self._chosen: list[int] = []
        self._signals: list[TokenSignal] = []
        self._in_circles = False
        self._usage = TokenUsage()
        self._logits: Tensor | None = None

    def prefill(self, prompt: list[int]) -> Iterator[PrefillProgress]:
        """Compute what the cache does not hold of the prompt."""
        done = len(self._computed)
        self._usage = TokenUsage(prompt=len(prompt), prefilled=len(prompt) - done)
        yield PrefillProgress(done=done, total=len(prompt))
        while done < len(prompt):
            chunk = prompt[done : done + _CHUNK]
            self._logits = self._model.forward(self._computed, chunk)
            done += len(chunk)
            yield PrefillProgress(done=done, total=len(prompt))

    def decode(self) -> Iterator[Delta]:
        """Choose and compute tokens until the turn ends."""
        assert self._logits is not None
        rows = self._logits
        forced: Sequence[int] = ()
        if self._constraint is not None:
            forced = self._trim(self._constraint.start(rows[0], self._look))
            if forced:
                rows = torch.cat([rows, self._compute(forced)])
        while True:
            # Row i of `rows` is the distribution in which forced token i stands; the last is open.
            for row, token in enumerate(forced):
                yield self._emit(token, Distribution(rows[row : row + 1]), forced=True)
                if self._over(token):
                    yield self._end(token)
                    return
            raw = rows[-1:]
            distribution = Distribution(raw)
            token, alone = self._choose(raw[0], distribution)
            yield self._emit(token, distribution, forced=alone)
            if self._over(token):
                yield self._end(token)
                return
            forced = ()
            if self._constraint is not None:
                forced = self._trim(self._constraint.accept(token))
            rows = self._compute([token, *forced], keep=len(forced) + 1)

    def keep_tokens(self, prompt: list[int]) -> None:
        """Have later prompts render this text as the very tokens that made it."""
        chosen = self._chosen
        if chosen and chosen[-1] in self._model.end_tokens:
            chosen = chosen[:-1]
        self._model.chat.remember(prompt, "".join(self._pieces), chosen)

    def _choose(self, raw: Tensor, distribution: Distribution) -> tuple[int, bool]:
        if not distribution.finite():
            raise ModelError(
                f"The model {self._model.name} computes no numbers. Its weights are damaged: run "
                "`nightschool model verify`."
            )
        if self._constraint is None:
            return distribution.best() if self._sampler.greedy else self._sampler.choose(raw), False
        masked = self._constraint.mask(raw.clone())
        token = self._sampler.choose(masked)
        if masked[token] == -torch.inf:
            raise ModelError("The grammar of the tool calls allows no token here. Turn off model.constrain.")
        return token, self._constraint.forced

    def _trim(self, forced: Sequence[int]) -> Sequence[int]:
        """Forced tokens up to the end of the turn or the last token allowed."""
        forced = forced[: self._limit - len(self._chosen)]
        for index, token in enumerate(forced):
            if token in self._model.end_tokens:
                return forced[: index + 1]
        return forced

    def _compute(self, tokens: Sequence[int], keep: int | None = None) -> Tensor:
        return self._model.forward(self._computed, tokens, keep=len(tokens) if keep is None else keep)

    def _look(self, tokens: Sequence[int]) -> Tensor:
        """Logits after each of `tokens`, were they to come next; see `agent.model.constraint.Look`."""
        length = len(self._computed)
        try:
            return self._compute(tokens)
        finally:
            self._computed.cut(length)

    def _emit(self, token: int, distribution: Distribution, forced: bool) -> TokenDelta:
        text = self._text.push(token)
        signal = distribution.signal(token, text, forced)
        self._chosen.append(token)
        self._pieces.append(text)
        self._signals.append(signal)
        self._in_circles = goes_in_circles(self._chosen)
        return TokenDelta(text=text, signal=signal)

    def _over(self, token: int) -> bool:
        return token in self._model.end_tokens or len(self._chosen) >= self._limit or self._in_circles

    def _end(self, token: int) -> TurnEnd:
        return TurnEnd(
            text="".join(self._pieces),
            finish_reason=finish_reason(token in self._model.end_tokens, self._in_circles),
            usage=self._usage + TokenUsage(generated=len(self._chosen)),
            signals=SignalSummary.of(self._signals),
        )


def _end_tokens(network: Any, tokens: Tokens) -> tuple[int, ...]:
    """The template's end of turn first, then whatever else the model's configuration names."""
    configured = network.generation_config.eos_token_id
    if configured is None:
        configured = network.config.eos_token_id
    named = [configured] if isinstance(configured, int) else list(configured or ())
    found = [tokens.added[name] for name in ("<|im_end|>", "<|endoftext|>") if name in tokens.added]
    ordered = tuple(dict.fromkeys([*found, *named]))
    if not ordered:
        raise ModelError(f"The model does not say how a turn ends: {json.dumps(named)}.")
    return ordered
