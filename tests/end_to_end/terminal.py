"""A real terminal without anyone at it: tmux runs a command, keys go in, the screen comes out."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

_POLL_SECONDS = 0.02
_SETTINGS = """
set -g status off
set -g escape-time 0
set -g remain-on-exit on
set -g default-terminal tmux-256color
set -ga terminal-overrides ",*:Tc"
"""


class Terminal:
    """One pane of a tmux server of its own."""

    def __init__(self, socket: str, status: Path) -> None:
        """`status`: where the shell puts the command's exit code."""
        self._socket = socket
        self._status = status

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._socket, *arguments], capture_output=True, text=True, timeout=20, check=True
        )
        return done.stdout

    def screen(self) -> str:
        """What is on the screen, line by line, without trailing blanks."""
        return self._tmux("capture-pane", "-p", "-t", "app").rstrip("\n")

    def type(self, text: str) -> None:
        """Type text as a person does."""
        self._tmux("send-keys", "-t", "app", "-l", "--", text)

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names: `Enter`, `Escape`, `C-c`, …"""
        self._tmux("send-keys", "-t", "app", *keys)

    def wait_for(self, *patterns: str, seconds: float = 30) -> str:
        """The first screen that shows all of these regular expressions."""
        end = time.monotonic() + seconds
        while True:
            screen = self.screen()
            if all(re.search(pattern, screen) for pattern in patterns):
                return screen
            if time.monotonic() > end:
                raise AssertionError(f"{patterns} did not appear within {seconds} s on\n{screen}")
            time.sleep(_POLL_SECONDS)

    def exit_code(self, seconds: float = 10) -> int:
        """Wait until the command has ended; its exit code."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            # the shell around the command says it: tmux may be late to fetch it
            code = self._status.read_text().strip() if self._status.is_file() else ""
            if code:
                return int(code)
            time.sleep(_POLL_SECONDS)
        raise AssertionError(f"the command still runs after {seconds} s:\n{self.screen()}")


@contextlib.contextmanager
def terminal(
    command: list[str], folder: Path, env: Mapping[str, str], width: int = 80, height: int = 24
) -> Iterator[Terminal]:
    """A terminal of this size that runs the command in the folder; gone at the end, whatever happens."""
    socket = f"nightschool-test-{uuid4().hex[:12]}"
    # beside the folder, not in it: the agent would see it there
    settings = folder.parent / f"{socket}.conf"
    settings.write_text(_SETTINGS, encoding="utf-8")
    start = ["tmux", "-L", socket, "-f", str(settings), "new-session", "-d", "-s", "app"]
    status = folder.parent / f"{socket}.status"
    told = f"{shlex.join(command)}; echo $? > {shlex.quote(str(status))}"
    start += ["-x", str(width), "-y", str(height), "-c", str(folder), told]
    subprocess.run(start, env=dict(env), check=True, timeout=20)
    try:
        yield Terminal(socket, status)
    finally:
        subprocess.run(["tmux", "-L", socket, "kill-server"], timeout=20, check=False)
        settings.unlink()
