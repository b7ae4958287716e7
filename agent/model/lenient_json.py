"""JSON as models write it: read where it is JSON, mended where one slip leaves no doubt, else refused.

Never guesses at a value that was cut off, and never returns anything that cannot be written as JSON again.
"""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any, NoReturn

NOTHING = object()
"""Stands for no value; None is a value."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(digits: str) -> float:
    """The nearest float there is: JSON allows `7.1e637`, and infinity could not be written again."""
    value = float(digits)
    return value if math.isfinite(value) else math.copysign(sys.float_info.max, value)


# strict=False: models write real newlines inside strings; NaN would not survive being written again
_DECODER = json.JSONDecoder(strict=False, parse_constant=_no_constant, parse_float=_finite)


def decode(text: str, start: int) -> tuple[Any, int, str]:
    """One JSON value at `start`: (value, its end, ""), or (NOTHING, start, what is wrong)."""
    try:
        value, end = _DECODER.raw_decode(text, start)
        return _printable(value), end, ""
    except RecursionError:
        return NOTHING, start, "it is nested too deeply"
    except json.JSONDecodeError as error:
        before = text[max(start, error.pos - 20) : error.pos]
        return NOTHING, start, f"{error.msg[0].lower()}{error.msg[1:]} after {before!r}"
    except ValueError as error:
        return NOTHING, start, str(error)


def _printable(value: Any) -> Any:
    """Lone surrogates cannot be written as UTF-8 again; they become `?`."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return value


def mend(text: str, closed: bool) -> Any:
    """Mend quotes, commas and missing braces. A value cut off in the middle, or one that would lose or move
    a single word in the mending, is not mended: a guess could write half a file.

    `closed`: something follows the value. Otherwise it must at least have closed its arguments.
    """
    text = text.strip()
    if not text.endswith(("}", "]")) or not (closed or _closes_arguments(text)):
        return NOTHING
    import json_repair

    try:
        value = _printable(json_repair.loads(text, skip_json_loads=True))
        mended = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, IndexError, RecursionError):
        return NOTHING
    same = isinstance(value, dict | list) and _words(mended) == _words(text)
    return value if same else NOTHING


def _closes_arguments(text: str) -> bool:
    """Whether nothing but the call's own last brace is missing."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL)
    missing = bare.count("{") - bare.count("}")
    return '"' not in bare and missing <= 1 and bare.count("[") == bare.count("]")


def _words(text: str) -> str:
    """Letters and digits alone, without escapes; Python's constants count as JSON's."""
    text = re.sub(r"\\u[0-9a-fA-F]{4}|\\.", "", text.replace("None", "null"), flags=re.DOTALL)
    return "".join(char for char in text.casefold() if char.isalnum())
