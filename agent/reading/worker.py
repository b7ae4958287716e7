"""The process that reads: files come from anywhere, and one that makes a parser crash, swell or run for ever
takes only this process with it.

Requests and answers are JSON lines: `{"path", "limit"}` is answered by a Reading, `{"text"}` by the pieces
of a kept text; `{"alive": true}` in between says that it is still at work.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
from pathlib import Path
from typing import Any

from agent.reading.errors import Unreadable
from agent.reading.files import digest_of_open, opened, why
from agent.reading.kinds import kind_of
from agent.reading.pieces import Piece, Reading
from memory.knowledge import DocumentText, Part

_MEMORY = 3 * 1024**3


def main() -> None:
    """Answer requests until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    logging.disable(logging.CRITICAL)
    # answers alone go to standard output, whatever a library prints
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer, ensure_ascii=False) + "\n")
        answers.flush()

    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "text" in request:
                pieces = cut(DocumentText.model_validate(request["text"]))
                send({"pieces": [piece.model_dump() for piece in pieces]})
            else:
                reading = read(Path(request["path"]), request["limit"], lambda: send({"alive": True}))
                send({"reading": reading.model_dump()})
        except Unreadable as error:
            send({"unreadable": str(error)})
        except MemoryError:
            send({"unreadable": f"It takes more than {_MEMORY // 1024**3} GiB of memory to read."})
        except RecursionError:
            send({"unreadable": "It is nested too deeply to be read."})


def read(path: Path, limit: int, going_on: Any = lambda: None) -> Reading:
    """A file's text and pieces; at most `limit` bytes of text. Raises Unreadable."""
    from agent.reading.readers import reader_for

    try:
        with opened(path) as file:
            before = os.fstat(file.fileno())
            kind = kind_of(path) or "text"
            documents = reader_for(kind, going_on).load_data(file, before.st_size, limit)
            size = before.st_size
            digest = digest_of_open(file, size, going_on)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise Unreadable(why(error)) from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise Unreadable("It changed while it was read. Add it again.")
    parts = tuple(Part(text=found.text, page=found.metadata.get("page")) for found in documents)
    if kind == "json":
        parts = (Part(text=_indented(parts[0].text)),)
    text = DocumentText(kind=kind, parts=parts)
    pieces = cut(text)
    if not pieces:
        raise Unreadable("It is empty." if size == 0 else "There is no text in it.")
    return Reading(
        digest=digest,
        size=size,
        text=text,
        left_out=documents[0].metadata.get("left_out", ""),
        pieces=pieces,
    )


def cut(text: DocumentText) -> tuple[Piece, ...]:
    """A text in pieces."""
    from agent.reading.splitting import pieces_of

    return pieces_of(text)


def _indented(text: str) -> str:
    """JSON on one line, in lines; any other stays as it is."""
    if max((len(line) for line in text.splitlines()), default=0) <= 1_000:
        return text
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=1) + "\n"
    except (ValueError, RecursionError):
        # cut off, or not JSON at all: it is text all the same
        return text


if __name__ == "__main__":
    main()
