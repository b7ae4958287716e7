"""Shell, Python, questions and the end of a task; commands run in the real sandbox where there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.base import ExecResult, Limits, SandboxUnavailable
from sandbox.choose import make_sandbox
from skills.builtin.ask import ask_user
from skills.builtin.finish import finish
from skills.builtin.python import run_python
from skills.builtin.shell import command_output, run_shell
from skills.preimages import Preimages
from skills.tool import ToolContext, ToolError, ToolOutput


@pytest.fixture(params=["local", "bubblewrap"])
async def commands(request: pytest.FixtureRequest, make_context: Callable[..., ToolContext]) -> ToolContext:
    if request.param == "local":
        return make_context()
    sandbox = make_sandbox("bubblewrap")
    try:
        await sandbox.probe()
    except SandboxUnavailable as reason:
        pytest.skip(str(reason))
    return make_context(sandbox=sandbox)


async def shell(context: ToolContext, command: str) -> ToolOutput:
    return await run_shell.run({"command": command}, context)


async def python(context: ToolContext, code: str) -> ToolOutput:
    return await run_python.run({"code": code}, context)


async def test_a_command_runs_in_the_workspace(commands: ToolContext, workspace: Path) -> None:
    output = await shell(commands, "echo hi > 'new file' && pwd && [[ 1 == 1 ]] && echo bash")
    assert output == ToolOutput(f"{workspace}\nbash")
    assert (workspace / "new file").read_text() == "hi\n"


async def test_errors_and_exit_codes_are_told(commands: ToolContext) -> None:
    output = await shell(commands, "echo out; echo err >&2; exit 3")
    assert output == ToolOutput("out\nerr\n[exit code 3]", ok=False)
    assert await shell(commands, "true") == ToolOutput("[done, no output]")


async def test_odd_commands(commands: ToolContext) -> None:
    assert not (await shell(commands, "echo 'unfinished")).ok
    assert (await shell(commands, "printf '\\377'")).text == "\ufffd"
    assert (await shell(commands, "cat")).text == "[done, no output]"


async def test_python_prints_and_imports_what_lies_in_the_workspace(
    commands: ToolContext, workspace: Path
) -> None:
    (workspace / "memory").mkdir()
    (workspace / "memory" / "__init__.py").write_text("")
    (workspace / "memory" / "types.py").write_text("mine = 'the user’s own'")
    output = await python(commands, "from memory.types import mine\nprint(mine)")
    assert output == ToolOutput("the user’s own")
    assert not list(workspace.rglob("__pycache__"))


async def test_python_errors_come_with_their_traceback(commands: ToolContext) -> None:
    output = await python(commands, "x = 1\nx / 0")
    assert not output.ok
    assert "line 2" in output.text
    assert "ZeroDivisionError" in output.text


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("2**31 - 1", "2147483647"),
        ("x = 'é'; x  # é", "'é'"),
        ("print(1)", "1"),
        ("[1,\n 2,\n 3]", "[1, 2, 3]"),
        ("(\n  1 +\n  1\n)\n\n# done\n", "2"),
        ("import sys\nsys.stdout.write('a') and None", "a"),
    ],
)
async def test_python_shows_the_value_of_a_last_expression(
    commands: ToolContext, code: str, text: str
) -> None:
    assert (await python(commands, code)).text.strip() == text


async def test_python_without_a_value_says_so_and_long_code_fits(commands: ToolContext) -> None:
    assert "use print" in (await python(commands, "x = 1 + 1")).text
    assert (await python(commands, f"print(len('{'x' * 300_000}'))")).text == "300000"


async def test_what_a_command_changed_can_be_undone(
    commands: ToolContext, workspace: Path, preimages: Preimages
) -> None:
    (workspace / "a.txt").write_text("old")
    before = await preimages.before_command(workspace)
    await python(commands, "import os; os.rename('a.txt', 'b.txt'); open('c.txt', 'w').write('new')")
    await preimages.after_command(before)
    preimages.undo(workspace)
    assert {path.name: path.read_text() for path in workspace.iterdir()} == {"a.txt": "old"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"timed_out": True, "exit_code": 137}, "[stopped after 60 seconds]"),
        ({"limit": "memory", "exit_code": 137}, "[stopped by its limit: memory; exit code 137]"),
        ({"truncated": True}, "[output beyond 4,194,304 bytes was thrown away]"),
    ],
)
def test_how_a_command_was_stopped_is_told(changes: dict[str, Any], said: str) -> None:
    given = {"exit_code": 0, "stdout": b"part\n", "stderr": b"", "seconds": 1.0}
    output = command_output(ExecResult(**{**given, **changes}), Limits())
    assert output.text == f"part\n{said}"
    assert output.ok == ("truncated" in changes)


async def test_the_network_grant_and_the_limits_reach_the_sandbox(
    make_context: Callable[..., ToolContext], local: Any, tmp_path: Path
) -> None:
    await shell(make_context(network=True, readable=(tmp_path,)), "true")
    await python(make_context(), "pass")
    assert [(command.network, command.readable) for command in local.commands] == [
        (True, (tmp_path,)),
        (False, ()),
    ]


async def test_a_question_reaches_the_person(make_context: Callable[..., ToolContext]) -> None:
    asked = []

    async def answer(question: str) -> str | None:
        asked.append(question)
        return "blue" if len(asked) == 1 else None

    context = make_context(ask_user=answer)
    assert await ask_user.run({"question": "Which?"}, context) == ToolOutput("blue", provenance="user")
    with pytest.raises(ToolError, match="Nobody is there"):
        await ask_user.run({"question": "Which?"}, context)
    with pytest.raises(ToolError, match="Nobody is there"):
        await ask_user.run({"question": "Which?"}, make_context())


@pytest.mark.parametrize(("success", "end"), [(True, "success"), (False, "failure")])
async def test_finish_ends_the_task(context: ToolContext, success: bool, end: str) -> None:
    output = await finish.run({"answer": "42", "success": success}, context)
    assert (output.text, output.ends_task, output.ok) == ("42", end, success)
