"""Tool calls out of a model's turn, whatever shape it wrote them in, and the check against their schemas.

Shapes that are understood: `<tool_call>{json}</tool_call>`, `<tools>{json}</tools>`, bare JSON, fenced JSON,
and `<function=name>` with JSON or `<parameter=key>` inside. Untagged JSON counts only when it names an
offered tool. What stands in `<think>` is neither call nor text.

Promises: never raises, whatever the text; a call that was cut off is an error and never a guess at the rest.
Does not run, allow or repair anything; that is the loop's work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from agent.model.lenient_json import NOTHING, decode, mend
from agent.model.tool_check import check_arguments
from memory.types import Record, ToolCall
from skills.tool import ToolSpec

__all__ = ["ParsedTurn", "check_arguments", "parse_calls"]


class ParsedTurn(Record):
    """What one assistant turn says and asks for."""

    calls: tuple[ToolCall, ...] = ()
    """In the order written; names and arguments are not checked yet."""
    text: str = ""
    """What remains for a reader: no call markup, no thinking."""
    errors: tuple[str, ...] = ()
    """One sentence for each thing that was clearly meant as a call and cannot be parsed."""


def parse_calls(text: str, tools: Sequence[ToolSpec], id_prefix: str) -> ParsedTurn:
    """Split a turn into calls, text and errors. Ids are `{id_prefix}_0`, `{id_prefix}_1`, …"""
    reader = _Reader(text, {tool.name: tool for tool in tools})
    reader.read()
    kept = "".join(reader.kept).strip()
    # separators between bare objects are no answer
    if reader.calls and not kept.strip(",;[] \t\r\n"):
        kept = ""
    return ParsedTurn(
        calls=tuple(
            ToolCall(id=f"{id_prefix}_{number}", name=name, arguments=arguments)
            for number, (name, arguments) in enumerate(reader.calls)
        ),
        text=kept,
        errors=tuple(reader.errors),
    )


_MARK = re.compile(
    r"<think>|<(?P<tag>tool_call|tools)>|<function=|(?P<fence>```|~~~)[^\n`]*(?:\n|$)|`[^`\n]+`"
    r"|(?P<json>\{\s*[\"']|\[\s*\{)"
)
_FUNCTION = re.compile(r"<function=\s*[\"']?([^>\s\"']+)[\"']?\s*>")
_PARAMETER = re.compile(r"\s*<parameter=\s*[\"']?([^>\s\"']+)[\"']?\s*>")
_PARAMETER_END = re.compile(r"</parameter>|(?=<parameter=)|(?=</function>)")
# a template may open the thinking for the model, which then only closes it
_THINK_CLOSED = re.compile(r"(?:^|\n)\s*</think>[ \t]*(?:\n|$)")
_NAMED = re.compile(r"[\"'](?:name|function)[\"']\s*:\s*[\"']([^\"'\n]{1,200})[\"']")
_ARGUMENT_KEYS = ("arguments", "parameters")


class _NotACall(ValueError):
    """A JSON value that is no call; the message says what is wrong with it."""


class _Reader:
    """One pass from left to right; every handler returns where to go on."""

    def __init__(self, text: str, tools: dict[str, ToolSpec]) -> None:
        self.text = text
        self.tools = tools
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.errors: list[str] = []
        self.kept: list[str] = []

    def read(self) -> None:
        position = 0
        closing = _THINK_CLOSED.search(self.text)
        if closing and "<think>" not in self.text[: closing.start()]:
            position = closing.end()
        while position < len(self.text):
            mark = _MARK.search(self.text, position)
            if mark is None:
                break
            self.kept.append(self.text[position : mark.start()])
            end = self._at(mark)
            if end is None:
                end = mark.end()
                self.kept.append(mark.group())
            position = end
        self.kept.append(self.text[position:])

    def _at(self, mark: re.Match[str]) -> int | None:
        """Deal with one mark; None leaves it in the text and goes on right behind it."""
        if mark.group() == "<think>":
            end = self.text.find("</think>", mark.end())
            return len(self.text) if end < 0 else end + len("</think>")
        if mark["tag"]:
            return self._tagged(mark["tag"], mark.end())
        if mark.group() == "<function=":
            return self._function(mark.start())
        if mark["fence"]:
            return self._fenced(mark)
        if mark["json"]:
            return self._bare(mark.start())
        return None

    def _tagged(self, tag: str, start: int) -> int | None:
        closer = f"</{tag}>"
        position = _skip_space(self.text, start)
        before = len(self.calls), len(self.errors)
        while True:
            if _FUNCTION.match(self.text, position):
                end: int | None = self._function(position)
            else:
                end = self._tagged_json(tag, position)
            if end is None:
                break
            position = _skip_space(self.text, end)
            if self.text.startswith(",", position):
                position = _skip_space(self.text, position + 1)
        found = (len(self.calls), len(self.errors)) != before
        if self.text.startswith(closer, position):
            if not found and tag == "tool_call":
                self.errors.append(
                    "The <tool_call> is empty; put one JSON object with `name` and `arguments` in it."
                )
            return position + len(closer) if found or tag == "tool_call" else None
        if found:
            surplus = re.compile(r"[\s}\])]*" + closer).match(self.text, position)
            return surplus.end() if surplus else position
        if tag != "tool_call":
            return None
        if position >= len(self.text):
            self.errors.append("The <tool_call> at the end is incomplete; write the whole call again.")
            return position
        close = self.text.find(closer, position)
        if close < 0:
            return None  # a mention of the tag in prose
        self.errors.append(
            f"The text inside <tool_call> is no JSON object: {_short(self.text[position:close].strip())}"
        )
        return close + len(closer)

    def _tagged_json(self, tag: str, start: int) -> int | None:
        if not self.text.startswith(("{", "["), start):
            return None
        value, end, problem = decode(self.text, start)
        closed = True
        if value is NOTHING:
            end, closed = self._end_of_broken(start, f"</{tag}>")
            value = mend(self.text[start:end], closed)
        if value is NOTHING:
            where = (
                "is incomplete; write the whole call again" if not closed else f"is not valid JSON: {problem}"
            )
            self.errors.append(f"The call inside <{tag}> {where}.")
            return end
        return self._take(value, end, tag)

    def _end_of_broken(self, start: int, closer: str) -> tuple[int, bool]:
        """Where a JSON value that does not decode ends, and whether something closes it."""
        close = self.text.find(closer, start)
        return (close, True) if close >= 0 else (len(self.text), False)

    def _fenced(self, mark: re.Match[str]) -> int:
        """A fence is either a call or left whole, so code inside it is never searched for calls."""
        fence = mark["fence"]
        close = self.text.find(fence, mark.end())
        after = len(self.text) if close < 0 else close + len(fence)
        start = _skip_space(self.text, mark.end())
        if self.text.startswith(("<tool_call>", "<tools>", "<function="), start):
            inner = _MARK.match(self.text, start)
            end = self._at(inner) if inner else None
        else:
            end = self._json_call(start, close)
        if end is None:
            self.kept.append(self.text[mark.start() : after])
            return after
        while (following := self._json_call(_skip_space(self.text, end), close)) is not None:
            end = following
        end = _skip_space(self.text, end)
        return end + len(fence) if self.text.startswith(fence, end) else end

    def _bare(self, start: int) -> int | None:
        end = self._json_call(start, -1)
        if end is not None:
            return end
        value, end, _ = decode(self.text, start)
        if value is NOTHING:
            return None
        self.kept.append(self.text[start:end])  # ordinary JSON: nothing inside it is a call either
        return end

    def _json_call(self, start: int, close: int) -> int | None:
        """Untagged JSON at `start`, if it is a call of an offered tool. `close`: where its fence ends."""
        if not self.text.startswith(("{", "["), start):
            return None
        value, end, problem = decode(self.text, start)
        if value is not NOTHING:
            return self._take(value, end, None)
        end = close if close >= 0 else len(self.text)
        broken = self.text[start:end]
        name = _NAMED.search(broken, 0, 300)
        if name is None or name[1] not in self.tools or not any(key in broken for key in _ARGUMENT_KEYS):
            return None
        value = mend(broken, close >= 0)
        if value is not NOTHING:
            return self._take(value, end, None)
        cut = close < 0 and not broken.rstrip().endswith(("}", "]"))
        what = "is incomplete; write the whole call again" if cut else f"is not valid JSON: {problem}"
        self.errors.append(f"The call of `{name[1]}` {what}.")
        return end

    def _take(self, value: Any, end: int, tag: str | None) -> int | None:
        """Keep the calls in a JSON value from inside `tag`, or from none; None when it is no call."""
        found: list[tuple[str, dict[str, Any]]] = []
        problems: list[str] = []
        for item in value if isinstance(value, list) else [value]:
            try:
                name, arguments = _as_call(item, lenient=tag is not None)
            except _NotACall as problem:
                if tag != "tool_call" and not _names_tool(item, self.tools):
                    return None
                problems.append(str(problem))
                continue
            if tag is None and name not in self.tools:
                return None
            found.append((name, arguments))
        if not found and not problems:
            return None
        self.calls.extend(found)
        self.errors.extend(problems)
        return end

    def _function(self, start: int) -> int | None:
        opening = _FUNCTION.match(self.text, start)
        if opening is None:
            return None
        name = opening[1]
        position = _skip_space(self.text, opening.end())
        if self.text.startswith("{", position):
            value, end, problem = decode(self.text, position)
            closed = True
            if value is NOTHING:
                end, closed = self._end_of_broken(position, "</function>")
                value = mend(self.text[position:end], closed)
            if not isinstance(value, dict):
                reason = f"not valid JSON: {problem}" if closed else "incomplete"
                self.errors.append(f"The arguments of `{name}` are {reason}.")
                return self._after_function(end)
            inner = value.get("arguments", value) if value.get("name") == name else value
            self.calls.append((name, inner if isinstance(inner, dict) else value))
            return self._after_function(end)
        arguments: dict[str, Any] = {}
        while parameter := _PARAMETER.match(self.text, position):
            closing = _PARAMETER_END.search(self.text, parameter.end())
            if closing is None:
                self.errors.append(
                    f"Parameter `{parameter[1]}` of `{name}` is incomplete; write the whole call again."
                )
                return len(self.text)
            raw = self.text[parameter.end() : closing.start()]
            arguments[parameter[1]] = self._parameter_value(name, parameter[1], raw)
            position = closing.end()
        position = _skip_space(self.text, position)
        if not arguments and not self.text.startswith("</function>", position):
            return None
        self.calls.append((name, arguments))
        return self._after_function(position)

    def _after_function(self, position: int) -> int:
        position = _skip_space(self.text, position)
        return position + len("</function>") if self.text.startswith("</function>", position) else position

    def _parameter_value(self, tool: str, key: str, raw: str) -> Any:
        """Raw text becomes JSON only where the schema does not want a string."""
        raw = raw.removeprefix("\r").removeprefix("\n").removesuffix("\n").removesuffix("\r")
        spec = self.tools.get(tool)
        properties = spec.parameters.get("properties") if spec else None
        schema = properties.get(key) if isinstance(properties, dict) else None
        kind = schema.get("type") if isinstance(schema, dict) else None
        if kind == "string" or kind is None:
            return raw
        plain = raw.strip()
        literal = {"True": "true", "False": "false", "None": "null"}.get(plain, plain)
        value, end, _ = decode(literal, 0)
        return raw if value is NOTHING or literal[end:].strip() else value


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _short(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _names_tool(item: Any, tools: dict[str, ToolSpec]) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        return False
    return item["name"] in tools and "arguments" in item


def _as_call(item: Any, *, lenient: bool) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a call object. `lenient`: inside a tag, where arguments may be left out."""
    if not isinstance(item, dict):
        raise _NotACall(
            f"A call is a JSON object with `name` and `arguments`, not {_short(json.dumps(item))}."
        )
    wrapped = item.get("function")
    if isinstance(wrapped, dict) and "arguments" in wrapped:
        item = wrapped
    elif isinstance(wrapped, str) and "name" not in item:
        item = {**item, "name": wrapped}
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise _NotACall('The call has no `name`; write {"name": …, "arguments": {…}}.')
    key = next((key for key in _ARGUMENT_KEYS if key in item), None)
    if key is None:
        if lenient or set(item) == {"name"}:
            return name, {}
        raise _NotACall(f"The call of `{name}` has no `arguments`.")
    if key == "parameters" and _is_declaration(item):
        raise _NotACall(f"This repeats the declaration of `{name}` instead of calling it; give `arguments`.")
    arguments = item[key]
    if isinstance(arguments, str):
        decoded, end, _ = decode(arguments.strip() or "{}", 0)
        if isinstance(decoded, dict) and not arguments.strip()[end:].strip():
            arguments = decoded
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise _NotACall(
            f"The `{key}` of `{name}` must be a JSON object, not {_short(json.dumps(arguments))}."
        )
    return name, arguments


def _is_declaration(item: dict[str, Any]) -> bool:
    """Models sometimes repeat a tool's declaration, which also has `name` and `parameters`."""
    schema = item["parameters"]
    return "description" in item or (isinstance(schema, dict) and "properties" in schema and "type" in schema)
