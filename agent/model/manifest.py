"""What an installed model consists of: the list of its files with sizes and digests, kept beside them.

A folder without a whole manifest is not an installed model.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from agent.errors import ModelError
from memory.types import Record

FILE_NAME = "manifest.json"
_CHUNK = 4 * 1024 * 1024


class FileRecord(Record):
    """One file of an installed model."""

    bytes: int
    """Size."""
    sha256: str
    """Digest when it was installed."""


class Manifest(Record):
    """One installed model."""

    format: int = 1
    """Version of this record."""
    name: str
    """Catalogue name."""
    source: str
    """Where the weights came from, for people: `package index`, `hub Qwen/Qwen3-8B@<commit>`, a path."""
    catalogue_digest: str
    """Digest of the catalogue entry they came by."""
    installed_at: datetime
    """When, in UTC."""
    files: dict[str, FileRecord]
    """Every file but the manifest, by relative path."""

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files.values())


def read(folder: Path) -> Manifest | None:
    """The manifest in this folder, or None where there is none. Raises ModelError when it is damaged."""
    path = folder / FILE_NAME
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        raise ModelError(f"{path} is damaged. Remove {folder} and pull the model again.") from error


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into the folder and put everything in it on the disk for good."""
    (folder / FILE_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def describe(folder: Path, on_bytes: Callable[[int, int], None]) -> dict[str, FileRecord]:
    """Hash every file in the folder but the manifest. `on_bytes` gets bytes done and in all."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != FILE_NAME)
    total = sum(path.stat().st_size for path in paths)
    done, files = 0, {}
    for path in paths:
        before = done
        digest = file_sha256(path, lambda n, before=before: on_bytes(before + n, total))  # type: ignore[misc]
        done += path.stat().st_size
        files[path.relative_to(folder).as_posix()] = FileRecord(bytes=path.stat().st_size, sha256=digest)
    return files


def file_sha256(path: Path, on_bytes: Callable[[int], None] = lambda done: None) -> str:
    """The file's sha256 in hex; `on_bytes` gets the bytes read so far."""
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            on_bytes(done)
    return digest.hexdigest()


def missing_pieces(folder: Path) -> str:
    """What a transformers model folder lacks, as half a sentence, or the empty string when it is whole.

    Looks at the safetensors headers, so a file that was cut short is noticed without reading it.
    """
    for name in ("config.json", "tokenizer.json"):
        try:
            json.loads((folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return f"{name} is missing"
        except ValueError:
            return f"{name} is not JSON"
    index = folder / "model.safetensors.index.json"
    shards = ["model.safetensors"]
    if index.is_file():
        try:
            shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError):
            return f"{index.name} is damaged"
    for shard in shards:
        if not (folder / shard).is_file():
            return f"{shard} is missing"
        if not _whole_safetensors(folder / shard):
            return f"{shard} is cut short or damaged"
    return ""


def _whole_safetensors(path: Path) -> bool:
    """Whether the file is as long as its header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > size - 8:
            return False
        try:
            header = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, AttributeError, TypeError, IndexError):
            return False
    return bool(ends) and size == 8 + length + max(ends)
