"""One child process on the event loop: bounded output, a wall clock, an end that is always reached.

asyncio's own subprocesses are not used: whether their `wait` also waits for the pipes differs between
Python versions, and a process that has left the pipes to a grandchild must not keep us waiting.
The child leads a session of its own, so a Ctrl+C at the terminal reaches us and not it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import IO, Any

_CHUNK = 1 << 16


class Drain:
    """Reads a pipe to its end, keeps the first `limit` bytes and throws the rest away."""

    def __init__(self, descriptor: int, limit: int, on_piece: Callable[[bytes], None] | None = None) -> None:
        """Takes over `descriptor`; must be made on the running event loop."""
        self.truncated = False
        self._kept = bytearray()
        self._limit = limit
        self._on_piece = on_piece
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)

    @property
    def data(self) -> bytes:
        """What was kept so far."""
        return bytes(self._kept)

    async def finish(self, grace: float) -> None:
        """Waits for the end of the pipe, at most `grace` seconds, and closes it."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), grace)
        self.close()

    def close(self) -> None:
        """Stops reading, after taking what is there."""
        while not self._ended.is_set() and self._read():
            pass
        self._end()

    def _read(self) -> bool:
        """Takes one piece; False at the end, when nothing is there, or when no more will be kept."""
        try:
            piece = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if not piece:
            self._end()
            return False
        kept = piece[: max(0, self._limit - len(self._kept))]
        self._kept += kept
        self.truncated = self.truncated or len(kept) < len(piece)
        if kept and self._on_piece is not None:
            self._on_piece(kept)
        return len(self._kept) < self._limit

    def _end(self) -> None:
        if not self._ended.is_set():
            self._ended.set()
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)


class Child:
    """A started process, its output being drained."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        stdin: bytes | int,
        output_bytes: int,
        on_output: Callable[[str, bytes], None] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Starts it. Raises OSError, or ValueError for arguments no process can have."""
        self.started = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._exited = asyncio.Event()
        with contextlib.ExitStack() as stack:
            if isinstance(stdin, int):
                source = stdin
            elif not stdin:
                source = subprocess.DEVNULL
            else:
                source = stack.enter_context(in_memory(stdin)).fileno()
            self._popen = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env=dict(env),
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
                bufsize=0,
            )
        self.stdout = self._drain("stdout", output_bytes, on_output)
        self.stderr = self._drain("stderr", output_bytes, on_output)
        threading.Thread(target=self._watch, name="sandbox-wait", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id, also of its session and process group."""
        return self._popen.pid

    @property
    def exited(self) -> bool:
        """True once it was reaped."""
        return self._exited.is_set()

    @property
    def exit_code(self) -> int:
        """Its exit code, 128 + signal number when a signal ended it; only after it exited."""
        code = self._popen.returncode
        return 128 - code if code < 0 else code

    async def wait(self, seconds: float) -> bool:
        """Waits for its end; False when it takes longer than `seconds`."""
        try:
            await asyncio.wait_for(self._exited.wait(), max(0.0, seconds))
        except TimeoutError:
            return False
        return True

    def kill_group(self) -> None:
        """Sends SIGKILL to its process group, which may outlive it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def finish_output(self, grace: float = 2.0) -> None:
        """Drains what is left in the pipes; a stranger that still holds one is not waited for longer."""
        await asyncio.gather(self.stdout.finish(grace), self.stderr.finish(grace))

    def _drain(self, name: str, limit: int, on_output: Callable[[str, bytes], None] | None) -> Drain:
        pipe = getattr(self._popen, name)
        descriptor = os.dup(pipe.fileno())
        pipe.close()
        return Drain(descriptor, limit, None if on_output is None else lambda piece: on_output(name, piece))

    def _watch(self) -> None:
        self._popen.wait()
        # a closed loop means nobody waits any more
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._exited.set)


def in_memory(data: bytes) -> IO[bytes]:
    """An open file without a name that holds `data`, at its start; a reader needs nobody to feed it."""
    if hasattr(os, "memfd_create"):
        file: IO[bytes] = os.fdopen(os.memfd_create("nightschool"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(data)
    file.seek(0)
    return file


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Runs `work` to its end even when cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
