"""The catalogue is valid data, and `auto` chooses by the machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.device import GIB, Hardware
from agent.errors import ModelError
from agent.model import catalogue as module
from agent.model.catalogue import (
    FolderWheel,
    GgufWheels,
    HubSource,
    ModelEntry,
    WheelFile,
    candidates,
    catalogue,
    find,
    quantization,
    resolve,
)

CPU = Hardware(memory=16 * GIB, cores=4)


def gpu(gib: float) -> Hardware:
    return Hardware(
        device="cuda", gpu="a GPU", gpu_memory=int(gib * GIB), memory=64 * GIB, cores=8, bf16=True
    )


@pytest.mark.parametrize("entry", catalogue().values(), ids=lambda entry: entry.name)
def test_entries_hold_together(entry: ModelEntry) -> None:
    assert entry.name == entry.name.lower()
    assert isinstance(entry.sources[0], HubSource)
    for source in entry.sources:
        if isinstance(source, GgufWheels):
            assert sum(wheel.member_bytes for wheel in source.wheels) == source.bytes
            assert len({wheel.sha256 for wheel in source.wheels}) == len(source.wheels)
            assert [w.member[-6:-4] for w in source.wheels] == [
                f"{n + 1:02}" for n in range(len(source.wheels))
            ]
        if isinstance(source, FolderWheel):
            assert {file.name: file.sha256 for file in source.files}.items() >= entry.pinned.items()
    assert len(entry.digest()) == 64


def test_the_defaults_come_from_the_package_index_alone() -> None:
    sizes = {}
    for name in ("qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct"):
        (mirror,) = (s for s in catalogue()[name].sources if isinstance(s, GgufWheels))
        sizes[name] = (len(mirror.wheels), mirror.bytes)
    assert list(sizes.values()) == [(6, 491_400_064), (22, 1_117_320_768)]
    assert any(isinstance(s, FolderWheel) for s in catalogue()["all-minilm-l6-v2"].sources)


@given(st.sampled_from(["../x", "/x", "a/../b", "..", "a\\b", ""]))
def test_paths_that_lead_out_of_their_folder_are_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        WheelFile(name=path, member="m", bytes=1, sha256="0" * 64)


def test_names_are_found_in_any_case_and_by_repository() -> None:
    assert find("Qwen2.5-Coder-0.5B-Instruct ").name == "qwen2.5-coder-0.5b-instruct"
    assert find("Qwen/Qwen3-8B").name == "qwen3-8b"


def test_an_unknown_name_names_the_closest() -> None:
    with pytest.raises(ModelError, match=r"`qwen3-5b`.*Did you mean `qwen3-8b`"):
        find("qwen3-5b")
    with pytest.raises(ModelError, match=r"no model `zzz`\. `nightschool model list`"):
        find("zzz")


@pytest.mark.parametrize(
    ("hardware", "name"),
    [
        (CPU, "qwen2.5-coder-0.5b-instruct"),
        (gpu(1), "qwen2.5-coder-0.5b-instruct"),
        (gpu(6), "qwen2.5-coder-1.5b-instruct"),
        (gpu(8), "qwen3-1.7b"),
        (gpu(15.6), "qwen3-4b-instruct-2507"),
        (gpu(23.6), "qwen3-8b"),
        (gpu(139), "qwen3-8b"),
    ],
)
def test_auto_chooses_by_the_machine(hardware: Hardware, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda package: None)
    assert resolve("auto", hardware).name == name


def test_auto_prefers_what_is_here() -> None:
    assert resolve("Auto", gpu(80), {"qwen2.5-coder-1.5b-instruct"}).name == "qwen2.5-coder-1.5b-instruct"
    assert resolve("auto", CPU, {"qwen2.5-coder-1.5b-instruct"}).name == "qwen2.5-coder-0.5b-instruct"


def test_auto_never_takes_an_embedder_or_a_licence_to_agree_to() -> None:
    for hardware in (CPU, gpu(4), gpu(139)):
        for entry in candidates(hardware):
            assert entry.kind == "language"
            assert not entry.licence_note


def test_small_gpus_take_four_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = catalogue()["qwen3-4b-instruct-2507"]
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda package: object())
    assert quantization(entry, gpu(8)) == "nf4"
    assert quantization(entry, gpu(24)) == "none"
    assert quantization(entry, gpu(24), "nf4") == "nf4"
    assert resolve("auto", gpu(8)).name == entry.name
    with pytest.raises(ModelError, match="NVIDIA"):
        quantization(entry, CPU, "nf4")
    assert quantization(entry, CPU, "none") == "none"
