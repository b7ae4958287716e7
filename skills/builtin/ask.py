"""The tool that puts a question to the person, if one is there."""

from __future__ import annotations

from skills.schema import tool
from skills.tool import ToolContext, ToolError, ToolOutput


@tool(risk="none")
async def ask_user(context: ToolContext, question: str) -> ToolOutput:
    """Ask the user a question you cannot answer yourself."""
    answer = await context.ask_user(question) if context.ask_user is not None else None
    if answer is None:
        raise ToolError(
            "Nobody is there to answer. Decide yourself, or finish and say what you need to know."
        )
    return ToolOutput(answer, provenance="user")
