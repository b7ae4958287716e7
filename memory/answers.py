"""Answers that were given, kept to be given again: a bounded cache of one home.

They stand under the state of what is known that they were made from, and under nothing else: once that
state has passed they are removed, so no text outlives what it was taken from. Losing them costs time only.
One process writes.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

from memory.disk import replace_file

_log = logging.getLogger(__name__)
_MOST = 200


class AnswerStore:
    """Texts by state and key."""

    def __init__(self, folder: Path, most: int = _MOST) -> None:
        """`most`: answers kept; the one that was used longest ago goes first."""
        self._folder = folder
        self._most = most

    def get(self, state: str, key: str) -> str | None:
        """What was kept; None when there is nothing or it cannot be read."""
        path = self._folder / state / f"{key}.json"
        try:
            text = path.read_text(encoding="utf-8")
            path.touch()
        except (OSError, UnicodeDecodeError):
            return None
        return text

    def put(self, state: str, key: str, text: str) -> None:
        """Keep a text; answers of other states go. A disk that is full costs the cache only."""
        folder = self._folder / state
        try:
            self.keep_only(state)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            kept = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for path in kept[: max(0, len(kept) - self._most + 1)]:
                path.unlink()
            replace_file(folder / f"{key}.json", text.encode())
        except OSError as error:
            _log.warning("the answer is not kept: %s", error)

    def keep_only(self, state: str) -> None:
        """Remove every answer of other states. Raises OSError."""
        if self._folder.is_dir():
            for folder in self._folder.iterdir():
                if folder.name != state:
                    shutil.rmtree(folder)

    def clear(self) -> None:
        """Remove every answer. Raises OSError."""
        if self._folder.is_dir():
            shutil.rmtree(self._folder)


def digest_of(fields: Mapping[str, object]) -> str:
    """A name for exactly these values."""
    text = repr(sorted(fields.items()))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
