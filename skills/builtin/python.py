"""The tool that runs Python code in the sandbox.

The interpreter is the one Night School runs on, which every sandbox shows; the working folder is on its
path, so code can import the user's own modules. Code goes in through standard input: an argument holds at
most 128 KiB.
"""

from __future__ import annotations

import ast
import sys

from sandbox.base import Command
from skills.builtin.shell import command_output
from skills.schema import tool
from skills.tool import ToolContext, ToolOutput


@tool(risk="execute")
async def run_python(context: ToolContext, code: str) -> ToolOutput:
    """Run Python code in the working folder. Use print to see values."""
    result = await context.sandbox.run(
        Command(
            argv=(sys.executable, "-"),
            workspace=context.workspace,
            network=context.network,
            stdin=_showing_last(code).encode("utf-8", errors="surrogatepass"),
            # no __pycache__ left in the workspace; what was printed before a time-out is not lost
            env={"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
            readable=context.readable,
        ),
        context.limits,
    )
    return command_output(result, context.limits, hint="; use print to see values")


def _showing_last(code: str) -> str:
    """The code, displaying the value of a last expression as Python's prompt and notebooks do: small models
    expect that. Lines keep their numbers; code that is none is left to Python to complain about."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
    if not body or not isinstance(last := body[-1], ast.Expr):
        return code
    lines = code.encode("utf-8").splitlines(keepends=True)
    begin, end = last.lineno - 1, (last.end_lineno or last.lineno) - 1
    # from the end, so that the first offset still holds when both are in one line
    lines[end] = _inserted(lines[end], last.end_col_offset or 0, b")")
    lines[begin] = _inserted(lines[begin], last.col_offset, b"__import__('sys').displayhook(")
    return b"".join(lines).decode("utf-8")


def _inserted(line: bytes, at: int, what: bytes) -> bytes:
    return line[:at] + what + line[at:]
