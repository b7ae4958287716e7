"""The tool protocol: what a tool declares about itself and what it gets when it runs.

A tool is an object with a `spec` and an async `run`. The loop checks arguments against
`spec.parameters` and asks the policy before it calls `run`; a tool never does either itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from memory.types import Provenance, Record
from sandbox.base import Limits, Sandbox

Risk = Literal["read", "write", "execute", "network", "none"]


class ToolError(Exception):
    """The call could not be done; the message goes back to the model, so it says how to mend it."""


class ToolSpec(Record):
    """What the model is told about a tool."""

    name: str
    """`[a-z_]+`, unique in a registry."""
    description: str
    """One or two sentences, for the model."""
    parameters: dict[str, Any]
    """JSON schema of an object."""
    risk: Risk
    """What the tool may do; `none` for talking and finishing."""


@dataclass(frozen=True)
class ToolOutput:
    """What a tool gives back."""

    text: str
    """Whole output; the loop shortens it for the model and keeps the rest in a file."""
    ok: bool = True
    """False for a command that failed or a search that could not be done."""
    provenance: Provenance = "tool"
    """`file` when the text was read from a file, `web` from the network, `user` from a person."""
    ends_task: Literal["success", "failure"] | None = None
    """Set by `finish`: the task is over with `text` as its answer."""


@dataclass(frozen=True)
class ToolContext:
    """What a running tool may use."""

    workspace: Path
    """Absolute, resolved; the only folder a tool may write in."""
    sandbox: Sandbox
    """Where commands run."""
    limits: Limits
    """Limits for those commands."""
    network: bool = False
    """True when this call was granted the network."""
    readable: Sequence[Path] = ()
    """Folders outside the workspace that reading tools and commands may read, such as kept outputs."""
    hidden: Sequence[Path] = ()
    """Folders that listing and searching never enter, such as the agent's own home."""
    output_chars: int = 4000
    """What the model will see of an output; a tool that pages keeps its pages below it."""
    keep_preimage: Callable[[Path], None] = field(default=lambda path: None)
    """Called with an absolute path before a tool changes or creates it, so that the change can be undone."""
    ask_user: Callable[[str], Awaitable[str | None]] | None = None
    """Puts a question to the person; None when nobody is there, or when they gave no answer."""


class Tool(Protocol):
    """One thing the agent can do."""

    @property
    def spec(self) -> ToolSpec:
        """What the model and the policy are told."""

    async def run(self, arguments: dict[str, Any], context: ToolContext) -> ToolOutput:
        """Do it. `arguments` already fit the schema. Raises ToolError when it cannot be done."""
