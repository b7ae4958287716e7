"""`nightschool sandbox run` as users and scripts meet it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.cgroups import find_cgroups

NIGHTSCHOOL = str(Path(sys.executable).parent / "nightschool")
pytestmark = pytest.mark.usefixtures("probed")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "NIGHTSCHOOL_HOME": str(tmp_path / "home")}


def run(
    *arguments: str, env: dict[str, str], cwd: Path, stdin: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [NIGHTSCHOOL, "sandbox", "run", *arguments],
        env=env,
        cwd=cwd,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [(["true"], 0), (["false"], 1), (["sh", "-c", "exit 7"], 7), (["no-such-program"], 127)],
)
def test_exit_codes_pass_through(
    environment: dict[str, str], workspace: Path, command: list[str], code: int
) -> None:
    assert run("--", *command, env=environment, cwd=workspace).returncode == code


def test_output_passes_through_and_nothing_is_added(environment: dict[str, str], workspace: Path) -> None:
    done = run("--", "sh", "-c", r"printf 'out\377'; printf err >&2", env=environment, cwd=workspace)
    assert (done.stdout, done.stderr) == (b"out\xff", b"err")


def test_input_passes_through(environment: dict[str, str], workspace: Path) -> None:
    data = os.urandom(300_000)
    assert run("--", "cat", env=environment, cwd=workspace, stdin=data).stdout == data


def test_an_open_input_is_not_waited_for(environment: dict[str, str], workspace: Path) -> None:
    with subprocess.Popen(
        [NIGHTSCHOOL, "sandbox", "run", "--", "true"], env=environment, cwd=workspace, stdin=subprocess.PIPE
    ) as process:
        assert process.wait(60) == 0


def test_a_file_on_standard_input_cannot_be_written(environment: dict[str, str], workspace: Path) -> None:
    file = workspace.parent / "precious"
    file.write_text("mine")
    with file.open("rb") as stdin:
        subprocess.run(
            [NIGHTSCHOOL, "sandbox", "run", "--", "sh", "-c", "echo gone > /proc/self/fd/0"],
            env=environment,
            cwd=workspace,
            stdin=stdin,
            timeout=60,
            capture_output=True,
        )
    assert file.read_text() == "mine"


def test_time_out_is_124(environment: dict[str, str], workspace: Path) -> None:
    environment["NIGHTSCHOOL_SANDBOX_WALL_SECONDS"] = "0.5"
    done = run("--", "sleep", "60", env=environment, cwd=workspace)
    assert (done.returncode, done.stdout, done.stderr) == (124, b"", b"")


def test_a_failing_sandbox_is_125(environment: dict[str, str]) -> None:
    done = run("--workspace", "/usr", "--", "true", env=environment, cwd=Path("/"))
    assert done.returncode == 125
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("wrong", ["missing", "file"])
def test_a_wrong_workspace_is_2(environment: dict[str, str], tmp_path: Path, wrong: str) -> None:
    (tmp_path / "file").write_text("")
    done = run("--workspace", str(tmp_path / wrong), "--", "true", env=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert wrong.encode() in done.stderr


def test_no_command_is_2(environment: dict[str, str], workspace: Path) -> None:
    done = run(env=environment, cwd=workspace)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1


def test_options_after_the_command_are_its_own(environment: dict[str, str], workspace: Path) -> None:
    done = run("echo", "--network", "-x", env=environment, cwd=workspace)
    assert done.stdout == b"--network -x\n"


def test_the_home_folder_is_hidden_inside_the_workspace(environment: dict[str, str], workspace: Path) -> None:
    home = workspace / "home"
    home.mkdir()
    (home / "journal").write_text("private")
    environment["NIGHTSCHOOL_HOME"] = str(home)
    done = run("--", "ls", "-A", "home", env=environment, cwd=workspace)
    assert (done.returncode, done.stdout) == (0, b"")


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_ended_from_outside_it_leaves_nobody(
    environment: dict[str, str], workspace: Path, sent: signal.Signals, code: int
) -> None:
    script = "touch started; exec sleep 61.3"
    with subprocess.Popen(
        [NIGHTSCHOOL, "sandbox", "run", "--", "sh", "-c", script],
        env=environment,
        cwd=workspace,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        while not (workspace / "started").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(sent)
        assert process.wait(60) == code
        assert process.stderr is not None
        assert process.stderr.read() == b""
    patience = 500
    while _running(b"61.3") and patience:
        patience -= 1
        time.sleep(0.02)
    assert not _running(b"61.3")


def test_a_reader_that_leaves_ends_it(environment: dict[str, str], workspace: Path) -> None:
    with subprocess.Popen(
        [NIGHTSCHOOL, "sandbox", "run", "--", "sh", "-c", "while :; do echo y; sleep 0.01; done"],
        env=environment,
        cwd=workspace,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == b""


def test_check_prints_one_object_a_line(
    environment: dict[str, str], workspace: Path, probed: BubblewrapSandbox
) -> None:
    done = subprocess.run(
        [NIGHTSCHOOL, "sandbox", "check", "--json"], env=environment, capture_output=True, timeout=250
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    broken = {result["name"] for result in results if not result["passed"]}
    assert broken <= (set() if find_cgroups() else {"limits_memory_of_all"}), results
    assert done.returncode == (1 if broken else 0)
    assert {result["kind"] for result in results} == probed.holds


def _running(argument: bytes) -> bool:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if argument in (folder / "cmdline").read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False
