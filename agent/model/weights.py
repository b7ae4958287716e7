"""Installed weights: fetch, find, list, verify.

A model is installed when `CACHE/models/NAME` exists: it gets there by one rename, whole and hashed, and
never by halves. Fetching works in `CACHE/partial/NAME`, where an interrupted fetch finds its parts again.
One process at a time fetches a model; others wait for it and find it installed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from agent.errors import ModelError, WeightsMissing
from agent.model import manifest as manifests
from agent.model import sources
from agent.model.catalogue import FolderWheel, GgufWheels, HubSource, ModelEntry, find
from agent.model.manifest import Manifest
from agent.model.offline import user_is_offline
from agent.model.sources import Progress, SourceUnavailable, Work
from memory.types import Record, now


class Installed(Record):
    """One model in the cache."""

    name: str
    """Catalogue name."""
    path: Path
    """Its folder."""
    source: str
    """Where it came from."""
    bytes: int
    """Bytes on disk."""
    whole: bool
    """Every file is there and has its size; `verify` looks at the content too."""


class Verification(Record):
    """What re-hashing an installed model showed."""

    name: str
    """Catalogue name."""
    path: Path
    """Its folder."""
    ok: bool
    """Nothing is wrong."""
    files: int
    """Files checked."""
    bytes: int
    """Bytes checked."""
    problems: tuple[str, ...]
    """What is wrong, one sentence each."""


def quiet(stage: str, done: int, total: int) -> None:
    """A progress callback that tells nobody."""


def model_dir(name: str, cache: Path) -> Path:
    """The folder of an installed model, sizes checked.

    Raises ModelError for an unknown name or damaged weights, WeightsMissing with the command to run.
    """
    entry = find(name)
    folder = cache / "models" / entry.name
    manifest = manifests.read(folder)
    if manifest is None:
        raise WeightsMissing(
            f"The weights of {entry.name} are not here yet. Run `nightschool model pull {entry.name}`."
        )
    wrong = _wrong_sizes(folder, manifest)
    if wrong:
        raise ModelError(f"{folder}: {wrong[0]} Run `nightschool model pull {entry.name}` to mend it.")
    return folder


def installed(cache: Path) -> list[Installed]:
    """Every model in the cache, by name."""
    found = []
    for folder in sorted(p for p in (cache / "models").glob("*") if p.is_dir()):
        try:
            manifest = manifests.read(folder)
        except ModelError:
            manifest = None
            if (folder / manifests.FILE_NAME).exists():
                found.append(Installed(name=folder.name, path=folder, source="unknown", bytes=0, whole=False))
        if manifest is not None:
            whole = not _wrong_sizes(folder, manifest)
            found.append(
                Installed(
                    name=manifest.name, path=folder, source=manifest.source, bytes=manifest.bytes, whole=whole
                )
            )
    return found


def verify(entry: ModelEntry, cache: Path, on_progress: Progress = quiet) -> Verification:
    """Hash every file of an installed model again. Raises WeightsMissing when it is not installed."""
    folder = cache / "models" / entry.name
    manifest = manifests.read(folder)
    if manifest is None:
        raise WeightsMissing(
            f"The weights of {entry.name} are not here yet. Run `nightschool model pull {entry.name}`."
        )
    problems = _wrong_sizes(folder, manifest)
    found = manifests.describe(folder, lambda done, total: on_progress("verify", done, total))
    for name, file in found.items():
        recorded = manifest.files.get(name)
        if recorded is None:
            problems.append(f"{name} does not belong to it.")
        elif recorded.bytes == file.bytes and recorded.sha256 != file.sha256:
            problems.append(f"{name} has been changed.")
        if name in entry.pinned and file.sha256 != entry.pinned[name]:
            problems.append(f"{name} is not the one the catalogue pins.")
    return Verification(
        name=entry.name,
        path=folder,
        ok=not problems,
        files=len(found),
        bytes=sum(file.bytes for file in found.values()),
        problems=tuple(problems),
    )


def pull(
    entry: ModelEntry,
    cache: Path,
    on_progress: Progress = quiet,
    source: Path | None = None,
    offline: bool = False,
    reachable: dict[str, bool] | None = None,
) -> Path:
    """Make sure the model is installed and return its folder.

    `source` is a local folder or GGUF file to take instead of the catalogue's sources, also when the model is
    installed already. `offline` keeps to what is on this machine. `reachable` remembers between calls whether
    the hub answered. Raises ModelError in one sentence; then nothing in `CACHE/models` has changed.
    """
    with _plain_errors(cache), _lock(entry, cache, on_progress):
        if source is None and _is_whole(entry, cache):
            return cache / "models" / entry.name
        folder = cache / "partial" / entry.name
        target = folder / "model"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        work = Work(entry, folder, target, on_progress, {} if reachable is None else reachable)
        origin = _fill(work, source, offline)
        _install(work, origin, cache)
    return cache / "models" / entry.name


def pull_first(entries: Sequence[ModelEntry], cache: Path, on_progress: Progress = quiet) -> ModelEntry:
    """Pull the first of these that can be had, and return it. Raises the first one's error if none can."""
    reachable: dict[str, bool] = {}
    first: SourceUnavailable | None = None
    for entry in entries:
        try:
            pull(entry, cache, on_progress, reachable=reachable)
        except SourceUnavailable as error:
            first = first or error
        else:
            return entry
    assert first is not None
    raise first


def _fill(work: Work, path: Path | None, offline: bool) -> str:
    """Fill the target from the first source that can; returns where from."""
    if path is not None:
        return sources.from_path(path, work)
    reasons = []
    for source in work.entry.sources:
        attempts: list[Callable[[], str]] = []
        if isinstance(source, HubSource):
            attempts.append(partial(sources.from_hub_cache, source, work))
            if not (offline or user_is_offline()):
                attempts.append(partial(sources.from_hub, source, work))
        elif isinstance(source, GgufWheels) and not offline:
            attempts.append(partial(sources.from_gguf_wheels, source, work))
        elif isinstance(source, FolderWheel) and not offline:
            attempts.append(partial(sources.from_folder_wheel, source, work))
        for attempt in attempts:
            try:
                return attempt()
            except SourceUnavailable as error:
                reasons.append(str(error))
    name = work.entry.name
    raise SourceUnavailable(
        f"{name} cannot be fetched: {'; '.join(reasons)}. Check the connection and run "
        f"`nightschool model pull {name}` again (what has arrived is kept), or give a local copy with --from."
    )


def _install(work: Work, origin: str, cache: Path) -> None:
    """Check and hash the filled target, then rename it to its place."""
    lack = manifests.missing_pieces(work.target)
    if lack:
        raise ModelError(
            f"{work.entry.name} from {origin} is not a whole model: {lack}. Nothing was installed."
        )
    _check_size(work, origin)
    files = manifests.describe(work.target, lambda done, total: work.on_progress("verify", done, total))
    for name, digest in work.entry.pinned.items():
        if name not in files or files[name].sha256 != digest:
            raise ModelError(
                f"{name} from {origin} is not the file the catalogue pins. Nothing was installed."
            )
    manifest = Manifest(
        name=work.entry.name,
        source=origin,
        catalogue_digest=work.entry.digest(),
        installed_at=now(),
        files=files,
    )
    manifests.write(work.target, manifest)
    place = cache / "models" / work.entry.name
    place.parent.mkdir(parents=True, exist_ok=True)
    replaced = work.folder / "replaced"
    shutil.rmtree(replaced, ignore_errors=True)
    if place.exists():
        place.rename(replaced)
    try:
        work.target.rename(place)
    except OSError:
        if replaced.exists():
            replaced.rename(place)
        raise
    _sync(place.parent)
    shutil.rmtree(work.folder)


def _check_size(work: Work, origin: str) -> None:
    """A folder given for another model than the one named is noticed by its number of weights."""
    if work.entry.kind != "language":
        return
    values = sum(_values(path) for path in work.target.glob("*.safetensors"))
    # tied matrices may be stored twice, so only a gross difference counts
    if not 0.6 < values / work.entry.parameters < 1.6:
        raise ModelError(
            f"{origin} holds a model of {values / 1e6:,.0f} million parameters, "
            f"but {work.entry.name} has {work.entry.parameters / 1e6:,.0f} million. Name the right model."
        )


def _values(path: Path) -> int:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    total = 0
    for name, entry in header.items():
        if name != "__metadata__":
            count = 1
            for size in entry["shape"]:
                count *= size
            total += count
    return total


def _is_whole(entry: ModelEntry, cache: Path) -> bool:
    folder = cache / "models" / entry.name
    try:
        manifest = manifests.read(folder)
    except ModelError:
        return False
    return manifest is not None and not _wrong_sizes(folder, manifest)


def _wrong_sizes(folder: Path, manifest: Manifest) -> list[str]:
    problems = []
    for name, file in manifest.files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing.")
        elif path.stat().st_size != file.bytes:
            problems.append(f"{name} has {path.stat().st_size} bytes instead of {file.bytes}.")
    return problems


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _lock(entry: ModelEntry, cache: Path, on_progress: Progress) -> Iterator[None]:
    """Only one process fetches this model; the others wait here, telling so."""
    from filelock import FileLock, Timeout

    folder = cache / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{entry.name}.lock")
    while True:
        try:
            lock.acquire(timeout=1)
            break
        except Timeout:
            on_progress("wait", 0, 0)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _plain_errors(cache: Path) -> Iterator[None]:
    """What the disk refuses, in one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ModelError(
                f"The disk with {cache} is full. Make room and pull again (what has arrived is kept), "
                "or set NIGHTSCHOOL_CACHE to another disk."
            ) from error
        where = error.filename or cache
        raise ModelError(
            f"Cannot write the weights: {where}: {error.strerror or error}. "
            "Choose a folder you may write with NIGHTSCHOOL_CACHE."
        ) from error
