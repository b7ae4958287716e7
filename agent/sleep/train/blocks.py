"""Prepared items kept on disk: within one run, so that a resumed one sees the same numbers to the bit, and
across nights, so that old lessons and anchors need not be computed again.

Rounding depends on what is computed together, so a block is written before it is used and is read back by
whoever goes on. The store of later nights is read while a run goes on and added to only at its end.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from agent.disk import replace_file

Tensors = dict[str, Tensor]
"""`states`, and where there is a teacher `ids` and `logprobs`."""


class Store:
    """Files of prepared items in one folder, by their keys."""

    def __init__(self, folder: Path) -> None:
        self.files: list[Path] = []
        """In the order they were added."""
        self._where: dict[str, Path] = {}
        found = folder.glob("block-*.safetensors") if folder.is_dir() else ()
        for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name)):
            try:
                with safe_open(path, framework="pt") as file:
                    keys = json.loads(file.metadata()["keys"])
            except (OSError, SafetensorError, KeyError, ValueError):
                # what cannot be read is computed anew
                path.unlink(missing_ok=True)
                continue
            self.files.append(path)
            self._where.update(dict.fromkeys(keys, path))

    def read(self, keys: Sequence[str]) -> dict[str, Tensors]:
        """Those of the keys that are there. Raises OSError, SafetensorError."""
        by_file: dict[Path, set[str]] = {}
        for key in keys:
            if key in self._where:
                by_file.setdefault(self._where[key], set()).add(key)
        found: dict[str, Tensors] = {}
        for path, wanted in by_file.items():
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 not a mapping
                    key, part = name.split("/")
                    if key in wanted:
                        found.setdefault(key, {})[part] = file.get_tensor(name)
        return found

    def add(self, path: Path, items: dict[str, Tensors]) -> None:
        """Write a file of prepared items. Raises OSError; nothing of it is left then."""
        tensors = {
            f"{key}/{name}": value.cpu().contiguous()
            for key, parts in items.items()
            for name, value in parts.items()
        }
        replace_file(path, save(tensors, metadata={"keys": json.dumps(sorted(items))}))
        self.files.append(path)
        self._where.update(dict.fromkeys(items, path))


def store_name(base: Path, first: int, top: int) -> str:
    """Folder name of what fits one base model and these settings."""
    import hashlib

    digest = hashlib.sha256(repr((first, top, torch.__version__)).encode())
    for path in sorted(base.glob("*")):
        if path.suffix in (".safetensors", ".json"):
            stat = path.stat()
            digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    return f"{base.name}-{digest.hexdigest()[:16]}"


def keep(blocks: Sequence[Path], store: Path, most_bytes: int) -> None:
    """Move a finished run's blocks into the store; the oldest files go when it becomes too large.

    The store only saves time: what cannot be moved is left where it is.
    """
    with contextlib.suppress(OSError):
        store.mkdir(parents=True, exist_ok=True)
        for path in blocks:
            path.replace(store / f"block-{path.stat().st_mtime_ns}-{path.name}")
    files = sorted(store.glob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    total = sum(path.stat().st_size for path in files)
    while len(files) > 1 and total > most_bytes:
        oldest = files.pop(0)
        total -= oldest.stat().st_size
        oldest.unlink(missing_ok=True)
