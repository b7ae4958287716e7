"""What this machine can compute with, found out without importing torch.

`detect` is a cheap look (0.1 s with an NVIDIA driver, nothing without) for choosing a model and for
`model list`. It trusts the driver; whether torch can really use the GPU is asked by `torch_device`.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import psutil

from agent.errors import ModelError
from memory.types import Record

GIB = 1024**3


class Hardware(Record):
    """One machine, as far as running a model goes."""

    device: Literal["cpu", "cuda", "mps"] = "cpu"
    """Where a model runs best."""
    gpu: str = ""
    """The GPU's name, empty without one."""
    gpu_memory: int = 0
    """Bytes of the largest GPU; on Apple silicon two thirds of the shared memory; 0 without a GPU."""
    memory: int
    """Bytes of main memory this process may use."""
    cores: int
    """CPU cores this process may use."""
    bf16: bool = False
    """The device computes in bfloat16 natively; without it bf16 weights still run, only slower."""


def detect() -> Hardware:
    """Look at the machine."""
    memory, cores = _memory(), _cores()
    nvidia = _nvidia() if _torch_has_cuda() else None
    if nvidia:
        name, gpu_memory, bf16 = nvidia
        return Hardware(device="cuda", gpu=name, gpu_memory=gpu_memory, memory=memory, cores=cores, bf16=bf16)
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return Hardware(
            device="mps",
            gpu="Apple silicon",
            gpu_memory=memory * 2 // 3,
            memory=memory,
            cores=cores,
            bf16=True,
        )
    return Hardware(memory=memory, cores=cores, bf16=_cpu_has_bf16())


def torch_device(setting: str) -> str:
    """The torch device for the setting `model.device`; imports torch.

    Raises ModelError when the setting asks for a device that torch cannot use.
    """
    import torch

    usable = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if setting == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if usable[name])
    if not usable[setting]:
        raise ModelError(
            f"model.device is {setting!r}, which torch {torch.__version__} cannot use here. "
            "Set it to 'auto', or install a torch build for this device."
        )
    return setting


def _torch_has_cuda() -> bool:
    """Whether the installed torch was built for CUDA, from its version alone (`2.13.0+cpu` was not)."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return False
    return "+cpu" not in version and "+rocm" not in version and "+xpu" not in version


def _nvidia() -> tuple[str, int, bool] | None:
    """Name, bytes and bf16 of the largest visible NVIDIA GPU."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in {"", "-1"}:
        return None
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    query = [command, "--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
        rows = [
            [cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines() if line.strip()
        ]
        gpus = [(name, int(mib) * 1024**2, float(capability) >= 8) for name, mib, capability in rows]
    except (OSError, subprocess.SubprocessError, ValueError):
        # a driver that does not answer is no GPU to us; `doctor` shows what torch says
        return None
    return max(gpus, key=lambda gpu: gpu[1], default=None)


def _memory() -> int:
    """Main memory, or what the control group leaves of it."""
    total = int(psutil.virtual_memory().total)
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(name).read_text()))
        except (OSError, ValueError):
            continue
    return total


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_has_bf16() -> bool:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = next((line.split() for line in text.splitlines() if line.startswith(("flags", "Features"))), [])
    return bool({"amx_bf16", "avx512_bf16", "bf16"} & set(flags))
