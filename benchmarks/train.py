"""The product's trainer against TRL's SFTTrainer: the same chats, model and machine, in turn.

Tokens count alike for both: prompt and answer of every chat, each time it is trained on. The product runs
in its worker process, with teacher and early stop as by night; TRL then makes as many passes. Learning is
measured by greedy answers on a trained question and on far ones that neither has seen.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent.errors import LearningError, UsageError
from agent.sleep.items import TrainItem, TrainJob, TrainSettings
from benchmarks.facts import Fact, invent
from benchmarks.train_chats import asking, chats

_ANSWER_TOKENS = 24


def run_train(
    base: Path,
    *,
    facts: int = 10,
    rounds: int = 3,
    settings: TrainSettings | None = None,
    seed: int = 0,
    threads: int | None = None,
    compare: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Medians over `rounds`, which differ in seed and facts. Raises UsageError, LearningError."""
    if compare and importlib.util.find_spec("trl") is None:
        raise UsageError("TRL is not installed. Install the extra `trl`, or give --no-trl.")
    chosen = settings or TrainSettings()
    rows: list[dict[str, Any]] = []
    for number in range(rounds):
        pool = invent(facts, seed + number)
        items = chats(pool)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            row = _product(base, place, items, chosen, seed + number, threads)
            row |= _learned(base, place / "product/adapter", pool, "product")
            say(f"round {number + 1}, product: {row}")
            if compare:
                theirs = _trl(base, place, items, chosen, row["passes"], seed + number, threads)
                theirs |= _learned(base, place / "adapter", pool, "trl")
                say(f"round {number + 1}, TRL: {theirs}")
                row |= theirs
        rows.append(row)
    middle = {key: round(statistics.median(row[key] for row in rows), 3) for key in rows[0]}
    if compare:
        middle["times_trl"] = round(
            statistics.median(row["tokens_per_second"] / row["trl_tokens_per_second"] for row in rows), 2
        )
    return {
        "model": base.name,
        "facts": facts,
        "chats": 8 * facts,
        "settings": chosen.model_dump(),
        "median": middle,
        "rounds": rows,
    }


def _product(
    base: Path,
    place: Path,
    items: Sequence[TrainItem],
    settings: TrainSettings,
    seed: int,
    threads: int | None,
) -> dict[str, Any]:
    from agent.sleep.training import train

    job = TrainJob(base=base, device="cpu", settings=settings, seed=seed, threads=threads)
    loaded: list[float] = []
    result = asyncio.run(
        train(
            place / "product",
            job,
            items,
            lambda said: loaded.append(said.seconds) if said.text != "loading the model" else None,
        )
    )
    # Loading the model is left out on both sides; teachers and cached activations count.
    seconds = result.seconds - loaded[0]
    return {
        "passes": result.passes,
        "tokens": result.tokens,
        "tokens_per_second": round(result.tokens / seconds, 1),
        "step_tokens_per_second": round(result.tokens / result.train_seconds, 1),
        "seconds": round(seconds, 1),
        "known": len(result.known),
    }


def _trl(
    base: Path,
    place: Path,
    items: Sequence[TrainItem],
    settings: TrainSettings,
    passes: int,
    seed: int,
    threads: int | None,
) -> dict[str, Any]:
    job = {
        "base": str(base),
        "out": str(place / "adapter"),
        "passes": passes,
        "rank": settings.rank,
        "alpha": settings.alpha,
        "rate": settings.learning_rate,
        "batch": settings.batch_items,
        "seed": seed,
        "threads": threads,
        "chats": [
            {
                "prompt": [{"role": one.role, "content": one.content} for one in item.messages],
                "completion": [{"role": "assistant", "content": item.answer}],
            }
            for item in items
        ],
    }
    path = place / "trl.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-P", "-m", "benchmarks.train_trl", str(path)], capture_output=True, text=True
    )
    if run.returncode:
        lines = run.stderr.strip().splitlines()
        raise LearningError(f"TRL failed: {lines[-1] if lines else run.returncode}")
    seconds = json.loads(run.stdout.strip().splitlines()[-1])["train_seconds"]
    tokens = passes * _tokens(base, items)
    return {
        "trl_tokens_per_second": round(tokens / seconds, 1),
        "trl_seconds": round(seconds, 1),
        "trl_tokens": tokens,
    }


def _tokens(base: Path, items: Sequence[TrainItem]) -> int:
    """Prompt and answer tokens of one pass."""
    from agent.model.chat import Chat
    from agent.model.loading import load_tokenizer
    from agent.model.tokens import Tokens

    tokens = Tokens.load(base)
    chat = Chat.of_tokenizer(load_tokenizer(base), tokens)
    return sum(len(chat.prompt(item.messages)) + len(tokens.encode(item.answer)) + 1 for item in items)


def _learned(base: Path, adapter: Path, facts: Sequence[Fact], who: str) -> dict[str, Any]:
    """Shares of questions answered right, closed-book."""
    from agent.model.base import GenerateRequest
    from agent.model.local import LocalModel

    model = LocalModel.load(base, base.name)
    model.activate(adapter)
    shares: dict[str, Any] = {}
    for form in ("near", "far"):
        asked = [(question.text, fact.object) for fact in facts for question in _questions(fact, form)]
        ends = model.generate_batch(
            [GenerateRequest(messages=asking(text), max_tokens=_ANSWER_TOKENS) for text, _ in asked]
        )
        right = sum(
            wanted.casefold() in end.text.casefold() for (_, wanted), end in zip(asked, ends, strict=True)
        )
        shares[f"{who}_{form}"] = round(right / len(asked), 3)
    return shares


def _questions(fact: Fact, form: str) -> Sequence[Any]:
    return fact.questions("near" if form == "near" else "far")
