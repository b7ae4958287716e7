"""The main job with the network cut: everything after the weights are there works without one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.command_line import CommandLine

# what is left to talk to: only a loopback that is down
_LOOK = "import json, socket; print(json.dumps([name for _, name in socket.if_nameindex()]))"


def ways() -> Iterator[tuple[str, ...]]:
    """Commands that run what follows them without a network."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return
    if os.getuid() == 0:
        yield (unshare, "--net")
    else:
        # a user namespace of one's own, with one's own name in it
        yield (unshare, "--user", "--map-current-user", "--net")
        yield (unshare, "--map-root-user", "--net")


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The first way that works here, also for a sandbox within it."""
    reasons = []
    for way in ways():
        looked = subprocess.run([*way, sys.executable, "-c", _LOOK], capture_output=True, text=True)
        if looked.returncode != 0 or json.loads(looked.stdout) != ["lo"]:
            reasons.append(looked.stderr.strip() or f"there is still a network: {looked.stdout.strip()}")
            continue
        folder = tmp_path_factory.mktemp("probe")
        probe = CommandLine(folder / "home", folder, way)("sandbox", "run", "--", "true")
        if probe.code == 0:
            return way
        reasons.append(probe.err.strip())
    pytest.skip(f"The network cannot be cut here: {'; '.join(reasons) or 'there is no unshare'}")


@pytest.mark.real_model
def test_the_main_job_needs_no_network(cut: tuple[str, ...], tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    nightschool = CommandLine(tmp_path / "home", workspace, cut)
    task = "Create a file named note.txt that contains exactly this line: quiet"
    done = nightschool.ok("run", task, "--json")
    assert done.lines[-1]["outcome"] == "success"
    assert (workspace / "note.txt").read_text(encoding="utf-8").strip() == "quiet"
    # the sentence embedder too
    hits = nightschool.ok("episodes", "search", "writing a small text file", "--json").lines
    assert [hit["id"] for hit in hits] == [done.lines[-1]["episode_id"]]
    assert "Paris" in nightschool.ok("ask", "What is the capital of France?").out
