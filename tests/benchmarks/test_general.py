"""General suites: published files as questions, answers marked by the published rules, programs sandboxed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from agent.errors import UsageError
from agent.model.base import GenerateRequest
from agent.model.fake import FakeModel
from benchmarks.general import SUITES, run_general
from benchmarks.general_data import run_program
from benchmarks.ifeval_rules import can_check, follows
from sandbox.choose import make_sandbox
from tui.cli.bench_general import _SUITES


class Answering(FakeModel):
    def __init__(self, answers: dict[str, str]) -> None:
        super().__init__()
        self._answers = answers

    def _next(self, request: GenerateRequest) -> str:
        self.requests.append(request)
        return next((text for key, text in self._answers.items() if key in request.messages[-1].content), "")


def write(path: Path, *rows: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def test_the_command_names_every_suite() -> None:
    assert _SUITES == SUITES


def test_gsm8k_counts_the_final_number(tmp_path: Path) -> None:
    write(
        tmp_path / "gsm8k" / "test.jsonl",
        {"question": "apples?", "answer": "2 + 3 = <<2+3=5>>5\n#### 5"},
        {"question": "pears?", "answer": "#### 1,200"},
        {"question": "plums?", "answer": "#### 7"},
        {"question": "figs?", "answer": "#### 8"},
    )
    model = Answering(
        {"apples": "2 and 3 is 5.\n#### 5 apples, not 6", "pears": "That makes $1,200.", "plums": "#### 8"}
    )
    rows: list[str] = []
    result = run_general(model, "gsm8k", tmp_path, on_row=lambda row, done, total: rows.append(row.wrong))
    assert rows == ["", "", "8 instead of 7", "nothing instead of 8"]
    assert (result.accuracy, result.n, result.of) == (0.5, 4, 4)
    assert result.low is not None and result.high is not None and result.low < 0.5 < result.high
    assert run_general(model, "gsm8k", tmp_path / "gsm8k", limit=2).accuracy == 1.0


PROMPT = 'from typing import List\n\n\ndef total(xs: List[int]) -> int:\n    """Sum them."""\n'
TEST = "def check(candidate):\n    assert candidate([1, 2]) == 3\n"


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        ("```python\ndef total(xs: List[int]) -> int:\n    return sum(xs)\n```", True),
        ("    return sum(xs)", True),
        ("```python\ndef total(xs):\n    return 3.5\n```", False),
        ("```python\nimport sys\ndef total(xs):\n    sys.exit(0)\n```", False),
        ("I cannot.", False),
    ],
)
def test_humaneval_runs_the_published_test(tmp_path: Path, answer: str, correct: bool) -> None:
    write(
        tmp_path / "humaneval" / "HumanEval.jsonl.gz",
        {"task_id": "HumanEval/0", "prompt": PROMPT, "entry_point": "total", "test": TEST},
    )
    sandbox = make_sandbox("bubblewrap", ())
    result = run_general(Answering({"total": answer}), "humaneval", tmp_path, sandbox=sandbox)
    assert result.accuracy == float(correct)


def test_programs_cannot_touch_anything_and_must_end(tmp_path: Path) -> None:
    sandbox = make_sandbox("bubblewrap", ())
    target = tmp_path / "outside.txt"
    assert run_program(sandbox, f"open({str(target)!r}, 'w').write('x')") != ""
    assert not target.exists()
    assert "did not end" in run_program(sandbox, "import time\ntime.sleep(60)")


def test_humaneval_refuses_to_run_without_a_sandbox(tmp_path: Path) -> None:
    write(
        tmp_path / "HumanEval.jsonl.gz",
        {"task_id": "0", "prompt": "def f():", "entry_point": "f", "test": ""},
    )
    with pytest.raises(UsageError, match="sandbox"):
        run_general(FakeModel(), "humaneval", tmp_path)


def test_ifeval_leaves_out_what_it_cannot_check(tmp_path: Path) -> None:
    def item(key: int, prompt: str, *kinds: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        return {
            "key": key,
            "prompt": prompt,
            "instruction_id_list": [kind for kind, _ in kinds],
            "kwargs": [options for _, options in kinds],
        }

    write(
        tmp_path / "ifeval" / "input_data.jsonl",
        item(1, "one", ("punctuation:no_comma", {}), ("startend:quotation", {})),
        item(2, "two", ("keywords:existence", {"keywords": ["sea", "sun"]})),
        item(3, "three", ("language:response_language", {"language": "fr"})),
        item(4, "four", ("somebody:elses", {})),
    )
    result = run_general(Answering({"one": '"yes"', "two": "the sea"}), "ifeval", tmp_path)
    assert (result.n, result.of, result.covered) == (2, 2, 0.5)
    assert result.accuracy == 0.5
    assert result.parts["punctuation:no_comma"] == 1.0
    assert result.parts["every instruction"] == pytest.approx(2 / 3, abs=1e-4)


RULES: list[tuple[str, dict[str, Any], str, str]] = [
    ("punctuation:no_comma", {}, "no comma", "one, two"),
    ("length_constraints:number_words", {"relation": "at least", "num_words": 3}, "a b c", "a b"),
    ("length_constraints:number_words", {"relation": "less than", "num_words": 3}, "a b", "a b c"),
    (
        "length_constraints:number_sentences",
        {"relation": "less than", "num_sentences": 3},
        "One. Two!",
        "One. Two? Three.",
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n\nb"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb\n***\n", "a\n***\n***\nb"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "well"},
        "One.\n\nWell, two.",
        "Well.\n\nTwo.",
    ),
    ("keywords:forbidden_words", {"forbidden_words": ["rock"]}, "rocket", "a Rock"),
    ("keywords:existence", {"keywords": ["a b"]}, "x A B y", "ab"),
    ("keywords:frequency", {"relation": "at least", "keyword": "sea", "frequency": 2}, "sea Sea", "sea"),
    (
        "keywords:letter_frequency",
        {"let_relation": "less than", "letter": "Q", "let_frequency": 1},
        "none",
        "quite",
    ),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and **b**", "*a*"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "PART", "num_sections": 2},
        "PART 1 PART 2",
        "PART 1",
    ),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a"),
    ("detectable_format:title", {}, "<<A>>\ntext", "<< >>"),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("detectable_format:constrained_response", {}, "My answer is no.", "No."),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[a] [b]", "[a]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye\nP. S. more", "Bye"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "say it. Yes", "Yes. Say it."),
    ("combination:two_responses", {}, "a\n******\nb", "a\n******\na"),
    ("startend:quotation", {}, '"all of it"', '"part" of it'),
    ("startend:end_checker", {"end_phrase": "Any questions?"}, "So. Any questions?", "Any questions? No"),
    ("change_case:english_lowercase", {}, "all low 1", "All low"),
    ("change_case:english_capital", {}, "ALL UP 1", "aLL UP"),
    (
        "change_case:capital_word_frequency",
        {"capital_relation": "at least", "capital_frequency": 2},
        "NO and YES",
        "NO and Yes",
    ),
    ("language:response_language", {"language": "hi"}, "नमस्ते दुनिया", "hello"),
]


@pytest.mark.parametrize(("kind", "options", "good", "bad"), RULES)
def test_each_rule_tells_good_from_bad(kind: str, options: dict[str, Any], good: str, bad: str) -> None:
    assert can_check(kind, options)
    assert follows(kind, options, good)
    assert not follows(kind, options, bad)
    assert not follows(kind, options, " ")


def test_text_gives_nats_a_token(tmp_path: Path) -> None:
    path = tmp_path / "wikitext2" / "test.txt"
    path.parent.mkdir()
    path.write_text("A line of text that goes on.\n" * 300)
    result = run_general(FakeModel(), "wikitext2", tmp_path, limit=2)
    assert result.accuracy is None
    assert result.nll is not None and result.nll > 0
    assert (result.n, result.of) == (2, 5)


def test_bfcl_is_the_products_own(tmp_path: Path) -> None:
    function = {
        "name": "add",
        "description": "Add.",
        "parameters": {"type": "dict", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    }
    question = {
        "id": "simple_0",
        "question": [[{"role": "user", "content": "add 1"}]],
        "function": [function],
    }
    write(tmp_path / "bfcl" / "simple_python.jsonl", question)
    write(
        tmp_path / "bfcl" / "simple_python_answers.jsonl",
        {"id": "simple_0", "ground_truth": [{"add": {"a": [1]}}]},
    )
    write(tmp_path / "bfcl" / "irrelevance.jsonl", {**question, "id": "irrelevance_0"})
    result = run_general(Answering({"add": '{"name": "add", "arguments": {"a": 1}}'}), "bfcl", tmp_path)
    assert result.parts == {"simple_python": 1.0, "irrelevance": 0.0}
    assert result.accuracy == 0.5


@pytest.mark.parametrize("suite", SUITES)
def test_missing_data_is_one_sentence(tmp_path: Path, suite: Any) -> None:
    sandbox = make_sandbox("none", ())
    with pytest.raises(UsageError, match="--data"):
        run_general(FakeModel(), suite, tmp_path / "nowhere", sandbox=sandbox)
    with pytest.raises(UsageError, match="--data"):
        run_general(FakeModel(), suite, tmp_path, sandbox=sandbox)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"question": "a", "answer": "#### 1"}\n{"question": 1}\n')
    with pytest.raises(UsageError, match="Line 2"):
        run_general(FakeModel(), "gsm8k", tmp_path)
