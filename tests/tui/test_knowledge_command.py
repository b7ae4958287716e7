"""`nightschool knowledge` over a real runtime: in this process, and in the one that owns the home."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.config import load_settings
from agent.connect import attach
from agent.home import Home

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "owl.md").write_text("# Owls\n\nThe owl eats mice.\n")
    (folder / "port.txt").write_text("The staging port is 8443.\n")
    return folder


@pytest.fixture
def run(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, command_line: Callable[[Path], Run]
) -> Run:
    """Runs `nightschool` in the data's folder: exit code, standard output, standard error."""
    monkeypatch.setenv("NIGHTSCHOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(data)

    return command_line(tmp_path / "home")


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_first_look(run: Run, data: Path) -> None:
    code, out, _ = run("knowledge", "list")
    assert code == 0 and "knowledge add --data PATH" in out
    assert run("knowledge", "search", "owl")[:2] == (0, "Nothing found.\n")
    code, out, err = run("knowledge", "add", "--data", ".")
    assert (code, err) == (0, "") and "2 added in general" in out
    code, out, _ = run("knowledge", "search", "what", "do", "owls", "eat?")
    assert code == 0 and "owl.md" in out and "lines 1-3" in out and "words: " in out
    code, out, _ = run("knowledge", "list")
    assert "owl.md" in out and "port.txt" in out
    code, out, _ = run("knowledge", "show", "owl.md")
    assert "version 1" in out and out.endswith("The owl eats mice.\n")
    code, out, _ = run("knowledge", "remove", "port.txt")
    assert (code, out) == (0, f"Removed {data / 'port.txt'} from general.\n")
    assert "port.txt" not in run("knowledge", "list")[1]


def test_json_says_it_all(run: Run, data: Path) -> None:
    _, out, _ = run(
        "knowledge", "add", "--data", "owl.md", "--data", "port.txt", "--domain", "work", "--json"
    )
    *files, summary = lines(out)
    assert [(file["path"], file["state"], file["chunks"]) for file in files] == [
        (str(data / "owl.md"), "added", 1),
        (str(data / "port.txt"), "added", 1),
    ]
    assert (summary["domain"], summary["added"], summary["failed"]) == ("work", 2, 0)
    (data / "owl.md").write_text("The owl eats voles.\n")
    assert "1 changed, 1 unchanged in work" in run("knowledge", "add", "--data", ".", "--domain", "work")[1]
    [owl, _] = lines(run("knowledge", "list", "--json", "--domain", "work")[1])
    assert (owl["path"], owl["versions"], owl["kind"]) == (str(data / "owl.md"), 2, "markdown")
    [first] = lines(run("knowledge", "show", owl["id"], "--version", "1", "--json")[1])
    assert "mice" in first["text"] and not first["current"] and len(first["versions"]) == 2
    hits = lines(run("knowledge", "search", "mice", "--json")[1])
    assert all("mice" not in hit["text"] for hit in hits)
    [past] = [
        hit
        for hit in lines(run("knowledge", "search", "mice", "--json", "--all-versions")[1])
        if not hit["current"]
    ]
    assert (past["path"], past["place"], past["version"]) == (
        owl["path"],
        "lines 1-3",
        first["version"]["id"],
    )
    assert past["reason"] and past["source"] == "file"
    [gone] = lines(run("knowledge", "remove", owl["id"], "--json")[1])
    assert gone["path"] == owl["path"]


def test_bad_files_are_named_and_the_rest_is_there(run: Run, data: Path) -> None:
    (data / "bad.txt").write_bytes(b"\0\1")
    (data / "scan.pdf").write_bytes(b"no pdf")
    code, out, err = run("knowledge", "add", "--data", ".", "--data", "missing")
    assert code == 2 and "2 added, 3 failed" in out
    assert err.splitlines() == [
        f"nightschool: {data / 'bad.txt'}: It is a binary file, whatever its name says.",
        f"nightschool: {data / 'missing'}: There is no such file.",
        next(line for line in err.splitlines() if "scan.pdf: It is damaged or no PDF" in line),
    ]
    assert len(lines(run("knowledge", "list", "--json")[1])) == 2


def test_the_owner_of_the_home_does_the_work(run: Run, data: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"

    async def with_owner() -> None:
        owner = await attach(home, load_settings(home))
        events = owner.events()
        heard = asyncio.ensure_future(anext(events))
        try:
            code, out, err = await asyncio.to_thread(run, "knowledge", "add", "--data", ".")
            assert (code, err) == (0, "") and "2 added" in out
            told = await asyncio.wait_for(heard, 10)
            assert told.kind == "progress" and told.stage == "knowledge"
            code, out, _ = await asyncio.to_thread(run, "knowledge", "search", "owl mice", "--json")
            assert lines(out)[0]["path"] == str(data / "owl.md")
            code, _, err = await asyncio.to_thread(run, "knowledge", "show", "missing")
            assert code == 2 and "knowledge list" in err
            # what was handed over is nothing to learn
            plan = await owner.plan_night()
            assert (plan.new, plan.waiting, plan.left_out) == ((), (), ())
            await events.aclose()
        finally:
            await owner.close()

    asyncio.run(with_owner())
    assert Home(home).knowledge.is_dir()
