"""The app in a real terminal, on the real model: from the first frame to leaving it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.home import Home, OwnerLock, owner_pid
from tests.end_to_end.command_line import NIGHTSCHOOL, CommandLine, environment
from tests.end_to_end.terminal import Terminal, terminal

pytestmark = [
    pytest.mark.real_model,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

MODEL = "qwen2.5-coder-0.5b-instruct"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose background process is ended with the test."""
    path = tmp_path / "home"
    yield path
    pid = owner_pid(Home(path))
    lock = OwnerLock.acquire(Home(path)) if path.exists() else None
    if lock is not None:
        lock.release()
    elif pid is not None:
        os.kill(pid, signal.SIGTERM)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def app(home: Path, workspace: Path) -> Iterator[Terminal]:
    with terminal([NIGHTSCHOOL, "--home", str(home)], workspace, environment()) as opened:
        yield opened


def test_a_conversation_in_a_terminal(app: Terminal, home: Path, workspace: Path) -> None:
    # the first frame that has the prompt has the model's name, and the weights are not there yet
    first = app.wait_for("Ask, or give a task", MODEL)
    assert not re.search(r"\bready\b", first)

    # what is typed goes into the prompt, and waits until the model can take it
    app.type("What is the capital of France?")
    app.press("Enter")
    app.wait_for("queued", "capital of France", seconds=10)
    answered = app.wait_for("Paris", seconds=90)
    assert "capital of France" in answered
    assert "queued" not in app.wait_for("Ask, or give a task")

    # Esc interrupts what is being written
    app.type("Count from 1 to 400, one number a line, without tools.")
    app.press("Enter")
    app.wait_for("tok/s", seconds=60)
    app.press("Escape")
    app.wait_for("Interrupted", seconds=10)

    # the prompt has the focus again; ctrl+c leaves only when pressed twice
    app.type("/status")
    app.press("Enter")
    app.wait_for("episode +ep_", seconds=10)
    app.press("C-c")
    app.wait_for(r"ctrl\+c again to leave")
    app.press("C-c")
    assert app.exit_code() == 0

    # the terminal is gone, its episode is not; the process in the background still serves the home
    [episode] = CommandLine(home, workspace).ok("episodes", "list", "--json").lines
    assert (episode["kind"], episode["outcome"]) == ("conversation", "interrupted")


def test_a_task_outlives_its_terminal(home: Path, workspace: Path) -> None:
    with terminal([NIGHTSCHOOL, "--home", str(home)], workspace, environment(), 100, 30) as app:
        app.wait_for("Ask, or give a task")
        app.type("Create a file named greeting.txt that contains exactly this line: Good morning")
        app.press("Enter")
        app.wait_for("●|○|✓|tok/s|reading", seconds=90)
    # closed, without a word to the app
    end = time.monotonic() + 90
    nightschool = CommandLine(home, workspace)
    while not (found := nightschool.ok("episodes", "list", "--json").lines):
        assert time.monotonic() < end
        time.sleep(0.5)
    assert found[0]["outcome"] == "success"
    assert "Good morning" in (workspace / "greeting.txt").read_text(encoding="utf-8")
