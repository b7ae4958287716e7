"""The reading process as its parent sees it: started with the first file, replaced when a file kills it."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.reading.errors import Unreadable
from agent.reading.pieces import Piece, Reading
from memory.knowledge import DocumentText

# longer than any single page or split takes on a slow machine, the start of the process included
_PATIENCE = 60.0
_TICK = 0.2


class ReadingProcess:
    """A context manager; used from one thread at a time."""

    def __init__(self, patience: float = _PATIENCE) -> None:
        """`patience`: seconds without a sign of life after which a file is given up."""
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ReadingProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def read(self, path: Path, limit: int, going_on: Callable[[], None] = lambda: None) -> Reading:
        """A file's text, at most `limit` bytes of it, and its pieces. `going_on` is called all the while and
        may raise. Raises Unreadable."""
        return Reading.model_validate(self._ask({"path": str(path), "limit": limit}, going_on)["reading"])

    def cut(self, text: DocumentText) -> tuple[Piece, ...]:
        """A kept text in pieces. Raises Unreadable."""
        answer = self._ask({"text": text.model_dump()}, lambda: None)
        return tuple(Piece.model_validate(piece) for piece in answer["pieces"])

    def _ask(self, request: dict[str, Any], going_on: Callable[[], None]) -> dict[str, Any]:
        try:
            process = self._started()
            assert process.stdin is not None
            process.stdin.write(json.dumps(request, ensure_ascii=False).encode() + b"\n")
            process.stdin.flush()
            answer = self._answer(process, going_on)
        except OSError as error:
            self._end()
            raise Unreadable("The process that reads files ended over it.") from error
        except BaseException:
            # whatever it is at, its answer is not wanted any more
            self._end()
            raise
        if "unreadable" in answer:
            raise Unreadable(answer["unreadable"])
        return answer

    def _answer(self, process: subprocess.Popen[bytes], going_on: Callable[[], None]) -> dict[str, Any]:
        assert process.stdout is not None
        heard = time.monotonic()
        buffer = bytearray()
        while True:
            going_on()
            if select.select([process.stdout], [], [], _TICK)[0]:
                data = process.stdout.read1(1 << 20)  # type: ignore[attr-defined]
                if not data:
                    raise Unreadable("The process that reads files ended over it.")
                heard = time.monotonic()
                buffer += data
                while (end := buffer.find(b"\n")) >= 0:
                    answer: dict[str, Any] = json.loads(buffer[:end])
                    del buffer[: end + 1]
                    if "alive" not in answer:
                        return answer
            elif time.monotonic() - heard > self._patience:
                raise Unreadable(f"Reading it took longer than {self._patience:.0f} seconds.")

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            # a session of its own: Ctrl+C reaches us, and we end it in order
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "agent.reading.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()
