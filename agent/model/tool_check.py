"""The check of a parsed call against the tools on offer, in one sentence the model can mend it by."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memory.types import ToolCall
from skills.tool import ToolSpec

if TYPE_CHECKING:
    from jsonschema import ValidationError


def check_arguments(call: ToolCall, tools: Sequence[ToolSpec]) -> str | None:
    """What is wrong with the call, or None. An unknown name is answered with the closest one.

    Arguments the schema does not name are wrong unless it allows them. A schema that is itself broken
    (some servers send such) checks nothing: its tool will answer for itself.
    """
    tool = next((tool for tool in tools if tool.name == call.name), None)
    if tool is not None:
        return _check_against(call, tool)
    names = [tool.name for tool in tools]
    close = difflib.get_close_matches(call.name, names, n=1, cutoff=0.5)
    listed = ", ".join(f"`{name}`" for name in names) or "none"
    hint = f"did you mean `{close[0]}`?" if close else f"the tools are: {listed}."
    return f"There is no tool `{call.name}`; {hint}"


def _check_against(call: ToolCall, tool: ToolSpec) -> str | None:
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.exceptions import UnknownType, best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    schema = {"type": "object", "additionalProperties": False, **tool.parameters}
    if "properties" not in schema:
        schema["additionalProperties"] = tool.parameters.get("additionalProperties", True)
    try:
        Draft202012Validator.check_schema(schema)
        # an empty registry: a `$ref` to somewhere else must never be fetched
        validator = Draft202012Validator(schema, registry=Registry())
        error = best_match(validator.iter_errors(call.arguments))
    except (SchemaError, UnknownType, Unresolvable, RecursionError):
        return None
    return None if error is None else f"`{tool.name}`: {_sentence(error)}"


def _sentence(error: ValidationError) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    place = f"argument `{where[1:]}`" if where else "the arguments"
    value: Any = error.instance
    wanted: Any = error.validator_value
    if error.validator == "required":
        missing = [key for key in wanted if key not in value]
        names = ", ".join(f"`{key}`" for key in missing)
        inside = f" in {place}" if where else ""
        return f"required argument{'s' if len(missing) > 1 else ''} {names}{inside} missing."
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {})) if isinstance(error.schema, dict) else []
        extra = next((key for key in value if key not in known), "")
        close = difflib.get_close_matches(extra, known, n=1, cutoff=0.5)
        hint = (
            f"did you mean `{close[0]}`?" if close else f"it knows {', '.join(f'`{key}`' for key in known)}."
        )
        return (
            f"unknown argument `{extra}`; {hint}" if known else f"unknown argument `{extra}`; it takes none."
        )
    if error.validator == "type":
        kinds = " or ".join(wanted) if isinstance(wanted, list) else wanted
        return f"{place} must be of type {kinds}, not {_shown(value)}."
    if error.validator == "enum":
        return f"{place} must be one of {', '.join(map(_shown, wanted))}, not {_shown(value)}."
    return f"{place}: {error.message.rstrip('.')}."


def _shown(value: Any, limit: int = 80) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"
