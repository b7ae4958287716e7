"""The published scoring rules of the Berkeley Function Calling Leaderboard's AST categories, for Python.

Source: "The Berkeley Function Calling Leaderboard" (Patil et al., ICML 2025) and its project's description of
the AST evaluation. A call is right when the function's name matches, no required parameter is missing, no
parameter is unexpected, every value has the declared type and is one of the accepted values. An accepted
value of "" says that the parameter may be left out. Calls of parallel categories match in any order.

Kept as published, so that figures compare: nested types are checked one level deep, strings are compared
without case, blanks and ``,./-_*^``, and dictionaries list the accepted values of each key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from memory.types import ToolCall
from skills.tool import ToolSpec

_PYTHON = {
    "string": str,
    "integer": int,
    "float": float,
    "number": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "object": dict,
    "any": str,
}
_JSON = {"dict": "object", "float": "number", "tuple": "array"}
_IGNORED = re.compile(r"[ ,./\-_*^]")
_KEYWORDS = ("description", "enum", "default", "minItems", "maxItems", "minimum", "maximum", "format")


def to_tool(function: Mapping[str, Any]) -> ToolSpec:
    """A function of the data as a tool, its Python type names turned into JSON schema.

    Dots in the name are kept: the local template and grammar have no trouble with them.
    """
    return ToolSpec(
        name=function["name"],
        description=function.get("description", ""),
        parameters=_to_schema(function["parameters"]),
        risk="read",
    )


def _to_schema(declared: Mapping[str, Any]) -> dict[str, Any]:
    kind = declared.get("type")
    schema: dict[str, Any] = {}
    # "any" means a value of whatever type: JSON schema says that by saying nothing
    if isinstance(kind, str) and kind != "any":
        schema["type"] = _JSON.get(kind, kind)
    schema |= {key: declared[key] for key in _KEYWORDS if key in declared and declared[key] is not None}
    if isinstance(declared.get("properties"), Mapping):
        schema["properties"] = {name: _to_schema(part) for name, part in declared["properties"].items()}
        schema["required"] = list(declared.get("required", ()))
    if isinstance(declared.get("items"), Mapping):
        schema["items"] = _to_schema(declared["items"])
    return schema


def score(
    calls: Sequence[ToolCall],
    functions: Sequence[Mapping[str, Any]],
    truth: Sequence[Mapping[str, Any]] | None,
) -> str | None:
    """What is wrong with the calls of one item, or None when they are right.

    `truth`: one `{name: {parameter: [accepted, …]}}` for each expected call, in any order; None or empty
    expects no call.
    """
    if not truth:
        return None if not calls else f"called `{calls[0].name}` where no function fits"
    if len(calls) != len(truth):
        return f"{len(calls)} calls instead of {len(truth)}"
    left = list(calls)
    for expected in truth:
        wrongs: list[str] = []
        for call in left:
            wrong = _score_call(call, functions, expected)
            if wrong is None:
                left.remove(call)
                break
            wrongs.append(wrong)
        else:
            return "; ".join(wrongs)
    return None


def _score_call(
    call: ToolCall, functions: Sequence[Mapping[str, Any]], expected: Mapping[str, Any]
) -> str | None:
    ((name, accepted),) = expected.items()
    if call.name != name:
        return f"called `{call.name}` instead of `{name}`"
    function = next((function for function in functions if function["name"] == name), None)
    if function is None:
        return f"the data does not describe `{name}`"
    declared = function["parameters"].get("properties", {})
    for parameter in function["parameters"].get("required", ()):
        if parameter not in call.arguments:
            return f"required `{parameter}` missing"
    for parameter, value in call.arguments.items():
        if parameter not in declared or parameter not in accepted:
            return f"unexpected `{parameter}`"
        wrong = _score_value(value, declared[parameter], accepted[parameter])
        if wrong:
            return f"`{parameter}`: {wrong}"
    for parameter, values in accepted.items():
        if parameter not in call.arguments and "" not in values:
            return f"`{parameter}` missing"
    return None


def _score_value(value: Any, declared: Mapping[str, Any], accepted: Sequence[Any]) -> str | None:
    kind = str(declared.get("type"))
    wanted: type | None = _PYTHON.get(kind)
    if wanted is float and type(value) is int:
        value = float(value)
    inner = None
    if kind in ("array", "tuple") and isinstance(declared.get("items"), Mapping):
        inner = _PYTHON.get(str(declared["items"].get("type")))
    given = next((type(answer) for answer in accepted if answer != ""), None)
    # accepted values of another type than declared stand for a variable, which is compared as it is
    variable = given is not None and given is not wanted
    if type(value) is wanted:
        if inner is not None and not _inner_types_fit(value, accepted, inner):
            return f"{value!r} does not hold only {inner.__name__}"
    elif type(value) is given:
        variable = True
    else:
        return f"{value!r} is not of type {kind}"
    if variable:
        fits = value in accepted
    elif wanted is dict:
        fits = any(_dict_fits(value, answer) for answer in accepted if answer != "")
    elif wanted is list and inner is dict:
        fits = any(
            len(value) == len(answer) and all(map(_dict_fits, value, answer))
            for answer in accepted
            if answer != ""
        )
    elif wanted is str:
        fits = _plain(value) in [_plain(answer) for answer in accepted if isinstance(answer, str)]
    elif wanted is list:
        fits = _plain_items(value) in [_plain_items(answer) for answer in accepted]
    else:
        fits = value in accepted
    return None if fits else f"{value!r} is not among {list(accepted)!r}"


def _inner_types_fit(value: Any, accepted: Sequence[Any], inner: type) -> bool:
    """Each element has the declared type, or that of the elements of one accepted answer."""
    for answer in accepted:
        if not isinstance(answer, list):
            return True
        given = next((type(item) for item in answer if item != ""), None)
        if all(type(item) in (inner, given) for item in value):
            return True
    return False


def _dict_fits(value: Any, answer: Mapping[str, Sequence[Any]]) -> bool:
    if not isinstance(value, dict) or not isinstance(answer, Mapping):
        return False
    for key, part in value.items():
        if key not in answer or _plain(part) not in [_plain(item) for item in answer[key]]:
            return False
    return all(key in value or "" in values for key, values in answer.items())


def _plain(value: Any) -> Any:
    return _IGNORED.sub("", value).lower().replace("'", '"') if isinstance(value, str) else value


def _plain_items(values: Any) -> list[Any]:
    return [_plain(item) for item in values]
