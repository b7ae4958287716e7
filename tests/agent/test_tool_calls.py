"""Every shape in which a model writes calls, what is no call, and what is wrong with a broken one."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.tool_calls import check_arguments, parse_calls
from memory.types import ToolCall
from skills.tool import ToolSpec


def tool(name: str, required: tuple[str, ...] = (), **properties: Any) -> ToolSpec:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return ToolSpec(name=name, description=f"Does {name}.", parameters=schema, risk="read")


READ = tool("read_file", ("path",), path={"type": "string"}, lines={"type": "integer"})
RUN = tool("run_python", ("code",), code={"type": "string"}, quick={"type": "boolean"})
WRITE = tool(
    "write_file",
    ("path", "content"),
    path={"type": "string"},
    content={"type": "string"},
    mode={"enum": ["new", "append"]},
)
TOOLS = (READ, RUN, WRITE)
CALL = {"name": "read_file", "arguments": {"path": "a.txt", "lines": 3}}
TEXT = json.dumps(CALL)


def calls(text: str) -> list[tuple[str, dict[str, Any]]]:
    parsed = parse_calls(text, TOOLS, "call_0")
    assert parsed.errors == ()
    return [(call.name, call.arguments) for call in parsed.calls]


EXPECTED = [("read_file", {"path": "a.txt", "lines": 3})]


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{TEXT}\n</tool_call>",
        f"<tool_call>{TEXT}</tool_call>",
        f"<tool_call>\n{TEXT}",
        f"<tool_call>\n{TEXT}}}\n</tool_call>",
        f"<tools>\n{TEXT}\n</tools>",
        TEXT,
        f"[{TEXT}]",
        json.dumps({"name": "read_file", "parameters": CALL["arguments"]}),
        json.dumps({"name": "read_file", "arguments": json.dumps(CALL["arguments"])}),
        json.dumps({"type": "function", "function": {"name": "read_file", "arguments": CALL["arguments"]}}),
        f"```json\n{TEXT}\n```",
        f"```\n{TEXT}\n```",
        f"```json\n{TEXT}",
        f"```xml\n<tool_call>\n{TEXT}\n</tool_call>\n```",
        f"<function=read_file>{json.dumps(CALL['arguments'])}</function>",
        f"<function=read_file>\n{json.dumps(CALL['arguments'])}",
        "<function=read_file>\n<parameter=path>\na.txt\n</parameter>\n<parameter=lines>\n3\n</parameter>\n</function>",
        "<tool_call>\n<function=read_file>\n<parameter=path>a.txt</parameter><parameter=lines>3</parameter>\n"
        "</function>\n</tool_call>",
        f"<think>\nMaybe <tool_call>{TEXT}</tool_call>?\n</think>\n{TEXT}",
        f"Perhaps {TEXT}.\n</think>\n\n<tool_call>{TEXT}</tool_call>",
        # small slips that leave no doubt
        f"<tool_call>\n{TEXT[:-1]}\n</tool_call>",
        "{'name': 'read_file', 'arguments': {'path': 'a.txt', 'lines': 3,}}",
    ],
)
def test_every_shape_is_the_same_call(text: str) -> None:
    assert calls(text) == EXPECTED
    assert parse_calls(text, TOOLS, "c").text == ""


def test_text_around_a_call_is_kept_and_the_markup_is_not() -> None:
    parsed = parse_calls(f"I will look.\n<tool_call>{TEXT}</tool_call>", TOOLS, "call_4")
    assert parsed.text == "I will look."
    assert [call.id for call in parsed.calls] == ["call_4_0"]


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>{TEXT}</tool_call>\n<tool_call>{TEXT}</tool_call>",
        f"<tool_call>{TEXT}\n{TEXT}</tool_call>",
        f"<tool_call>{TEXT}<tool_call>{TEXT}</tool_call>",
        f"{TEXT}\n{TEXT}",
        f"[{TEXT}, {TEXT}]",
        f"```json\n{TEXT}\n{TEXT}\n```",
        f"```json\n[{TEXT}, {TEXT}]\n```",
    ],
)
def test_several_calls_in_one_turn(text: str) -> None:
    assert calls(text) == EXPECTED * 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The answer is 4.",
        '{"name": "Ada", "age": 36}',
        '{"name": "read_file", "age": 36}',
        '{"name": "delete_all", "arguments": {}}',
        '```json\n{"name": "nightschool", "version": "1"}\n```',
        f"```python\nprint('x')\ncall = {TEXT}\n```",
        f'{{"steps": [{TEXT}]}}',
        "Write `<tool_call>` before and `</tool_call>` after it.",
        "Put it within <tools></tools> tags.",
        "if x < y: [{a} for a in b]",
        f"<think>{TEXT}",
        '{"name": "read_file", "description": "d", "parameters": {"type": "object", "properties": {}}}',
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    parsed = parse_calls(text, TOOLS, "c")
    assert parsed.calls == () and parsed.errors == ()
    if "<think>" not in text:
        assert parsed.text == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"<tool_call>\n{TEXT[:30]}", "incomplete"),
        ('<tool_call>\n{"name": "write_file", "arguments": {"path": "a", "content": "half of', "incomplete"),
        (
            '{"name": "write_file", "arguments": {"path": "a", "content": "half of',
            "`write_file` is incomplete",
        ),
        ("<tool_call>", "incomplete"),
        ('<tool_call>{"name": "write_file", "arguments": {"path": "a", "content": "x = []', "incomplete"),
        ('<tool_call>{"name": "write_file", "arguments": {"path": "a", "mode": {"b": 1}', "incomplete"),
        ("<tool_call></tool_call>", "empty"),
        ("<tool_call>read a.txt</tool_call>", "no JSON object: read a.txt"),
        ('<tool_call>{"arguments": {}}</tool_call>', "no `name`"),
        ('<tool_call>{"name": "read_file", "arguments": [1]}</tool_call>', "must be a JSON object, not [1]"),
        ('{"name": "read_file", "arguments": "a.txt"}', 'must be a JSON object, not "a.txt"'),
        (
            "<function=write_file><parameter=path>a</parameter><parameter=content>half",
            "`content` of `write_file`",
        ),
        ('<function=read_file>{"path": "a', "`read_file` are incomplete"),
    ],
)
def test_a_broken_call_is_an_exact_error(text: str, says: str) -> None:
    parsed = parse_calls(text, TOOLS, "c")
    assert parsed.calls == ()
    assert len(parsed.errors) == 1 and says in parsed.errors[0]


def test_a_mending_that_would_lose_code_is_refused() -> None:
    code = '"a = {"k": "v", "z": 2}\nprint(a)"'
    text = f'<tool_call>{{"name": "run_python", "arguments": {{"code": {code}}}}}</tool_call>'
    parsed = parse_calls(text, TOOLS, "c")
    assert parsed.calls == () and "not valid JSON" in parsed.errors[0]


def test_code_in_arguments_may_hold_any_markup() -> None:
    code = "a = '</tool_call>'\nb = '<think>'\nc = '''```json\n{\"name\": \"read_file\"}\n```'''\n"
    written = json.dumps({"name": "run_python", "arguments": {"code": code}})
    for text in (f"<tool_call>\n{written}\n</tool_call>", written, f"```json\n{written}\n```"):
        assert calls(text) == [("run_python", {"code": code})]


def test_parameters_are_read_by_their_schema() -> None:
    text = (
        "<function=run_python>\n<parameter=code>\n42\n</parameter>\n"
        "<parameter=quick>\nTrue\n</parameter>\n</function>"
    )
    assert calls(text) == [("run_python", {"code": "42", "quick": True})]


names = st.sampled_from([spec.name for spec in TOOLS])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
arguments = st.dictionaries(st.text(), values, max_size=4)


@given(found=st.lists(st.tuples(names, arguments), min_size=1, max_size=3), shape=st.integers(0, 7))
def test_random_calls_come_back_from_every_shape(found: list[tuple[str, dict[str, Any]]], shape: int) -> None:
    objects = [
        json.dumps({"name": name, "arguments": given_}, ensure_ascii=shape % 2 == 0) for name, given_ in found
    ]
    text = [
        lambda: "\n".join(f"<tool_call>\n{one}\n</tool_call>" for one in objects),
        lambda: "\n".join(f"<tools>\n{one}\n</tools>" for one in objects),
        lambda: "\n".join(objects),
        lambda: f"[{', '.join(objects)}]",
        lambda: "\n".join(f"```json\n{one}\n```" for one in objects),
        lambda: "\n".join(f"<function={name}>{json.dumps(given_)}</function>" for name, given_ in found),
        lambda: "\n".join(
            json.dumps({"name": name, "parameters": json.dumps(given_)}) for name, given_ in found
        ),
        lambda: "<think>hm</think>" + "".join(f"<tool_call>{one}" for one in objects),
    ][shape]()
    assert calls(text) == found


pieces = st.sampled_from(
    [
        "<tool_call>",
        "</tool_call>",
        "<tools>",
        "</tools>",
        "<think>",
        "</think>",
        "<function=",
        "read_file>",
        "```",
        "json",
        "`",
        "}}",
        "[",
        "{",
        '"',
        "'",
        ",",
        "<parameter=path>",
        "</parameter>",
        "</function>",
        "\\",
        "\\ud800",
        "NaN",
        "1e999",
        '{"name":"read_file",',
        '"arguments":{',
        '"path":"x"',
    ]
) | st.sampled_from(["\n", " "])


@given(st.lists(pieces | st.text(max_size=5), max_size=25).map("".join))
def test_nothing_makes_it_raise_and_all_it_gives_can_be_written(text: str) -> None:
    parsed = parse_calls(text.encode("utf-8", "replace").decode(), TOOLS, "c")
    parsed.model_dump_json()


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    text = '<tool_call>{"name": "read_file", "arguments": {"path": ' + "[" * 100_000
    assert "incomplete" in parse_calls(text, TOOLS, "c").errors[0]
    assert parse_calls("[{" * 20_000, TOOLS, "c").calls == ()


def wrong(name: str, **given_: Any) -> str | None:
    return check_arguments(ToolCall(id="c", name=name, arguments=given_), TOOLS)


def test_a_call_that_fits_has_nothing_wrong() -> None:
    assert wrong("read_file", path="a", lines=3) is None
    assert wrong("write_file", path="a", content="", mode="append") is None


@pytest.mark.parametrize(
    ("name", "given_", "says"),
    [
        ("readfile", {"path": "a"}, "There is no tool `readfile`; did you mean `read_file`?"),
        ("zzz", {}, "the tools are: `read_file`, `run_python`, `write_file`."),
        ("read_file", {}, "`read_file`: required argument `path` missing."),
        ("write_file", {}, "required arguments `path`, `content` missing."),
        ("read_file", {"path": "a", "line": 3}, "unknown argument `line`; did you mean `lines`?"),
        ("read_file", {"path": 3}, "argument `path` must be of type string, not 3."),
        ("write_file", {"path": "a", "content": "b", "mode": "x"}, 'must be one of "new", "append", not "x"'),
    ],
)
def test_what_is_wrong_is_said_exactly(name: str, given_: dict[str, Any], says: str) -> None:
    assert says in (wrong(name, **given_) or "")


def test_a_place_deep_inside_is_named() -> None:
    nested = tool(
        "plot", points={"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}}}
    )
    call = ToolCall(id="c", name="plot", arguments={"points": [{"x": 1}, {"x": "2"}]})
    assert (
        check_arguments(call, [nested]) == '`plot`: argument `points[1].x` must be of type number, not "2".'
    )


def test_a_broken_or_remote_schema_checks_nothing() -> None:
    for schema in (
        {"properties": {"x": {"type": "quux"}}},
        {"properties": {"x": {"$ref": "http://127.0.0.1/x"}}},
    ):
        spec = ToolSpec(name="t", description="", parameters=schema, risk="read")
        assert check_arguments(ToolCall(id="c", name="t", arguments={"x": 1}), [spec]) is None


@given(arguments)
def test_the_check_never_raises(given_: dict[str, Any]) -> None:
    for spec in TOOLS:
        check_arguments(ToolCall(id="c", name=spec.name, arguments=given_), [spec])


def test_a_number_larger_than_any_float_is_the_largest_float() -> None:
    text = '<tool_call>{"name": "read_file", "arguments": {"path": "x", "start": 7.1e637}}</tool_call>'
    (call,) = parse_calls(text, TOOLS, "c").calls
    assert call.arguments["start"] == sys.float_info.max
