"""Where a run stands, and the checkpoint file that holds it.

A checkpoint is one safetensors file: the adapter's tensors, the optimiser's, the random state, and the
rest as JSON in its header. It is replaced whole or not at all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from agent.disk import replace_file

CHECKPOINT = "checkpoint.safetensors"


class Standing(BaseModel):
    """Everything but tensors that a run needs to go on; changes as it goes."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    step: int = 0
    """Optimiser steps made."""
    turn: int = 0
    """Passes finished."""
    position: int = 0
    """Steps made of the current pass."""
    finished: bool = False
    """No step is to come."""
    known: dict[str, bool] = {}
    """By item id: whether every answer token was above the threshold when last looked at."""
    resting: dict[str, int] = {}
    """Items left out of this pass, by id: for how many passes, this one included."""
    streaks: dict[str, int] = {}
    """By item id: how often it was found known in a row."""
    cursors: dict[str, tuple[int, float]] = {}
    """Of the feeds at the beginning of this pass: items drawn, tokens owed."""
    waiting: list[str] = []
    """Items drawn before this pass that wait for others with the same long prefix."""
    tokens: int = 0
    """Trained so far."""
    teacher_tokens: int = 0
    """Read by the teacher so far."""
    seconds: float = 0.0
    """Wall-clock time so far, preparation included."""
    train_seconds: float = 0.0
    """Of the steps alone."""
    losses: list[tuple[int, float]] = []
    """Loss of every step."""
    rate: float = 1.0
    """Factor of the learning rate; halved once after a loss that was no number."""
    splits: int = 1
    """Into how many parts a step's items are split to fit memory."""
    ewc: float = 0.0
    """Weight of the Fisher penalty, once it is known."""


def save(
    folder: Path, standing: Standing, adapter: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    """Write the checkpoint. Raises OSError; the earlier one stays then."""
    from safetensors.torch import save as to_bytes

    tensors = {f"adapter/{name}": value.detach().cpu().contiguous() for name, value in adapter.items()}
    plain: dict[str, Any] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{name}"] = value.detach().cpu().contiguous()
            else:
                plain[f"{index}/{name}"] = value
    tensors["random"] = torch.get_rng_state()
    header = {"standing": standing.model_dump_json(), "optimizer": json.dumps(plain)}
    replace_file(folder / CHECKPOINT, to_bytes(tensors, metadata=header))


def load_standing(folder: Path) -> Standing | None:
    """What a checkpoint says of the run; None when there is none."""
    from safetensors import safe_open

    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        return Standing.model_validate_json(file.metadata()["standing"])


def load(
    folder: Path, adapter: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
) -> Standing | None:
    """Put everything back as it was saved; None when there is no checkpoint."""
    from safetensors import safe_open

    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 not a mapping
    with torch.no_grad():
        for name, value in adapter.items():
            value.copy_(tensors[f"adapter/{name}"])
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/")
            state.setdefault(int(index), {})[key] = value
    for name, value in json.loads(header["optimizer"]).items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    torch.set_rng_state(tensors["random"])
    return Standing.model_validate_json(header["standing"])
