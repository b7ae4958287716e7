"""An adapter for other programs: PEFT's own folder, or merged into a whole model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from agent.errors import LearningError, UsageError

# Beside the weights, what a program needs to use a merged model.
_KEPT = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "generation_config.json")


def export(source: Path, base: Path, form: Literal["peft", "merged"], target: Path) -> None:
    """Write the adapter in `source` into `target`, a folder that must not exist or be empty.

    Raises UsageError for a folder in use and LearningError when it cannot be written; nothing is left then.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is there already. Choose another folder with --to.")
    temporary = target.with_name(f".{target.name}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        if form == "peft":
            shutil.copytree(source, temporary)
        else:
            _merge(source, base, temporary)
        if target.exists():
            target.rmdir()
        temporary.rename(target)
    except OSError as error:
        raise LearningError(f"Cannot write {target}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _merge(source: Path, base: Path, target: Path) -> None:
    import peft
    import torch

    from agent.model.loading import choose_dtype, load_network

    device = torch.device("cpu")
    network = load_network(base, device, choose_dtype(device), pack=False)
    merged = peft.PeftModel.from_pretrained(network, source).merge_and_unload()
    merged.save_pretrained(target)
    for name in _KEPT:
        if (base / name).is_file():
            shutil.copy(base / name, target / name)
    for template in base.glob("*.jinja"):
        shutil.copy(template, target / template.name)
