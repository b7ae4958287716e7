"""Adapters on disk, in PEFT's format: writing, starting from, scaling. Needs no torch.

`adapter_config.json` names the base by its folder's name, never by a path of this machine.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.disk import sync_folder, write_file
from agent.errors import LearningError
from memory.adapter_files import CONFIG, WEIGHTS, read_config, read_tensors, scaling_of
from memory.errors import AdapterError


def read_adapter(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and float32 numpy tensors by PEFT's names. Raises LearningError."""
    try:
        config = read_config(folder)
        scaling_of(config, folder)
        return config, dict(read_tensors(folder))
    except AdapterError as error:
        raise LearningError(str(error)) from error


def lowest_layer(tensors: Mapping[str, Any]) -> int:
    """The lowest decoder layer an adapter has tensors for."""
    return min(int(name.split(".layers.", 1)[1].split(".", 1)[0]) for name in tensors)


def write_adapter(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    """Write both files into a folder that appears only when it is whole. `tensors` are numpy arrays.

    Raises OSError; then nothing of it is left.
    """
    from safetensors.numpy import save

    beside = folder.with_name(folder.name + ".part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        write_file(beside / CONFIG, json.dumps(config, indent=2, sort_keys=True, default=_plain).encode())
        write_file(beside / WEIGHTS, save(dict(sorted(tensors.items())), metadata={"format": "pt"}))
        shutil.rmtree(folder, ignore_errors=True)
        beside.replace(folder)
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def scale_adapter(source: Path, factor: float, target: Path) -> None:
    """Write the adapter in `source` with `factor` times its strength to `target`.

    The B matrices are multiplied, so rank and alpha stay what they are and training can go on from it.
    Raises LearningError.
    """
    config, tensors = read_adapter(source)
    scaled = {name: array * factor if ".lora_B." in name else array for name, array in tensors.items()}
    try:
        write_adapter(target, config, scaled)
    except OSError as error:
        raise LearningError(f"Cannot write {target}: {error.strerror}. Free some space.") from error


def _plain(value: object) -> object:
    """PEFT's sets and enumerations as JSON."""
    return sorted(value) if isinstance(value, set) else str(getattr(value, "value", value))
