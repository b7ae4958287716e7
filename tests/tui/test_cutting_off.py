"""Processes cut off while a model decodes: the end is told, what was asked is kept, the home is free."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.client import RemoteRuntime
from agent.home import Home
from agent.model import manifest
from memory.types import now
from tests.tiny_qwen import build_tiny_qwen

NIGHTSCHOOL = [sys.executable, "-P", "-c", "from tui.cli.entry import main; main()"]
MODEL = "qwen2.5-coder-0.5b-instruct"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small random model that never comes to an end, in the place of the default one."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("cache")
    model = build_tiny_qwen(folder / "models" / MODEL, layers=8, context=32768)
    weights = load_file(model / "model.safetensors")
    ends = json.loads((model / "generation_config.json").read_text())["eos_token_id"]
    # a token whose row is zero is never the likeliest
    weights["model.embed_tokens.weight"][ends] = 0
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    files = manifest.describe(model, lambda done, total: None)
    record = manifest.Manifest(
        name=MODEL, source="a test", catalogue_digest="", installed_at=now(), files=files
    )
    manifest.write(model, record)
    return folder


@pytest.fixture
def world(cache: Path, tmp_path: Path) -> dict[str, str]:
    """A home of its own, and so much to decode that nothing ends by itself too soon."""
    (tmp_path / "workspace").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTSCHOOL_")}
    return kept | {
        "NIGHTSCHOOL_HOME": str(tmp_path / "home"),
        "NIGHTSCHOOL_CACHE": str(cache),
        "NIGHTSCHOOL_AGENT_MAX_TOKENS": "1000000",
        "NIGHTSCHOOL_AGENT_MAX_STEPS": "1000",
        "NIGHTSCHOOL_AGENT_TURN_TOKENS": "30000",
        "NIGHTSCHOOL_AGENT_REPEAT_LIMIT": "1000",
        "NIGHTSCHOOL_MODEL_CONSTRAIN": "false",
        "NIGHTSCHOOL_MODEL_CONTEXT_TOKENS": "32768",
        "CUDA_VISIBLE_DEVICES": "",
    }


class Started:
    """A command whose JSON lines are read as they come."""

    def __init__(self, world: dict[str, str], *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*NIGHTSCHOOL, *arguments],
            env=world,
            cwd=Path(world["NIGHTSCHOOL_HOME"]).parent / "workspace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def lines(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def until(self, kind: str) -> dict[str, Any]:
        """The next event of this kind."""
        return next(line for line in self.lines() if line["kind"] == kind)

    def end(self) -> tuple[int, dict[str, Any], str]:
        """Exit code, last line, standard error."""
        last = {"kind": "nothing"}
        for last in self.lines():  # noqa: B007 - the last one is wanted
            pass
        assert self.process.stderr is not None
        return self.process.wait(60), last, self.process.stderr.read()


def episodes(world: dict[str, str]) -> list[tuple[str, str]]:
    """Task and outcome of each episode, newest first."""
    done = Started(world, "episodes", "list", "--json")
    found = [(line["task"], line["outcome"]) for line in done.lines()]
    assert done.process.wait(60) == 0
    return found


async def wait_until_one_waits(home: Home) -> None:
    """Return once a task waits behind another on this home."""
    remote = await RemoteRuntime.connect(home.socket)
    async with asyncio.timeout(60):
        while (await remote.status()).queued != 1:  # noqa: ASYNC110 - another process tells no event
            await asyncio.sleep(0.1)
    await remote.close()


def test_ended_while_it_decodes(world: dict[str, str]) -> None:
    run = Started(world, "run", "--json", "Go on.")
    run.until("token")
    run.process.send_signal(signal.SIGTERM)
    code, last, err = run.end()
    assert (code, err) == (130, "")
    assert (last["kind"], last["outcome"]) == ("run_finished", "interrupted")
    assert last["steps"] >= 1
    assert episodes(world) == [("Go on.", "interrupted")]


def test_a_killed_owner(world: dict[str, str]) -> None:
    owner = Started(world, "run", "--json", "first")
    owner.until("token")
    other = Started(world, "run", "--json", "second")
    asyncio.run(wait_until_one_waits(Home(Path(world["NIGHTSCHOOL_HOME"]))))
    owner.process.kill()
    code, last, err = other.end()
    assert owner.process.wait(60) == -signal.SIGKILL
    assert (last["kind"], last["outcome"]) == ("run_finished", "failure")
    assert (code, "ended" in err, err.count("\n")) == (1, True, 1)
    found = dict(episodes(world))
    assert found["first"] == "interrupted"


def test_a_waiting_command_is_ended_at_once(world: dict[str, str]) -> None:
    owner = Started(world, "run", "--json", "first")
    owner.until("token")
    other = Started(world, "run", "second")
    asyncio.run(wait_until_one_waits(Home(Path(world["NIGHTSCHOOL_HOME"]))))
    other.process.send_signal(signal.SIGINT)
    assert other.process.wait(60) == 130
    assert owner.process.poll() is None
    owner.process.send_signal(signal.SIGINT)
    assert owner.end()[1]["outcome"] == "interrupted"
    assert dict(episodes(world)) == {"first": "interrupted", "second": "interrupted"}


def test_a_reader_that_leaves(world: dict[str, str]) -> None:
    run = Started(world, "run", "--json", "Go on.")
    run.until("token")
    assert run.process.stdout is not None
    run.process.stdout.close()
    assert run.process.wait(60) == 1
    assert run.process.stderr is not None
    assert run.process.stderr.read() == ""
    assert episodes(world) == [("Go on.", "interrupted")]
