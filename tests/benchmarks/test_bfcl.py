"""The benchmark's runner, on a scripted model and on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.errors import UsageError
from agent.model.base import Capabilities, Delta, GenerateRequest, TurnEnd
from benchmarks.bfcl import load_items, mark, sum_up
from memory.types import TokenUsage
from tui.cli.bench import bench
from tui.cli.output import Cli

FUNCTION = {
    "name": "tide.next",
    "description": "Next high tide.",
    "parameters": {"type": "dict", "properties": {"port": {"type": "string"}}, "required": ["port"]},
}


def write(path: Path, *lines: object) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    ask = {
        "question": [[{"role": "user", "content": "When is high tide in Whitby?"}]],
        "function": [FUNCTION],
    }
    write(tmp_path / "tides.jsonl", {"id": "tides_0", **ask}, {"id": "tides_1", **ask})
    truth = [{"tide.next": {"port": ["Whitby"]}}]
    # answers are joined by id, not by line
    write(
        tmp_path / "tides_answers.jsonl",
        {"id": "tides_1", "ground_truth": truth},
        {"id": "tides_0", "ground_truth": truth},
    )
    write(tmp_path / "nothing.jsonl", {"id": "nothing_0", **ask})
    return tmp_path


class Says:
    """A model that gives one answer to everything."""

    name = "says"
    capabilities = Capabilities(constrained=False)

    def __init__(self, text: str) -> None:
        self.text = text

    def stream(self, request: GenerateRequest) -> Iterator[Delta]:
        assert request.messages[0].role == "system" and request.tools[0].name == "tide.next"
        yield TurnEnd(text=self.text, finish_reason="stop", usage=TokenUsage())


CALL = '<tool_call>\n{"name": "tide.next", "arguments": {"port": "whitby"}}\n</tool_call>'


@pytest.mark.parametrize(
    ("text", "category", "correct", "unparseable"),
    [
        (CALL, "tides", 2, 0),
        ("At noon.", "tides", 0, 0),
        (CALL[:40], "tides", 0, 2),
        (CALL, "nothing", 0, 0),
        ("At noon.", "nothing", 1, 0),
    ],
)
def test_a_category_is_summed_up(
    data: Path, text: str, category: str, correct: int, unparseable: int
) -> None:
    marked = [mark(Says(text), item) for item in load_items(data, category)]  # type: ignore[arg-type]
    result = sum_up(marked, category, "says", True)
    assert (result.correct, result.unparseable) == (correct, unparseable)
    assert result.accuracy == correct / len(marked)


def test_the_limit_takes_the_first(data: Path) -> None:
    assert [item.id for item in load_items(data, "tides", 1)] == ["tides_0"]


def test_bad_data_is_one_sentence(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no folder"):
        load_items(data / "missing", "tides")
    with pytest.raises(UsageError, match=r"no category `x`.*there are: nothing, tides"):
        load_items(data, "x")
    (data / "broken.jsonl").write_text('{"id": 1}\n[]\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"Line 2 of .* is not a JSON object"):
        load_items(data, "broken")
    write(data / "odd.jsonl", {"id": "odd_0", "question": []})
    with pytest.raises(UsageError, match="Item odd_0"):
        load_items(data, "odd")
    (data / "empty.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="no items"):
        load_items(data, "empty")
    (data / "bytes.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        load_items(data, "bytes")


def test_the_command_refuses_before_it_loads_a_model(data: Path, tmp_path: Path) -> None:
    outcome = CliRunner().invoke(
        bench, ["bfcl", "--data", str(data), "--category", "x"], obj=Cli(tmp_path / "home")
    )
    assert isinstance(outcome.exception, UsageError)


def test_the_development_set_is_well_formed() -> None:
    items = load_items(Path(__file__).parents[2] / "benchmarks", "bfcl_dev")
    assert sum(1 for item in items if item.truth) == 52
    assert sum(1 for item in items if not item.truth) == 80
