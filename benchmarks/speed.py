"""How fast the local backend loads, reads and writes, measured on the product's own code path."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.model.base import GenerateRequest, TokenDelta, TurnEnd
from memory.types import Message

_WORDS = "The school keeps a ledger of every lesson, and each night the pupils read it again in silence. "
_QUESTION = "Tell a very long story that goes on from here, with many details."


def run_speed(
    model_dir: Path,
    *,
    prompt_tokens: int = 1024,
    decode_tokens: int = 64,
    rounds: int = 3,
    device: str = "cpu",
    pack: bool = True,
) -> dict[str, Any]:
    """Seconds to load; tokens per second of prefill and decode; milliseconds per token for the signals.

    Each rate is the median of `rounds`; `best` is the quickest, which other work on the machine disturbs
    least. The decode rate comes from the median time between two tokens.
    """
    import torch

    from agent.model.local import LocalModel
    from agent.model.packing import PackedLinear

    began = time.perf_counter()
    model = LocalModel.load(model_dir, model_dir.name, device=device, context_tokens=8192, pack=pack)
    load_seconds = time.perf_counter() - began
    text = _WORDS * (prompt_tokens // 20 + 1)
    prefill: list[float] = []
    decode: list[float] = []
    for number in range(rounds):
        # A different beginning, so that no prefix is found.
        message = Message(role="user", content=f"Round {number}. {text}{_QUESTION}", provenance="user")
        request = GenerateRequest(messages=(message,), max_tokens=decode_tokens)
        began = time.perf_counter()
        moments: list[float] = []
        for delta in model.stream(request):
            if isinstance(delta, TokenDelta):
                moments.append(time.perf_counter())
            if isinstance(delta, TurnEnd):
                usage = delta.usage
        prefill.append(usage.prefilled / (moments[0] - began))
        steps = [later - earlier for earlier, later in itertools.pairwise(moments)]
        if steps:
            decode.append(1 / statistics.median(steps))
    return {
        "model": model_dir.name,
        "device": device,
        "dtype": str(next(model.network.parameters()).dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "packed_layers": sum(isinstance(layer, PackedLinear) for layer in model.network.modules()),
        "load_seconds": round(load_seconds, 2),
        "prompt_tokens": usage.prompt,
        "prefill_tokens_per_second": _rates(prefill),
        "decode_tokens_per_second": _rates(decode),
        "signal_milliseconds": round(1000 * _signal_seconds(model.network.config.vocab_size), 3),
    }


def _rates(rates: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(rates), 1), "best": round(max(rates), 1)}


def _signal_seconds(vocabulary: int) -> float:
    import torch

    from agent.model.signals import Distribution

    logits = torch.randn(1, vocabulary) * 4

    def measure() -> None:
        Distribution(logits).signal(7, "x")

    return median_seconds(measure, 50)


def median_seconds(action: Callable[[], object], rounds: int) -> float:
    """Median wall-clock seconds of one call."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
