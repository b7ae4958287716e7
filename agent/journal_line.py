"""One line of the journal: the event's JSON with a checksum as its last key.

The checksum is CRC-32 over the event's own JSON: it finds damage, it does not prove who wrote the line.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import Any, NamedTuple

from pydantic_core import PydanticSerializationError

from agent.events import Event

# pydantic writes the fields that all events share first, so a line can be indexed without parsing it
_HEAD = re.compile(
    rb'\{"at":"[^"]*","episode_id":(?:null|"((?:[^"\\]|\\.)*)"),"seq":(\d+),"kind":"([a-z_]+)"[,}]'
)
_LESSON = re.compile(rb',"kind":"lesson_kept","lesson":\{"id":"((?:[^"\\]|\\.)*)"')
_CHECKSUM = re.compile(rb',"crc":"([0-9a-f]{8})"\}$')
_CHECKSUM_BYTES = len(b',"crc":"00000000"}')


class Head(NamedTuple):
    """What the index needs to know of an event."""

    episode_id: str | None
    seq: int
    kind: str
    lesson_id: str | None = None
    """Of a kept lesson."""


def dump(event: Event) -> bytes:
    """The event's JSON, always valid UTF-8."""
    try:
        return event.model_dump_json().encode()
    except PydanticSerializationError:
        # a model may well write "\ud800" into a call's arguments; half a surrogate pair is no text
        whole = type(event).model_validate(_without_surrogates(event.model_dump()))
        return whole.model_dump_json().encode()


def seal(body: bytes) -> bytes:
    """The line of an event's JSON, newline included."""
    return b'%s,"crc":"%08x"}\n' % (body[:-1], zlib.crc32(body))


def unseal(line: bytes) -> bytes | None:
    """The event's JSON from a line without its newline; None when the checksum is missing or wrong."""
    found = _CHECKSUM.search(line, max(0, len(line) - _CHECKSUM_BYTES))
    if found is None:
        return None
    body = line[: found.start()] + b"}"
    return body if zlib.crc32(body) == int(found[1], 16) else None


def head(body: bytes) -> Head | None:
    """Episode, number and kind of an event's JSON; None when it is no event."""
    found = _HEAD.match(body)
    if found is None:
        return None
    kept = (
        _LESSON.match(body, found.end(3) - len(b',"kind":"lesson_kept'))
        if found[3] == b"lesson_kept"
        else None
    )
    return Head(_text(found[1]), int(found[2]), found[3].decode(), _text(kept[1]) if kept else None)


def _text(quoted: bytes | None) -> str | None:
    if quoted is None:
        return None
    text: str = json.loads(b'"' + quoted + b'"') if b"\\" in quoted else quoted.decode()
    return text


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value
