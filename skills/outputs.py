"""Tool output: kept whole in a file, shortened and made harmless for the model and the terminal.

The file holds the text as the tool gave it; everything shown is free of control characters and escape
sequences, so that output can neither drive a terminal nor hide text from a reader.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

# ECMA-48: CSI with its parameters, OSC/DCS/SOS/PM/APC strings with their terminator, short escapes. A string
# without a terminator on its line is none: it would hide everything that follows
_ESCAPES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"
    "|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b(?![\\[\\]PX^_])[ -/]*[0-~]"
)
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# a carriage return starts the line over, as progress bars do; what was overwritten was never meant to stay
_OVERWRITTEN = re.compile("^.*\r(?=[^\r\n])", re.MULTILINE)


def visible(text: str) -> str:
    """Everything that is in a text: control and direction-changing characters are written out (`\\x07`,
    `\\u202e`), newlines and tabs stay. For what a person approves, where nothing may be hidden."""
    return _CONTROLS.sub(lambda found: _written_out(found.group()), text)


def plain(text: str) -> str:
    """Output as a terminal would leave it: escape sequences do nothing, a carriage return starts the line
    over; other control characters are written out as by `visible`."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    if "\r" in text:
        text = _OVERWRITTEN.sub("", text).replace("\r", "")
    return visible(text)


def shorten(text: str, limit: int, path: Path | str | None = None) -> str:
    """At most `limit` characters: head and tail, cut at line ends where there are any near, with a line
    between them that says how much is missing and where the whole is."""
    if len(text) <= limit:
        return text
    where = f"; the whole output is in {path}" if path is not None else ""
    # the note's own length depends on the figures in it, so room for the largest ones is set aside
    room = max(0, limit - len(_note(len(text), text.count("\n"), where)))
    head = _up_to_line_end(text[: room * 2 // 3])
    tail = _from_line_start(text[len(text) - room // 3 :]) if room // 3 else ""
    missing = text[len(head) : len(text) - len(tail)]
    return head + _note(len(missing), missing.count("\n"), where) + tail


class OutputStore:
    """The long outputs of one episode, one file for each call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, call_id: str, text: str, limit: int) -> tuple[str, Path | None]:
        """What the model sees of an output, and the file that holds it whole when that is not all.

        When the file cannot be written, what is shown says so and there is none.
        """
        shown = plain(text)
        if len(shown) <= limit:
            return shown, None
        path = self.folder / f"{re.sub('[^A-Za-z0-9_.-]', '_', call_id).lstrip('.') or 'call'}.txt"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
            path.chmod(0o600)
        except OSError as error:
            note = f"\n[the rest could not be kept: {(error.strerror or str(error)).lower()}]"
            return shorten(shown, limit - len(note)) + note, None
        return shorten(shown, limit, path), path


def _written_out(character: str) -> str:
    code = ord(character)
    if unicodedata.category(character) == "Cs":
        # an undecodable byte that came through surrogateescape
        return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else "\ufffd"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _note(characters: int, newlines: int, where: str) -> str:
    return f"\n[… {characters} characters ({newlines + 1} lines) left out{where} …]\n"


def _up_to_line_end(head: str) -> str:
    end = head.rfind("\n")
    return head[:end] if end > len(head) // 2 else head


def _from_line_start(tail: str) -> str:
    start = tail.find("\n")
    return tail[start + 1 :] if 0 <= start < len(tail) // 2 else tail
