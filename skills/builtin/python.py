"""The tool that runs Python code in the sandbox.

The interpreter is the one Night School runs on, which every sandbox shows; the working folder is on its
path, so code can import the user's own modules. Code goes in through standard input: an argument holds at
most 128 KiB.
"""

from __future__ import annotations

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
            stdin=code.encode("utf-8", errors="surrogatepass"),
            # no __pycache__ left in the workspace; what was printed before a time-out is not lost
            env={"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
            readable=context.readable,
        ),
        context.limits,
    )
    return command_output(result, context.limits, hint="; use print to see values")
