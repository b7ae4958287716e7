"""Whatever a stranger types: one clear sentence, the right exit code, and JSON lines that end as promised."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from agent.model import manifest
from memory.types import now
from tui.cli.entry import main
from tui.cli.main import nightschool

Run = Callable[..., tuple[int, str, str]]
MODEL = "qwen2.5-coder-0.5b-instruct"
START = [sys.executable, "-P", "-c", "from tui.cli.entry import main; main()"]


def install(folder: Path) -> None:
    """Let what is in the folder count as the installed default model."""
    (folder / manifest.FILE_NAME).unlink(missing_ok=True)
    files = manifest.describe(folder, lambda done, total: None)
    record = manifest.Manifest(
        name=MODEL, source="a test", catalogue_digest="", installed_at=now(), files=files
    )
    manifest.write(folder, record)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an empty `home` and a `cache` where the default model seems to be; we stand in it."""
    folder = tmp_path / "cache" / "models" / MODEL
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"12345")
    install(folder)
    (tmp_path / "file").write_text("not JSON\n")
    (tmp_path / "latin").write_bytes(b"caf\xe9\n")
    (tmp_path / "half").write_text('{"id": 1}\n')
    (tmp_path / "surrogate").write_text('{"id": 1, "question": "\\ud800"}\n')
    (tmp_path / "home").mkdir()
    for name in [name for name in os.environ if name.startswith("NIGHTSCHOOL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NIGHTSCHOOL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTSCHOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `nightschool` with arguments and nobody at the terminal: exit code, output, errors."""

    def run_command(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nightschool", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_command


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nosuch", "nightschool --help"),
        ("--nosuch", "--nosuch"),
        ("episodes show", "nightschool episodes show --help"),
        ("episodes list --limit 0", "--limit"),
        ("episodes show ep_none", "episodes list"),
        ("feedback last good", "last"),
        ("feedback last ugly", "good"),
        ("undo last", "last"),
        ("knowledge add", "--data"),
        ("knowledge add --data", "--data"),
        ("knowledge add --data bad\udcff", "UTF-8"),
        ("knowledge add --data missing", "missing: There is no such file."),
        ("knowledge add --data home", "belongs to Night School"),
        ("knowledge add --data file --domain a/b", "domain's name"),
        ("knowledge show missing", "knowledge list"),
        ("knowledge remove missing", "knowledge list"),
        ("knowledge search bad\udcff", "UTF-8"),
        ("knowledge search x --limit 0", "--limit"),
        ("snapshot show nosuch", "snapshot list"),
        ("snapshot show bad\udcff", "UTF-8"),
        ("snapshot diff now", "snapshot diff --help"),
        ("snapshot diff now last", "no snapshot yet"),
        ("snapshot prune", "--keep N"),
        ("snapshot prune --keep 0", "--keep"),
        ("snapshot prune --older-than nan", "--older-than"),
        ("snapshot prune --older-than -1", "--older-than"),
        ("backup", "nightschool backup --help"),
        ("backup home/x", "lies in the home"),
        ("backup missing/x", "does not exist"),
        ("backup file", "--replace"),
        ("backup bad\udcff", "UTF-8"),
        ("restore", "nightschool restore --help"),
        ("restore missing", "missing: no such file"),
        ("restore file", "no backup of Night School"),
        ("--home file restore half", "is a file"),
        ("ask", "question"),
        ("ask --batch missing", "missing"),
        ("ask --batch file", "file, line 1"),
        ("ask --batch half", "half, line 1"),
        ("ask --batch latin", "UTF-8"),
        ("ask --batch surrogate", "UTF-8"),
        ("ask --batch file why", "not several of them"),
        ("remember bad\udcff", "UTF-8"),
        ("episodes search bad\udcff", "UTF-8"),
        ("chat", "--script"),
        ("chat --script missing", "missing"),
        ("chat --script latin", "UTF-8"),
        ("config set agent.max_steps many", "agent.max_steps"),
        ("config set agent 3", "agent.max_steps"),
        ("config set max_steps 3", "agent.max_steps"),
        ("config set model.name nosuch", "model list"),
        ("config set model.name all-minilm-l6-v2", "language model"),
        ("config set memory.embedder qwen3-8b", "embedder"),
        ("model use nosuch", "model list"),
        ("--home file remember x", "--home"),
    ],
)
def test_one_sentence_and_exit_code_2(run: Run, line: str, said: str) -> None:
    code, out, err = run(*line.split())
    assert (code, out) == (2, "")
    assert err.startswith("nightschool: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run --json", "empty"),
        ("run --json --max-steps 0 hello", "--max-steps"),
        ("run --json --nosuch hello", "--nosuch"),
        ("run hello --json --workspace missing", "missing does not exist"),
        ("run hello --json --workspace file", "file is a file"),
        ("run hello --json --workspace /usr", "system"),
        ("run hello --json --workspace home", "own home"),
        ("run hello --json --workspace home/journal", "own home"),
        ("run hello --json --model nosuch", "nosuch"),
        ("run hello --json --model qwen3-8b", "model pull qwen3-8b"),
        ("run hello --json --model all-minilm-l6-v2", "language model"),
        ("run hello --json --continue ep_none", "ep_none"),
        ("run --json bad\udcff", "UTF-8"),
        ("chat --json", "--script"),
        ("chat --json --script missing", "missing"),
        ("--home file run --json hello", "--home"),
    ],
)
def test_json_lines_end_in_run_finished(run: Run, world: Path, line: str, said: str) -> None:
    (world / "home" / "journal").mkdir()
    code, out, err = run(*line.split())
    [end] = [json.loads(text) for text in out.splitlines()]
    assert (code, end["kind"], end["outcome"]) == (2, "run_finished", "failure")
    assert said in end["reason"]
    assert err == f"nightschool: {end['reason']}\n"


def test_words_after_continue_are_no_id(run: Run) -> None:
    assert "`last`" in run("run", "--continue", "last week's report, please")[2]
    assert "`ep_1`" in run("run", "--continue", "ep_1")[2]
    assert "`nosuch`" in run("run", "--continue", "nosuch", "go on")[2]


def test_a_task_on_standard_input(run: Run) -> None:
    code, _, err = run("run", "-", stdin=b"caf\xe9")
    assert (code, "UTF-8" in err, err.count("\n")) == (2, True, 1)
    code, _, err = run("run", "-", stdin="夜".encode() * 1_000_000)
    assert (code, "1,000,000 characters" in err, err.count("\n")) == (2, True, 1)
    code, _, err = run("run", "-", stdin=b"")
    assert (code, "empty" in err) == (2, True)


@pytest.mark.parametrize("text", ["[model\n", "[model]\nnam = 'x'\n", "[model]\nname = 3\n", "model = 3\n"])
def test_broken_settings_end_as_promised_too(run: Run, world: Path, text: str) -> None:
    (world / "home" / "config.toml").write_text(text)
    code, out, err = run("run", "hello", "--json")
    assert (code, json.loads(out)["kind"], err.count("\n")) == (2, "run_finished", 1)
    assert str(world / "home" / "config.toml") in err


@pytest.mark.parametrize("option", ["--home", "--workspace"])
def test_an_empty_path_is_not_the_current_folder(run: Run, world: Path, option: str) -> None:
    line = ["--home", "", "remember", "x"] if option == "--home" else ["run", "x", "--workspace", ""]
    before = sorted(world.iterdir())
    code, _, err = run(*line)
    assert (code, "empty" in err, option in err, err.count("\n")) == (2, True, True, 1)
    assert sorted(world.iterdir()) == before


def test_a_group_alone_shows_its_commands(run: Run) -> None:
    code, out, err = run("model")
    assert (code, out) == (2, "")
    assert err.startswith("Usage: ")
    assert "verify" in err


def test_an_unknown_model_in_the_settings_leaves_the_list_readable(run: Run, world: Path) -> None:
    (world / "home" / "config.toml").write_text("[model]\nname = 'nosuch'\n")
    code, out, err = run("model", "list", "--json")
    assert code == 0
    assert MODEL in out
    assert "nosuch" in err


def test_an_embedder_that_is_none_is_one_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    monkeypatch.setenv("NIGHTSCHOOL_MEMORY_EMBEDDER", MODEL)
    code, _, err = run("remember", "x")
    assert (code, err.count("\n"), "embedder" in err) == (2, 1, True)
    code, out, _ = run("doctor", "--json")
    found = {row["check"]: row for row in map(json.loads, out.splitlines())}
    assert (code, found["embedder"]["ok"], found["settings"]["ok"]) == (1, False, True)


def test_one_question_of_a_batch_does_not_cost_the_others(
    run: Run, world: Path, tiny_qwen_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = world / "cache" / "models" / MODEL
    shutil.copytree(tiny_qwen_dir, folder, dirs_exist_ok=True)
    install(folder)
    monkeypatch.setenv("NIGHTSCHOOL_MODEL_CONTEXT_TOKENS", "2048")
    monkeypatch.setenv("NIGHTSCHOOL_AGENT_TURN_TOKENS", "16")
    questions = [
        {"id": "a", "question": ""},
        {"id": 2, "question": "x " * 9000},
        {"id": 3, "question": "Why?"},
    ]
    (world / "questions").write_text("\n\n".join(json.dumps(question) for question in questions))
    code, out, err = run("ask", "--batch", "questions")
    empty, long, good = map(json.loads, out.splitlines())
    assert (code, err) == (1, "")
    assert ("empty" in empty["error"], "context" in long["error"]) == (True, True)
    assert [row["id"] for row in (empty, long, good)] == ["a", 2, 3]
    assert good["tokens"]["generated"] == 16 and "error" not in good
    # without the weights none of them can be answered
    monkeypatch.setenv("NIGHTSCHOOL_CACHE", str(world / "nothing"))
    code, _, err = run("ask", "--batch", "questions")
    assert (code, "model pull" in err) == (2, True)


def test_every_command_has_json() -> None:
    def leaves(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            if isinstance(command, click.Group):
                yield from leaves(command, f"{path}{name} ")
            else:
                yield f"{path}{name}", command

    silent = {name for name, command in leaves(nightschool) if "--json" not in options(command)}
    # one prints nothing of its own, one only JSON, one is a show
    assert silent == {"sandbox run", "bench speed", "demo"}


def options(command: click.Command) -> set[str]:
    """Every option a command takes."""
    return {option for parameter in command.params for option in parameter.opts}


def test_choices_are_reported_as_json(run: Run) -> None:
    assert json.loads(run("config", "set", "agent.max_steps", "7", "--json")[1]) == {
        "key": "agent.max_steps",
        "value": "7",
    }
    assert json.loads(run("model", "use", "auto", "--json")[1])["model"] == MODEL


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.08, 0.2, 0.5, 1.0, 1.5])
def test_ended_at_start_up_it_says_so(world: Path, sent: signal.Signals, seconds: float) -> None:
    with subprocess.Popen(
        [*START, "run", "--json", "hello"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        time.sleep(seconds)
        process.send_signal(sent)
        out, err = process.communicate(timeout=60)
    if process.returncode == -sent or "Fatal Python error" in err:
        pytest.skip("the interpreter itself was still starting")
    last = json.loads(out.splitlines()[-1])
    assert process.returncode == 130
    assert (last["kind"], last["outcome"]) == ("run_finished", "interrupted")
    assert err.strip() in ("", "nightschool: Interrupted.")


@pytest.fixture
def small_disk(world: Path) -> Iterator[Path]:
    """A disk of 300 KiB at `home`."""
    home = world / "home"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(home)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small disk")
    yield home
    subprocess.run(["umount", "--lazy", str(home)], check=True)


def test_a_full_disk_loses_nothing(run: Run, small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run("remember", "before")[0] == 0
    filling = small_disk / "filling"
    with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)
    code, out, err = run("remember", "meanwhile")
    # the journal's file has room for a line; the tables have not, and follow when there is room
    assert (code, err) == (0, "")
    assert caplog.messages != []
    for said in caplog.messages:
        assert said.endswith("no space left. Free some space, or choose another home with --home.")
    code, _, err = run("config", "set", "agent.max_steps", "3")
    assert (code, err.count("\n"), "Free some space" in err) == (2, 1, True)
    code, said, _ = run("doctor", "--json")
    disk = [row for row in map(json.loads, said.splitlines()) if row["check"] == "disk"]
    assert (code, disk[0]["ok"]) == (1, False)
    filling.unlink()
    code, out, err = run("episodes", "list", "--json")
    assert [json.loads(line)["task"] for line in out.splitlines()] == ["meanwhile", "before"]
    assert (code, err) == (0, "")


def test_a_home_begun_on_a_full_disk_can_be_used_later(run: Run, small_disk: Path) -> None:
    filling = small_disk / "filling"
    with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)
    code, _, err = run("remember", "x")
    assert (code, err.count("\n"), "Free some space" in err) == (2, 1, True)
    filling.unlink()
    assert run("remember", "x")[0] == 0
