"""Tools from plain functions: the signature becomes the schema, the docstring the description.

    @tool(risk="read")
    async def read_file(context: ToolContext, path: str, start_line: int = 1) -> str:
        \"\"\"Read a text file.\"\"\"

The schema is pydantic's, stripped of what only costs prompt tokens (titles, wrappers, closing remarks).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from skills.tool import Risk, ToolContext, ToolError, ToolOutput, ToolSpec

ToolFunction = Callable[..., Awaitable[str | ToolOutput]]


@dataclass(frozen=True)
class FunctionTool:
    """A tool made from an async function."""

    spec: ToolSpec
    """What the model and the policy are told."""
    function: ToolFunction
    """Takes the context and the arguments by name."""
    arguments: type[BaseModel]
    """Checks the arguments and fills in the defaults."""

    async def run(self, arguments: dict[str, Any], context: ToolContext) -> ToolOutput:
        """Check the arguments, call the function. Raises ToolError when either fails."""
        try:
            checked = self.arguments.model_validate(arguments)
        except ValidationError as error:
            raise ToolError(f"Wrong arguments for `{self.spec.name}`: {_told(error)}.") from error
        named = {name: getattr(checked, name) for name in self.arguments.model_fields}
        output = await self.function(context, **named)
        return ToolOutput(output) if isinstance(output, str) else output


def tool(risk: Risk) -> Callable[[ToolFunction], FunctionTool]:
    """Make the decorated async function a tool. Its first parameter takes the ToolContext."""

    def make(function: ToolFunction) -> FunctionTool:
        arguments = arguments_model(function)
        description = inspect.cleandoc(function.__doc__ or "")
        if not description:
            raise TypeError(f"The tool {function.__name__} needs a docstring: it is what the model reads.")
        spec = ToolSpec(
            name=function.__name__,
            description=" ".join(description.split()),
            parameters=compact_schema(arguments),
            risk=risk,
        )
        return FunctionTool(spec, function, arguments)

    return make


def arguments_model(function: ToolFunction) -> type[BaseModel]:
    """A pydantic model with one field for each parameter after the context. Raises TypeError for a
    parameter without a type, since the model could not be told what to pass."""
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
        if name not in hints:
            raise TypeError(f"The parameter {name} of the tool {function.__name__} needs a type.")
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[name] = (hints[name], default)
    return create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)


def compact_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The model's JSON schema with every definition in place and nothing that says what names say."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    compact: dict[str, Any] = _compact(schema, definitions)
    # in the order models have seen most often
    return {"type": "object", "properties": compact.get("properties", {})} | (
        {"required": compact["required"]} if "required" in compact else {}
    )


def _compact(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_compact(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        # a type that contains itself cannot be written in place
        inner = {key: value for key, value in definitions.items() if key != name}
        if name not in definitions:
            raise TypeError(f"The parameter type {name} contains itself; a tool's schema must be finite.")
        merged = {**definitions[name], **{key: value for key, value in node.items() if key != "$ref"}}
        return _compact(merged, inner)
    kept: dict[str, Any] = {}
    for key, value in node.items():
        if key == "properties":
            # a parameter may itself be called `title`
            kept[key] = {name: _compact(inner, definitions) for name, inner in value.items()}
        elif key not in ("title", "additionalProperties") or (
            key == "additionalProperties" and value is not False
        ):
            kept[key] = _compact(value, definitions)
    return kept


def _told(error: ValidationError) -> str:
    parts = []
    for found in error.errors():
        where = ".".join(str(part) for part in found["loc"])
        parts.append(f"`{where}`: {found['msg'].lower()}")
    return "; ".join(parts)
