"""The published rules, one by one, on items of our own."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.bfcl_rules import score, to_tool
from memory.types import ToolCall

FUNCTION = {
    "name": "garden.plan",
    "description": "Plan a garden bed.",
    "parameters": {
        "type": "dict",
        "properties": {
            "plants": {"type": "array", "items": {"type": "string"}, "description": "What to plant."},
            "width": {"type": "float", "description": "Metres."},
            "rows": {"type": "integer", "description": "Rows.", "default": 2},
            "town": {"type": "string", "description": "Where."},
            "size": {"type": "dict", "properties": {"a": {"type": "integer"}}},
            "ends": {"type": "tuple", "items": {"type": "integer"}},
            "beds": {"type": "array", "items": {"type": "dict"}},
            "extra": {"type": "any"},
        },
        "required": ["plants", "width"],
    },
}
TRUTH: dict[str, Any] = {
    "plants": [["beans", "sweet corn"]],
    "width": [2.5, 3],
    "rows": ["", 2],
    "town": ["", "St. Gallen, Switzerland"],
    "size": ["", {"a": [1], "b": ["", 2]}],
    "ends": ["", [1, 2]],
    "beds": ["", [{"a": [1]}, {"a": [2, 3]}]],
    "extra": ["", "x"],
}
BASE = {"plants": ["beans", "sweet corn"], "width": 2.5}


def wrong(name: str = "garden.plan", **changed: Any) -> str | None:
    arguments = {key: value for key, value in {**BASE, **changed}.items() if value != "absent"}
    call = ToolCall(id="c", name=name, arguments=arguments)
    return score([call], [FUNCTION], [{"garden.plan": TRUTH}])


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"width": 3},
        {"rows": 2},
        {"plants": ["Beans", "sweet-corn"]},
        {"town": "st gallen Switzerland"},
        {"size": {"a": 1}},
        {"size": {"a": 1, "b": 2}},
        {"ends": [1, 2]},
        {"beds": [{"a": 1}, {"a": 3}]},
    ],
)
def test_accepted(changed: dict[str, Any]) -> None:
    assert wrong(**changed) is None


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"name": "garden_plan"}, "instead of"),
        ({"width": "absent"}, "required `width` missing"),
        ({"colour": "red"}, "unexpected `colour`"),
        ({"width": "2.5"}, "not of type float"),
        ({"rows": 2.0}, "not of type integer"),
        ({"rows": True}, "not of type integer"),
        ({"rows": 3}, "not among"),
        ({"plants": ["sweet corn", "beans"]}, "not among"),
        ({"plants": [1, 2]}, "does not hold only str"),
        ({"town": "Bern"}, "not among"),
        ({"size": {"b": 2}}, "not among"),
        ({"size": {"a": 1, "c": 2}}, "not among"),
        ({"beds": [{"a": 1}]}, "not among"),
    ],
)
def test_refused(changed: dict[str, Any], says: str) -> None:
    assert says in (wrong(**changed) or "")


def test_a_parameter_without_an_empty_alternative_must_be_there() -> None:
    truth = [{"garden.plan": {**TRUTH, "rows": [2]}}]
    assert (
        score([ToolCall(id="c", name="garden.plan", arguments=BASE)], [FUNCTION], truth) == "`rows` missing"
    )


def test_irrelevance_wants_no_call() -> None:
    assert score([], [FUNCTION], None) is None
    assert score([], [FUNCTION], []) is None
    assert "no function fits" in (score([ToolCall(id="c", name="x", arguments={})], [FUNCTION], []) or "")


def test_parallel_calls_match_in_any_order_and_each_once() -> None:
    one = {"garden.plan": {**TRUTH, "width": [1]}}
    two = {"garden.plan": {**TRUTH, "width": [2]}}
    calls = [
        ToolCall(id=str(width), name="garden.plan", arguments={**BASE, "width": width}) for width in (2, 1)
    ]
    assert score(calls, [FUNCTION], [one, two]) is None
    assert score(calls[:1], [FUNCTION], [one, two]) == "1 calls instead of 2"
    assert score([calls[0], calls[0]], [FUNCTION], [one, two]) is not None


def test_type_names_become_json_schema() -> None:
    schema = to_tool(FUNCTION).parameters
    assert schema["type"] == "object" and schema["required"] == ["plants", "width"]
    kinds = {name: part.get("type") for name, part in schema["properties"].items()}
    assert kinds == {
        "plants": "array",
        "width": "number",
        "rows": "integer",
        "town": "string",
        "size": "object",
        "ends": "array",
        "beds": "array",
        "extra": None,
    }
