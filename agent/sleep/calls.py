"""The first tool call of an answer that may have been cut off, for marking only.

The waking loop never guesses at a call that was cut off, since it would run it. Here nothing runs, and
whether the right tool was chosen for the right path shows long before a file's contents are written out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.model.lenient_json import NOTHING, mend
from agent.model.tool_calls import parse_calls
from memory.types import ToolCall
from skills.tool import ToolSpec

_OPENED = re.compile(r"\{\s*\"name\"\s*:\s*\"([^\"\n]+)\"\s*,\s*\"(?:arguments|parameters)\"\s*:\s*\{")
_STRING = re.compile(r"\"([^\"\\\n]+)\"\s*:\s*\"((?:[^\"\\]|\\.)*)(\"?)", re.DOTALL)


def first_call(text: str, specs: Sequence[ToolSpec]) -> ToolCall | None:
    """The first call, or as much of it as there is; None when the answer calls nothing."""
    parsed = parse_calls(text, specs, "exam")
    if parsed.calls:
        return parsed.calls[0]
    opened = _OPENED.search(text)
    if opened is None or opened[1] not in {spec.name for spec in specs}:
        return None
    body = text[opened.end() - 1 :]
    whole = mend(body, closed=False)
    arguments = whole if whole is not NOTHING and isinstance(whole, dict) else _strings(body)
    return ToolCall(id="exam_0", name=opened[1], arguments=arguments)


def _strings(body: str) -> dict[str, str]:
    """Text arguments, the last of which may be cut off."""
    return {
        found[1]: found[2].replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
        for found in _STRING.finditer(body)
    }
