"""Greedy answers of one base model under one adapter or another, each asked for only once.

Answers to our own probes are kept in files, one for each adapter, so that what an exam needs of the serving
adapter is there already. Answers to questions about lessons stay in memory: they are the user's. An
adapter's file may echo what it learned, so whoever forgets a lesson calls `forget_answers`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.model.adapters import folder_digest
from agent.model.base import GenerateRequest, Model

OnProgress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and how much there is. An error it raises ends the work."""

_FORMAT = 1
_SLICE = 48
# Files of that many adapters stay: the serving one, its candidates, and a few to roll back to.
_ADAPTERS = 8


class Answers:
    """What a model says. Belongs to the thread that owns the model, and leaves whichever adapter it asked
    last active."""

    def __init__(
        self, model: Model, folder: Path | None, base_digest: str, shared: Path | None = None
    ) -> None:
        """`folder` is the home's, for answers of adapters; `shared` (by default the same) holds the base
        model's, which know no lesson and serve every home. None keeps nothing on disk."""
        self.model = model
        self._folder = _below(folder, base_digest)
        self._shared = _below(shared or folder, base_digest)
        self._known: dict[str, dict[str, tuple[str, bool]]] = {}
        self._figures: dict[str, dict[str, list[float]]] = {}

    def ask(
        self,
        adapter: Path | None,
        requests: Sequence[GenerateRequest],
        *,
        keep: bool = False,
        label: str = "",
        on_progress: OnProgress = lambda text, done, total: None,
    ) -> list[str]:
        """One answer for each request. `keep`: they may go to the disk."""
        return [text for text, _ in self.ask_whole(adapter, requests, keep, label, on_progress)]

    def ask_whole(
        self,
        adapter: Path | None,
        requests: Sequence[GenerateRequest],
        keep: bool = False,
        label: str = "",
        on_progress: OnProgress = lambda text, done, total: None,
    ) -> list[tuple[str, bool]]:
        """The same, each with whether the model ended its turn itself."""
        name = adapter_name(adapter)
        known = self._load(name)
        keys = [_key(request) for request in requests]
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in known}
        left = sorted(missing, key=lambda key: len(str(missing[key].messages)))
        if left:
            self.model.activate(adapter)
        for start in range(0, len(left), _SLICE):
            on_progress(label, start, len(left))
            part = left[start : start + _SLICE]
            ends = self.model.generate_batch([missing[key] for key in part])
            fresh = {
                key: (end.text, end.finish_reason == "stop") for key, end in zip(part, ends, strict=True)
            }
            known.update(fresh)
            if keep:
                self._append(name, fresh)
        if left:
            on_progress(label, len(left), len(left))
        return [known[key] for key in keys]

    def figures(self, adapter: Path | None, name: str, measure: Callable[[], Sequence[float]]) -> list[float]:
        """Figures of one adapter, measured (with it active) unless they are known."""
        adapter_id = adapter_name(adapter)
        self._load(adapter_id)
        figures = self._figures[adapter_id]
        if name not in figures:
            self.model.activate(adapter)
            figures[name] = list(measure())
            self._write_line(adapter_id, {"format": _FORMAT, "figures": name, "values": figures[name]})
        return figures[name]

    def _load(self, name: str) -> dict[str, tuple[str, bool]]:
        if name in self._known:
            return self._known[name]
        known = self._known[name] = {}
        figures = self._figures[name] = {}
        path = self._path(name)
        if path is None or not path.is_file():
            return known
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
                if row["format"] != _FORMAT:
                    continue
                if "figures" in row:
                    figures[row["figures"]] = [float(value) for value in row["values"]]
                else:
                    known[row["key"]] = (str(row["text"]), bool(row["whole"]))
            except (ValueError, KeyError, TypeError):
                continue  # a line cut off by a crash is asked for again
        path.touch()
        return known

    def _append(self, name: str, fresh: dict[str, tuple[str, bool]]) -> None:
        for key, (text, whole) in fresh.items():
            self._write_line(name, {"format": _FORMAT, "key": key, "text": text, "whole": whole})

    def _write_line(self, name: str, row: dict[str, object]) -> None:
        path = self._path(name)
        if path is None:
            return
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _drop_oldest(path.parent)
        with path.open("a+b") as file:
            torn = False
            if file.tell():
                file.seek(-1, os.SEEK_END)
                torn = file.read() != b"\n"
            # a line cut off by a crash must not swallow the next
            file.write(b"\n" * torn + json.dumps(row).encode() + b"\n")

    def _path(self, name: str) -> Path | None:
        folder = self._shared if name == adapter_name(None) else self._folder
        return None if folder is None else folder / f"{name}.jsonl"


def _below(folder: Path | None, base_digest: str) -> Path | None:
    return None if folder is None else folder / "answers" / base_digest[:16]


def forget_answers(folder: Path) -> None:
    """Remove every adapter's kept answers; the base model's, which know no lesson, stay."""
    for path in (folder / "answers").glob("*/*.jsonl"):
        if path.stem != adapter_name(None):
            path.unlink(missing_ok=True)


def adapter_name(adapter: Path | None) -> str:
    """The name an adapter's answers are kept under: a digest of its files, `base` without one."""
    return "base" if adapter is None else folder_digest(adapter)


def _drop_oldest(folder: Path) -> None:
    paths = [path for path in folder.glob("*.jsonl") if path.stem != adapter_name(None)]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime)[: -_ADAPTERS or None]:
        path.unlink(missing_ok=True)


def _key(request: GenerateRequest) -> str:
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()[:32]
