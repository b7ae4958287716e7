"""Following a turn from the command line, with a person at the terminal who need not press Enter."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.calls import TaskRequest
from agent.events import ApprovalRequested, CallDecided, Event, QuestionAsked, RunFinished
from memory.types import ToolCall
from tui.cli.follow import JsonView, run_turn

CALL = ToolCall(id="call_0_0", name="run_shell", arguments={"command": "curl example.org"})
ASKING: dict[str, ApprovalRequested | QuestionAsked] = {
    "approval": ApprovalRequested(
        episode_id="ep", request_id="r", call=CALL, risk="network", reason="policy: network needs approval"
    ),
    "question": QuestionAsked(episode_id="ep", request_id="r", question="Which?"),
}
END = RunFinished(episode_id="ep", outcome="success", answer="")


class Told:
    """A runtime whose turn is a list of events, with a wait where a number stands."""

    def __init__(self, *turn: Event | float) -> None:
        self.turn = turn
        self.said: list[tuple[Any, ...]] = []
        self.interrupted = asyncio.Event()

    async def submit(self, request: TaskRequest) -> str:
        return "ep"

    async def events(self, episode_id: str | None = None, after: int = 0) -> AsyncGenerator[Event, None]:
        for event in self.turn:
            if isinstance(event, int | float):
                await asyncio.sleep(event)
            else:
                yield event
        await self.interrupted.wait()
        yield END.model_copy(update={"outcome": "interrupted"})

    async def decide(self, request_id: str, allow: bool, reason: str = "") -> None:
        self.said.append((request_id, allow, reason))

    async def answer(self, request_id: str, text: str | None) -> None:
        self.said.append((request_id, text))

    async def interrupt(self, episode_id: str) -> bool:
        self.interrupted.set()
        return True


async def follow(runtime: Told) -> RunFinished:
    return await asyncio.wait_for(run_turn(runtime, TaskRequest(text="x"), JsonView()), 20)  # type: ignore[arg-type]


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal as standard input; what is written here is typed."""
    master, slave = pty.openpty()
    with os.fdopen(slave) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield master
    os.close(master)


@pytest.mark.parametrize(
    ("kind", "typed", "said"),
    [
        ("approval", b"y\n", ("r", True, "")),
        ("approval", b"not there\n", ("r", False, "not there")),
        ("approval", b"\x04", ("r", False, "")),
        ("question", "grün\n".encode(), ("r", "grün")),
        ("question", b"\x04", ("r", None)),
    ],
)
async def test_a_person_answers(keyboard: int, kind: str, typed: bytes, said: tuple[Any, ...]) -> None:
    runtime = Told(ASKING[kind], 0.3, END)
    os.write(keyboard, typed)
    assert (await follow(runtime)).outcome == "success"
    assert runtime.said == [said]


@pytest.mark.parametrize("kind", ASKING)
async def test_a_turn_that_ends_takes_its_question_back(keyboard: int, kind: str) -> None:
    runtime = Told(ASKING[kind], 0.1, END)
    assert (await follow(runtime)).outcome == "success"
    assert runtime.said == []


async def test_another_face_may_answer_first(keyboard: int) -> None:
    decided = CallDecided(
        episode_id="ep", call_id=CALL.id, tool=CALL.name, allowed=True, by="person", reason=""
    )
    runtime = Told(ASKING["approval"], 0.1, decided, ASKING["question"], 1.0, END)
    asyncio.get_running_loop().call_later(0.6, os.write, keyboard, b"blue\n")
    await follow(runtime)
    assert runtime.said == [("r", "blue")]


async def test_ctrl_c_ends_the_turn_while_the_person_is_asked(keyboard: int) -> None:
    runtime = Told(ASKING["approval"])
    asyncio.get_running_loop().call_later(0.3, signal.raise_signal, signal.SIGINT)
    assert (await follow(runtime)).outcome == "interrupted"


async def test_nobody_at_the_terminal_means_no(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        runtime = Told(ASKING["approval"], ASKING["question"], 0.2, END)
        await follow(runtime)
    assert sorted(runtime.said, key=len) == [("r", None), ("r", False, "nobody is at the terminal")]


@pytest.mark.parametrize(
    ("typed", "shown"), [(b"Ada\n", "'Ada'"), (b"\x04", "None"), (b"\x03", "interrupted")]
)
def test_a_line_from_a_terminal(typed: bytes, shown: str) -> None:
    code = (
        "import asyncio\n"
        "from tui.cli.person import read_line\n"
        "try:\n"
        "    print(repr(asyncio.run(read_line('Name? '))))\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-P", "-c", code])
    said = b""
    while b"Name? " not in said:
        said += os.read(terminal, 1024)
    os.write(terminal, typed)
    try:
        while piece := os.read(terminal, 1024):
            said += piece
    except OSError:
        # the end of a terminal whose last process has gone
        pass
    assert os.waitpid(pid, 0)[1] == 0
    assert shown.encode() in said
    os.close(terminal)


def follows(code: str) -> list[str]:
    """The command line of a process that runs this code with all the names of this file."""
    start = "import sys\nsys.path.insert(0, sys.argv[1])\nfrom test_following import *\n"
    return [sys.executable, "-c", start + code, str(Path(__file__).parent)]


def test_a_reader_that_leaves_interrupts_the_turn() -> None:
    code = (
        "from agent.events import Progress\n"
        "runtime = Told(*[Progress(stage='loading', text='y' * 1000)] * 200)\n"
        "try:\n"
        "    asyncio.run(follow(runtime))\n"
        "except BrokenPipeError:\n"
        "    sys.stderr.write(f'interrupted {runtime.interrupted.is_set()}')\n"
        "    sys.stdout = None\n"
    )
    with subprocess.Popen(
        follows(code), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b"interrupted True"


def test_the_second_ctrl_c_waits_for_nobody() -> None:
    code = (
        "class Stuck(Told):\n"
        "    async def interrupt(self, episode_id):\n"
        "        print('asked', flush=True)\n"
        "        return await asyncio.Event().wait()\n"
        "async def work():\n"
        "    asyncio.get_running_loop().call_later(0.2, lambda: print('working', flush=True))\n"
        "    await run_turn(Stuck(), TaskRequest(text='x'), JsonView())\n"
        "try:\n"
        "    asyncio.run(work())\n"
        "except KeyboardInterrupt:\n"
        "    print('left')\n"
    )
    with subprocess.Popen(follows(code), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = []
        while line := process.stdout.readline():
            said.append(line.strip())
            if line.strip() in (b"working", b"asked"):
                process.send_signal(signal.SIGINT)
    assert said == [b"working", b"asked", b"left"]
