"""What the machine is, from a driver that answers, lies or hangs; torch stays out of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent import device
from agent.device import GIB, detect, torch_device
from agent.errors import ModelError


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for nvidia-smi; write its answer into the returned file."""
    answer = tmp_path / "answer.txt"
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\ncat {answer}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(device, "_torch_has_cuda", lambda: True)
    return answer


def test_the_largest_gpu_counts(driver: Path) -> None:
    driver.write_text("Tesla T4, 15360, 7.5\nNVIDIA H200, 143771, 9.0\n")
    found = detect()
    assert (found.device, found.gpu, found.bf16) == ("cuda", "NVIDIA H200", True)
    assert 140 * GIB < found.gpu_memory < 141 * GIB


@pytest.mark.parametrize("answer", ["", "NVIDIA-SMI has failed", "GPU, [N/A], [N/A]\n"])
def test_a_driver_that_makes_no_sense_is_no_gpu(driver: Path, answer: str) -> None:
    driver.write_text(answer)
    assert detect().device in ("cpu", "mps")


def test_hidden_gpus_and_a_torch_without_cuda_are_no_gpu(
    driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.write_text("NVIDIA H200, 143771, 9.0\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert detect().device in ("cpu", "mps")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(device, "_torch_has_cuda", lambda: False)
    assert detect().device in ("cpu", "mps")


def test_memory_and_cores_are_those_this_process_may_use() -> None:
    found = detect()
    assert found.memory > 0
    assert found.cores >= 1


def test_detect_imports_no_torch() -> None:
    code = "import sys; from agent.device import detect; detect(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == 0


def test_a_device_torch_cannot_use_is_one_sentence() -> None:
    import torch

    assert torch_device("cpu") == "cpu"
    assert torch_device("auto") in ("cpu", "cuda", "mps")
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(ModelError, match=f"model.device is '{missing}'"):
        torch_device(missing)
