"""The tool that runs a shell command in the sandbox, and how an ended command reads."""

from __future__ import annotations

from pathlib import Path

from sandbox.base import Command, ExecResult, Limits
from skills.schema import tool
from skills.tool import ToolContext, ToolOutput

_SHELLS = ("/bin/bash", "/usr/bin/bash")


@tool(risk="execute")
async def run_shell(context: ToolContext, command: str) -> ToolOutput:
    """Run a shell command in the working folder."""
    # models write bash; a plain sh trips over what they write
    shell = next((path for path in _SHELLS if Path(path).exists()), "/bin/sh")
    result = await context.sandbox.run(
        Command(
            argv=(shell, "-c", command),
            workspace=context.workspace,
            network=context.network,
            readable=context.readable,
        ),
        context.limits,
    )
    return command_output(result, context.limits)


def command_output(result: ExecResult, limits: Limits, hint: str = "") -> ToolOutput:
    """Output, errors, and how it ended when that was not with exit code 0. `hint` follows empty output."""
    parts = [part.decode("utf-8", errors="replace").rstrip("\n") for part in (result.stdout, result.stderr)]
    parts = [part for part in parts if part]
    if result.truncated:
        parts.append(f"[output beyond {limits.output_bytes:,} bytes was thrown away]")
    if result.timed_out:
        parts.append(f"[stopped after {limits.wall_seconds:g} seconds]")
    elif result.limit is not None:
        parts.append(f"[stopped by its limit: {result.limit}; exit code {result.exit_code}]")
    elif result.exit_code != 0:
        parts.append(f"[exit code {result.exit_code}]")
    elif not parts:
        parts.append(f"[done, no output{hint}]")
    return ToolOutput("\n".join(parts), ok=result.exit_code == 0 and not result.timed_out)
