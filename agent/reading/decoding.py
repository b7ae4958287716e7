"""From bytes to text: encodings, line ends, and what is no text at all."""

from __future__ import annotations

import re
from pathlib import Path

from agent.reading.errors import Unreadable
from agent.reading.files import opened
from skills.text_files import TextFileError, encoding_of

_SNIFFED = 65_536
# more control characters than this is no text, whatever its encoding
_CONTROL_SHARE = 0.02
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]")
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")


def one_line_end(text: str) -> str:
    """The text with `\\n` for every line end there is."""
    return _LINE_ENDS.sub("\n", text)


def decoded(data: bytes, complete: bool) -> str:
    """The text of these bytes, which may end inside a character unless they are `complete`; line ends are
    `\\n`. Raises Unreadable when they are no text."""
    try:
        encoding = encoding_of(data[:_SNIFFED], complete=complete and len(data) <= _SNIFFED)
    except TextFileError as error:
        raise Unreadable("It is a binary file, whatever its name says.") from error
    text = data.decode(encoding, errors="replace" if complete else "ignore")
    sample = text[:_SNIFFED]
    if sample and len(_CONTROL.findall(sample)) > _CONTROL_SHARE * len(sample):
        raise Unreadable("It is a binary file, whatever its name says.")
    return one_line_end(text.replace("\0", ""))


def looks_like_text(path: Path) -> bool:
    """Whether a file, whose name promises nothing, begins as text does. Raises OSError and Unreadable."""
    with opened(path) as file:
        start = file.read(_SNIFFED)
    try:
        return bool(decoded(start, complete=False)) and not start.startswith(b"%PDF-")
    except Unreadable:
        return False
