"""`nightschool ask` with documents, over a real runtime and a model that follows a script."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import build
from agent.model.catalogue import catalogue
from agent.model.fake import FakeModel
from tests.memory.conftest import FakeEmbedder

Run = Callable[..., tuple[int, str, str]]
QUESTION = "What does the owl eat?"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Callable[[Path], Run]) -> Run:
    """Runs `nightschool` where an owl is known: exit code, standard output, standard error."""
    fake = next(iter(catalogue().values())).model_copy(update={"name": "fake"})
    monkeypatch.setenv("NIGHTSCHOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "chosen_model", lambda settings: fake)
    monkeypatch.setattr(build, "load_model", lambda *_: FakeModel(["The owl eats mice."] * 9))
    monkeypatch.setattr(build, "load_embedder", lambda settings: FakeEmbedder())
    monkeypatch.setattr(build, "_check_weights", lambda name: None)
    (tmp_path / "owl.md").write_text("# Owls\n\nThe owl eats mice.\n")

    run_command = command_line(tmp_path / "home")

    assert run_command("knowledge", "add", "--data", str(tmp_path / "owl.md"), "--domain", "birds")[0] == 0
    return run_command


def test_an_answer_names_its_sources_and_is_kept(run: Run, tmp_path: Path) -> None:
    code, out, err = run("ask", QUESTION, "--use-rag")
    assert (code, err) == (0, "")
    answer, _, source = out.splitlines()
    assert answer == "The owl eats mice. [1]"
    assert source.startswith(f"[1] {tmp_path / 'owl.md'}:1-3  birds, added 20")
    assert "--fresh answers anew" in run("infer", "--use-rag", "--input", QUESTION)[1]
    again = json.loads(run("infer", "--input", QUESTION, "--use-rag", "--json")[1])
    assert again["cached"] and again["found"] and again["sources"][0]["cited"]
    assert again["route"]["domain"] == "birds" and again["sources"][0]["reason"]
    assert "--fresh" not in run("ask", QUESTION, "--use-rag", "--fresh")[1]


def test_domains_take_several_names(run: Run, tmp_path: Path) -> None:
    run("knowledge", "add", "--data", str(tmp_path / "owl.md"), "--domain", "zoo")
    for given in (
        ("ask", QUESTION, "--domains", "birds", "zoo", "--json"),
        ("ask", "--domains", "birds", "zoo", QUESTION, "--json"),
        ("ask", QUESTION, "--domains", "birds", "--json", "--domains", "zoo"),
    ):
        found = json.loads(run(*given)[1])
        assert {one["domain"] for one in found["route"]["scores"]} == {"birds", "zoo"}, given


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ask", QUESTION, "--domains", "fish"), "There is no domain `fish`. There are: birds."),
        (("ask", QUESTION, "--domains", ""), "There is no domain ``"),
        (("ask", QUESTION, "--domains"), "requires an argument"),
        (("ask", "--domains", "birds", "what"), "Put it before --domains, or in quotes."),
        (("ask", QUESTION, "--input", QUESTION), "not several of them"),
        (("infer", "--use-rag"), "The question is empty."),
    ],
)
def test_bad_input_is_one_sentence(run: Run, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2 and out == "" and said in err and len(err.splitlines()) == 1


def test_a_batch_is_answered_from_documents_too(run: Run, tmp_path: Path) -> None:
    lines = [{"id": 1, "question": QUESTION}, {"id": 2, "question": "Quantum lattice?"}]
    (tmp_path / "batch.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    code, out, _ = run("ask", "--use-rag", "--batch", str(tmp_path / "batch.jsonl"))
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [(one["id"], one["found"]) for one in found] == [(1, True), (2, False)]
