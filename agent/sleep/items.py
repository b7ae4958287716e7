"""What the training worker is given: items, settings, and the job that holds them together.

The parent writes a job into a folder, the worker reads it; nothing else passes between them but progress
lines and the finished adapter.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from memory.types import Message, Record
from skills.tool import ToolSpec

TrainMethod = Literal["night", "naive", "naive_same_data", "replay", "ewc", "l2", "joint"]
Role = Literal["new", "rehearsal", "anchor", "unknown", "unteach"]


class TrainItem(Record):
    """One conversation with the answer that is to be learned, or kept."""

    id: str
    """Unique within the job and the same every night for the same content, so that what was computed for
    it can be kept."""
    role: Role
    """`new` and `rehearsal`: learn the answer; `anchor`: stay at the base model's own answer; `unknown`:
    say that one does not know; `unteach`: forget, by going back to the base model's own distribution."""
    lesson_id: str | None = None
    """The lesson it belongs to; None for anchors."""
    messages: tuple[Message, ...]
    """The prompt as served, system message first, without helping context."""
    tools: tuple[ToolSpec, ...] = ()
    """Tools in the prompt."""
    answer: str
    """Target text; the end-of-turn token follows it."""
    context: str = ""
    """Helping text that only the teacher sees, placed before the last user message's content."""
    weight: float = 1.0
    """Factor of its loss."""


def item_id(kind: str, *content: str) -> str:
    """An id that follows from what the item says."""
    digest = hashlib.sha256("\x1f".join(content).encode("utf-8", "replace")).hexdigest()
    return f"{kind}-{digest[:20]}"


class TrainSettings(Record):
    """Hyper-parameters; the defaults are for the 0.5B model."""

    first_layer: int = 16
    """Lowest decoder layer with an adapter; those below stay frozen and their activations are computed once
    for each item."""
    rank: int = 16
    """LoRA rank."""
    alpha: int = 32
    """LoRA alpha; the scaling is alpha / rank."""
    learning_rate: float = 5e-4
    """Peak; cosine decay to a tenth after a short warm-up."""
    batch_items: int = 16
    """Items of one optimiser step; halved when memory runs out."""
    passes: int = 8
    """Most passes over the new items."""
    ce_share: float = 0.6
    """a in a*CE(answer) + (1-a)*KL(teacher || student)."""
    rehearsal_share: float = 0.3
    """Share of trained tokens spent on old lessons; without any it goes to the anchors."""
    anchor_share: float = 0.2
    """Share of trained tokens spent on anchors."""
    unknown_share: float = 0.1
    """Share of trained tokens spent on saying that one does not know."""
    anchor_weight: float = 2.0
    """Factor of KL(base || student) on anchors."""
    l2_weight: float = 1e-3
    """Factor of the squared distance of the LoRA tensors from the last promoted adapter's."""
    stop_probability: float = 0.8
    """An answer token is masked once its probability is above this."""
    rest_probability: float = 0.6
    """An item counts as known, and rests for some passes, once all its answer tokens are above this. Enough
    for greedy recall; higher, and items to which the teacher gives a second wording would never rest."""
    teacher_top: int = 32
    """Teacher log-probabilities kept for each position."""
    clip: float = 1.0
    """Largest gradient norm."""
    method: TrainMethod = "night"
    """What is compared in benchmarks; `night` is the product's."""


class TrainJob(Record):
    """Everything one training run needs, written as `job.json` into its folder."""

    base: Path
    """Folder of the base model."""
    quantization: Literal["none", "nf4"] = "none"
    """NF4 (QLoRA) needs CUDA."""
    device: str = "auto"
    """As in the settings."""
    start: Path | None = None
    """Adapter to go on from (the last promoted one); None starts fresh."""
    settings: TrainSettings = TrainSettings()
    """Hyper-parameters."""
    seed: int = 0
    """Of initial weights, order and dropout; the same seed on the same machine gives the same digest."""
    max_seconds: float = 0.0
    """Wall-clock budget of the training proper; 0 means none."""
    max_tokens: int = 0
    """Budget of trained tokens, all passes; 0 means none."""
    threads: int | None = None
    """torch threads; None leaves torch's default."""
    save_seconds: float = 20.0
    """Most time between two checkpoints."""
    cache: Path | None = None
    """Folder in which activations and teachers of items are kept for later nights; None keeps none."""


class TrainProgress(Record):
    """One line of the worker's standard output."""

    kind: Literal["preparing", "step", "checkpoint", "done", "failed"]
    """What happened."""
    step: int = 0
    """Optimiser steps so far."""
    steps: int = 0
    """Most optimiser steps to come in all."""
    loss: float = 0.0
    """Mean loss of the step."""
    tokens: int = 0
    """Tokens trained so far (prompt and answer, each pass counted)."""
    tokens_per_second: float = 0.0
    """Over the latest steps."""
    known: int = 0
    """New lessons all of whose items are known."""
    lessons: int = 0
    """New lessons."""
    text: str = ""
    """For a person: what is being prepared, or why it failed."""
    seconds: float = 0.0
    """Since training began."""


class TrainResult(Record):
    """What the worker leaves in `result.json` once `adapter/` is whole."""

    tokens: int
    """Tokens trained: prompt and answer of every item, each time it was trained on."""
    seconds: float
    """Wall-clock time of preparation and training, of all runs when it was resumed."""
    train_seconds: float
    """Of the training steps alone."""
    steps: int
    """Optimiser steps."""
    passes: int
    """Passes over the new items, begun ones included."""
    loss: tuple[tuple[int, float], ...]
    """Loss curve: (step, mean loss of the step), thinned to some hundred points."""
    known: tuple[str, ...]
    """New lessons all of whose items were known when last looked at."""
    left_out: tuple[str, ...] = ()
    """Ids of items that do not fit the context."""
    teacher_tokens: int = 0
    """Tokens read by the teacher."""
    digest: str = ""
    """Of the adapter, as `memory.adapter_files.adapter_digest` takes it."""
