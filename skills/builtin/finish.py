"""The tool that ends a task with its answer."""

from __future__ import annotations

from skills.schema import tool
from skills.tool import ToolContext, ToolOutput


@tool(risk="none")
async def finish(context: ToolContext, answer: str, success: bool = True) -> ToolOutput:
    """End the task with the answer for the user."""
    return ToolOutput(answer, ok=success, provenance="tool", ends_task="success" if success else "failure")
