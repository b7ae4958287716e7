"""The `/` commands: one table for the prompt, its completion, the help and the palette."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SlashCommand:
    """One command."""

    name: str
    """Without the slash."""
    arguments: str
    """For a person; empty when it takes none, in brackets when it may take some."""
    summary: str
    """What it does."""

    @property
    def takes_text(self) -> bool:
        """Whether something may follow it."""
        return bool(self.arguments)


COMMANDS = (
    SlashCommand("new", "", "Start afresh, with an empty conversation"),
    SlashCommand("good", "[text]", "This went well"),
    SlashCommand("bad", "[correction]", "This went wrong; say what would have been right"),
    SlashCommand("undo", "", "Take back what this conversation changed in the files"),
    SlashCommand("remember", "text", "Give it something to keep"),
    SlashCommand("episodes", "", "Past episodes; open one to go on with it"),
    SlashCommand("copy", "", "Copy the last answer"),
    SlashCommand("status", "", "Model, sandbox, home and queue"),
    SlashCommand("reconnect", "", "Connect again to the owner of the home"),
    SlashCommand("help", "", "Keys and commands"),
    SlashCommand("quit", "", "Leave; a running task goes on"),
)


class NoSuchCommand(ValueError):
    """What was typed is no command, or lacks what it needs; the message is for the person."""


def parse(line: str) -> tuple[SlashCommand, str]:
    """The command and what follows it. Raises NoSuchCommand."""
    name, _, rest = line.removeprefix("/").strip().partition(" ")
    for command in COMMANDS:
        if command.name == name:
            if rest and not command.takes_text:
                raise NoSuchCommand(f"`/{name}` takes nothing after it.")
            if command.takes_text and not command.arguments.startswith("[") and not rest.strip():
                raise NoSuchCommand(f"`/{name}` needs something after it: /{name} {command.arguments}")
            return command, rest.strip()
    known = matching(name)
    hint = f" Did you mean `/{known[0].name}`?" if known else " `/help` lists them all."
    raise NoSuchCommand(f"There is no command `/{name}`.{hint}")


def matching(begun: str) -> list[SlashCommand]:
    """Commands for what was typed so far, best first."""
    begun = begun.lower()
    first = [command for command in COMMANDS if command.name.startswith(begun)]
    return first or [command for command in COMMANDS if begun in command.name]
