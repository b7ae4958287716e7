"""Tools made from functions: what the model is told, and what wrong arguments get."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from skills.registry import Registry, builtin_registry
from skills.schema import tool
from skills.tool import ToolContext, ToolError, ToolOutput


class Point(BaseModel):
    """A place."""

    x: int
    title: str = ""


@tool(risk="read")
async def measure(
    context: ToolContext,
    points: list[Point],
    unit: Literal["m", "km"] = "m",
    scale: Annotated[float, Field(gt=0, description="Metres for one unit")] = 1.0,
) -> str:
    """Measure the way
    between points."""
    return f"{len(points)} points in {unit} at {scale}"


def test_the_schema_says_what_the_signature_says_and_no_more() -> None:
    assert measure.spec.name == "measure"
    assert measure.spec.description == "Measure the way between points."
    assert measure.spec.risk == "read"
    assert measure.spec.parameters == {
        "type": "object",
        "properties": {
            "points": {
                "type": "array",
                "items": {
                    "type": "object",
                    "description": "A place.",
                    "properties": {"x": {"type": "integer"}, "title": {"type": "string", "default": ""}},
                    "required": ["x"],
                },
            },
            "unit": {"type": "string", "enum": ["m", "km"], "default": "m"},
            "scale": {
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 1.0,
                "description": "Metres for one unit",
            },
        },
        "required": ["points"],
    }


async def test_defaults_are_filled_in_and_values_become_their_types(context: ToolContext) -> None:
    assert await measure.run({"points": [{"x": 1}]}, context) == ToolOutput("1 points in m at 1.0")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "points"),
        ({"points": 3}, "points"),
        ({"points": [], "unit": "mile"}, "unit"),
        ({"points": [], "speed": 3}, "speed"),
        ({"points": [{"x": "far"}]}, "points.0.x"),
    ],
)
async def test_wrong_arguments_are_named(
    arguments: dict[str, object], named: str, context: ToolContext
) -> None:
    with pytest.raises(ToolError, match=f"`{named}`"):
        await measure.run(arguments, context)


def test_a_tool_needs_types_and_a_docstring() -> None:
    with pytest.raises(TypeError, match="docstring"):

        @tool(risk="read")
        async def silent(context: ToolContext, path: str) -> str:
            return path

    with pytest.raises(TypeError, match="path"):

        @tool(risk="read")
        async def untyped(context: ToolContext, path) -> str:  # type: ignore[no-untyped-def]
            """Do something."""
            return str(path)


def test_the_built_in_tools_are_told_in_few_characters() -> None:
    """Every prompt carries them, and on a CPU a token of prefill costs milliseconds: about 600 tokens."""
    specs = builtin_registry().specs()
    told = [
        {"name": spec.name, "description": spec.description, "parameters": spec.parameters} for spec in specs
    ]
    assert sum(len(json.dumps(one)) for one in told) < 2400
    for spec in specs:
        jsonschema.Draft202012Validator.check_schema(spec.parameters)


def test_a_registry_keeps_names_unique_and_its_order(make_context: Callable[..., ToolContext]) -> None:
    registry = builtin_registry()
    names = [spec.name for spec in registry.specs()]
    assert names == [tool.spec.name for tool in registry]
    assert len(names) == len(registry) == 9
    assert "read_file" in registry
    assert registry.get("finish").spec.name == "finish"
    with pytest.raises(ToolError, match="read_file"):
        registry.get("cat")
    with pytest.raises(ValueError, match="measure"):
        Registry([measure, measure])
