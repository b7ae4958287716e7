"""Whatever is decoded under the grammar parses and fits its schema; text stays text."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.model.base import GenerateRequest, TurnEnd
from agent.model.grammar import CallConstraint, constraint_factory
from agent.model.local import LocalModel
from agent.model.relevance import is_judged, likeness, name_odds
from agent.model.tokens import Tokens
from agent.model.tool_calls import check_arguments, parse_calls
from agent.model.tool_grammar import ToolGrammar
from memory.types import Message
from skills.tool import ToolSpec

scalars = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "integer", "minimum": 1, "maximum": 20},
        {"enum": ["red", "green", "dark blue"]},
        {"enum": [1, 2, None]},
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"type": "string", "format": "date", "default": "today"},
        {},
    ]
)
keys = st.text(
    st.characters(categories=["Ll", "Lu", "Nd"], include_characters="_. é日"), min_size=1, max_size=6
)


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(keys, st.tuples(inner, st.booleans()), max_size=4).map(
        lambda parts: {
            "type": "object",
            "properties": {key: schema for key, (schema, _) in parts.items()},
            "required": [key for key, (_, needed) in parts.items() if needed],
        }
    )


schemas = st.recursive(
    scalars,
    lambda inner: objects(inner) | inner.map(lambda items: {"type": "array", "items": items}),
    max_leaves=6,
)
names = st.from_regex(r"[a-z_]{1,8}(\.[a-z_]{1,5})?", fullmatch=True)
tool_sets = st.dictionaries(names, objects(schemas), min_size=1, max_size=3).map(
    lambda parts: tuple(
        ToolSpec(name=name, description="", parameters=schema, risk="none") for name, schema in parts.items()
    )
)


@pytest.fixture(scope="module")
def grammar(tiny_qwen_dir: Path) -> ToolGrammar:
    found = ToolGrammar.load(tiny_qwen_dir)
    assert found is not None
    return found


def request(tools: tuple[ToolSpec, ...], text: str = "Do it.") -> GenerateRequest:
    message = Message(role="user", content=text, provenance="user")
    return GenerateRequest(messages=(message,), tools=tools, max_tokens=300)


def decode(
    constraint: CallConstraint, grammar: ToolGrammar, scores: Any, limit: int = 400
) -> tuple[str, bool]:
    """What a model with these scores writes; False when it did not come to an end by itself."""
    written: list[int] = []

    def look(tokens: Any) -> torch.Tensor:
        return torch.stack([scores() for _ in tokens])

    forced = list(constraint.start(scores(), look))
    while len(written) < limit:
        written += forced
        if written[-1:] == [grammar.end]:
            break
        masked = constraint.mask(scores())
        token = int(masked.argmax())
        assert masked[token] > -float("inf")
        assert constraint.forced == (int((masked > -float("inf")).sum()) == 1)
        forced = [token, *constraint.accept(token)]
    ended = written[-1:] == [grammar.end]
    return grammar.tokens.decode(written), ended


@given(tools=tool_sets, seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_allowed_call_parses_and_fits(
    grammar: ToolGrammar, tools: tuple[ToolSpec, ...], seed: int
) -> None:
    chance = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    closers = [t for t in range(grammar.vocab_size) if grammar.text(t)[:1] in ('"', "}", "]", ",")]

    def scores() -> torch.Tensor:
        row = torch.rand(grammar.vocab_size, generator=generator)
        # random text alone would hardly ever end a string
        row[closers] += chance.choice([0.0, 1.0, 1.0])
        row[grammar.tag] += 2.0
        return row

    text, ended = decode(CallConstraint(grammar, request(tools)), grammar, scores)
    parsed = parse_calls(text, tools, "c")
    if ended:
        assert parsed.calls and not parsed.errors, text
        assert parsed.text == ""
    else:
        assert len(parsed.errors) <= 1
    for call in parsed.calls:
        assert check_arguments(call, tools) is None, text


READ = ToolSpec(
    name="read_file",
    description="Read a file.",
    parameters={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    risk="none",
)


def following(grammar: ToolGrammar, text: str) -> Any:
    """Scores of a model that wants to write exactly this, wherever the grammar lets it."""
    wanted = [*grammar.tokens.encode(text), grammar.end]

    class Wish:
        def __init__(self) -> None:
            self.written: list[int] = []

        def __call__(self, ahead: int = 0) -> torch.Tensor:
            row = torch.zeros(grammar.vocab_size)
            row[wanted[min(len(self.written) + ahead, len(wanted) - 1)]] = 9.0
            return row

    return Wish()


def run(grammar: ToolGrammar, text: str, tools: tuple[ToolSpec, ...] = (READ,)) -> list[int]:
    """Follow a wish through the constraint, free choice and forced tokens alike."""
    wish = following(grammar, text)
    constraint = CallConstraint(grammar, request(tools))

    def look(tokens: Any) -> torch.Tensor:
        return torch.stack([wish(index + 1) for index in range(len(tokens))])

    written = list(constraint.start(wish(), look))
    if written:
        return written
    for _ in range(200):
        token = int(constraint.mask(wish()).argmax())
        wish.written.append(token)
        written += [token, *constraint.accept(token)]
        if token == grammar.end or len(written) > len(wish.written):
            break
    return written


@pytest.mark.parametrize(
    "opening",
    [
        '{"name": "read_file", "arguments": {"path": "a"}}',
        '[{"name": "read_file", "arguments": {"path": "a"}}]',
        '```json\n{"name": "read_file", "arguments": {"path": "a"}}\n```',
        '{\n  "name": "read_file",\n  "arguments": {"path": "a"}\n}',
        '<tool_call>\n{"name": "read_file", "arguments": {}}\n</tool_call>',
        '<function=read_file>{"path": "a"}</function>',
        '<tools>{"name": "read_file"}</tools>',
    ],
)
def test_every_way_to_open_a_call_becomes_the_templates(grammar: ToolGrammar, opening: str) -> None:
    for before in ("", "I will look.\n"):
        written = grammar.tokens.decode(run(grammar, before + opening))
        assert written == f'{before}<tool_call>\n{{"name": "'


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 4.",
        '{"name": "Ada", "age": 36}',
        '```json\n{"name": "nightschool"}\n```',
        '```python\nprint({"name": "read_file"})\n```',
        "Use [a] or {b}.\n[1] The source.",
    ],
)
def test_a_model_that_writes_text_is_left_alone(grammar: ToolGrammar, text: str) -> None:
    tokens = run(grammar, text)
    assert tokens[-1] == grammar.end
    assert grammar.tokens.decode(tokens) == text.replace(
        'print({"name": "read_file', 'print({"name": "read_file'
    )


def test_text_cannot_spell_out_a_tag(grammar: ToolGrammar) -> None:
    tokens = grammar.tokens.encode_ordinary("Say <tool_call")
    constraint = CallConstraint(grammar, request((READ,)))
    constraint.start(torch.zeros(grammar.vocab_size), lambda ids: torch.zeros(len(ids), grammar.vocab_size))
    for token in tokens:
        constraint.mask(torch.zeros(grammar.vocab_size))
        constraint.accept(token)
    masked = constraint.mask(torch.zeros(grammar.vocab_size))
    assert masked[grammar.tokens.encode_ordinary(">")[0]] == -float("inf")


def test_a_random_model_under_the_grammar_never_writes_an_unreadable_call(tiny_qwen_dir: Path) -> None:
    model = LocalModel.load(tiny_qwen_dir, "tiny", constraint_factory=constraint_factory(tiny_qwen_dir))
    for seed in range(6):
        asked = request((READ,)).model_copy(update={"temperature": 1.0, "seed": seed, "max_tokens": 120})
        end = next(delta for delta in model.stream(asked) if isinstance(delta, TurnEnd))
        parsed = parse_calls(end.text, (READ,), "c")
        assert end.finish_reason == "length" or not parsed.errors
        assert all(check_arguments(call, (READ,)) is None for call in parsed.calls)


def test_only_tool_sets_without_a_way_out_are_judged() -> None:
    api = READ.model_copy(update={"risk": "read"})
    assert is_judged(request((api,)))
    assert not is_judged(request((api, READ)))
    answered = Message(role="tool", content="4", provenance="tool", tool_call_id="c", name="read_file")
    later = request((api,))
    assert not is_judged(later.model_copy(update={"messages": (*later.messages, answered)}))


def test_irrelevant_tools_keep_a_judged_turn_to_text(grammar: ToolGrammar) -> None:
    api = READ.model_copy(update={"risk": "read"})
    row = torch.zeros(grammar.vocab_size)
    row[grammar.tag] = 9.0
    constraint = CallConstraint(grammar, request((api,)))
    assert list(constraint.start(row, lambda ids: torch.zeros(len(ids), grammar.vocab_size))) == []
    assert constraint.mask(row.clone())[grammar.tag] == -float("inf")


def test_name_odds_are_bounded() -> None:
    row = torch.full((10,), -float("inf"))
    row[3] = 0.0
    assert name_odds(row, [3]) == 14.0 and name_odds(row, [4]) == -14.0
    assert abs(name_odds(torch.zeros(10), [0, 1, 2, 3, 4])) < 1e-6


def test_likeness_is_of_the_nearest_tool() -> None:
    import numpy as np

    class Fixed:
        def embed(self, texts: Any) -> Any:
            return np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], dtype=np.float32)[: len(texts)]

    assert likeness("x", (READ, READ), Fixed()) == pytest.approx(0.6)


def test_a_broken_schema_still_gives_an_object(grammar: ToolGrammar) -> None:
    broken = READ.model_copy(
        update={"parameters": {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}}
    )
    matcher = grammar.matcher((broken,))
    assert matcher.accept_string('read_file", "arguments": {"a": 1}}')
    assert matcher.is_completed()


def test_names_and_values_in_any_script(grammar: ToolGrammar) -> None:
    parameters = {"properties": {"Größe": {"enum": ["ße", "µ0", "日a", "\u0085f"]}}, "required": ["Größe"]}
    spec = READ.model_copy(update={"parameters": {"type": "object", **parameters}})
    for value in parameters["properties"]["Größe"]["enum"]:
        matcher = grammar.matcher((spec,))
        text = f'read_file", "arguments": {{"Größe": {json.dumps(value, ensure_ascii=False)}}}}}'
        assert matcher.accept_string(text) and matcher.is_completed()


def test_strings_hold_code_and_any_script(grammar: ToolGrammar) -> None:
    matcher = grammar.matcher((READ,))
    path = json.dumps("def f():\n\treturn 'x' \"y\" \\ é 日本 🎉\n", ensure_ascii=False)
    assert matcher.accept_string(f'read_file", "arguments": {{"path": {path}}}}}') and matcher.is_completed()


def test_a_folder_whose_template_knows_no_calls_is_not_constrained(tiny_qwen_dir: Path) -> None:
    tokens = Tokens.load(tiny_qwen_dir)
    assert "<tool_call>" in tokens.added
    assert constraint_factory(tiny_qwen_dir)(request(())) is None
