"""What was read of documents, kept as it was read: the truth that the chunks are made from.

One file for each different text, named by its digest, so that versions that say the same share one.
Written whole and fsynced before anything refers to it; read back, it is checked against its name.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

from pydantic import ValidationError

from memory.disk import replace_file
from memory.errors import StoreError
from memory.knowledge import DocumentText

_NAME = re.compile(r"[0-9a-f]{64}")
_LEVEL = 6


class TextStore:
    """The texts of one home."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, text: DocumentText) -> str:
        """Keep a text; returns its name. Raises StoreError when it cannot be written."""
        body = text.model_dump_json().encode()
        name = hashlib.sha256(body).hexdigest()
        path = self._path(name)
        try:
            if not path.exists():
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                # no time of writing inside: the same text makes the same file
                replace_file(path, gzip.compress(body, _LEVEL, mtime=0))
        except OSError as error:
            raise StoreError(
                f"Cannot write {path}: {(error.strerror or str(error)).lower()}. "
                "Free some space, or choose another home with --home."
            ) from error
        return name

    def __contains__(self, name: str) -> bool:
        return self._path(name).exists()

    def get(self, name: str) -> DocumentText:
        """The text of that name. Raises StoreError when it is not there or damaged."""
        path = self._path(name)
        try:
            body = gzip.decompress(path.read_bytes())
            if hashlib.sha256(body).hexdigest() != name:
                raise ValueError("it is not what was written")
            return DocumentText.model_validate_json(body)
        except (OSError, EOFError, ValueError, ValidationError) as error:
            fact = "it is not there" if isinstance(error, FileNotFoundError) else "it is damaged"
            raise StoreError(
                f"The kept text {path} cannot be read: {fact}. Move it away, then add the document again."
            ) from error

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise StoreError(f"`{name[:80]}` names no kept text.")
        return self._folder / f"{name}.json.gz"
