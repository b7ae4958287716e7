"""Download helpers that run as child processes: pip and the hub client.

Each is quiet, has its own temporary folder, and dies with the download that started it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

_POLL_SECONDS = 0.1


class Child:
    """One `python -P -m …` whose temporary files and messages stay in `folder`.

    A context manager: leaving it kills the process if it still runs.
    """

    def __init__(
        self, arguments: Sequence[str], folder: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._log = folder / "messages.txt"
        with self._log.open("wb") as log, _interrupted_afterwards(self):
            # a session of its own: Ctrl+C reaches us, and we end it in order
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {}), "TMPDIR": str(folder)},
                start_new_session=True,
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End it now, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    @property
    def ok(self) -> bool:
        """Whether it ended well."""
        return self._process.poll() == 0

    @property
    def output(self) -> str:
        """Everything it printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait(self, tick: Callable[[], None] = lambda: None, seconds: float | None = None) -> bool:
        """Wait for the end, calling `tick` ten times a second. False when `seconds` ran out before."""
        end = None if seconds is None else time.monotonic() + seconds
        while not self.done:
            if end is not None and time.monotonic() > end:
                return False
            tick()
            time.sleep(_POLL_SECONDS)
        return True


@contextlib.contextmanager
def _interrupted_afterwards(child: Child) -> Iterator[None]:
    """Ctrl+C while a process starts takes effect once we know it, so that it can be ended too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        child.kill()
        raise KeyboardInterrupt


def folder_bytes(folder: Path) -> int:
    """Bytes in all files below the folder, while others write there."""
    total = 0
    # os.walk, because pathlib's walk raises when a folder goes away under it
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(root) / name).stat().st_size
    return total
