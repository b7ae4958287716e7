"""The tools on offer, by name. A registry never changes once it is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skills.tool import Tool, ToolError, ToolSpec


class Registry:
    """Tools with unique names, in the order they were given, which is the order the model sees."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            if tool.spec.name in self._tools:
                raise ValueError(f"Two tools are called `{tool.spec.name}`; a name must be unique.")
            self._tools[tool.spec.name] = tool

    def get(self, name: str) -> Tool:
        """Raises ToolError naming the tools there are."""
        if name not in self._tools:
            raise ToolError(f"There is no tool `{name}`. The tools are: {', '.join(self._tools)}.")
        return self._tools[name]

    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is told."""
        return tuple(tool.spec for tool in self._tools.values())

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)


def builtin_registry() -> Registry:
    """The tools every task has."""
    from skills.builtin import ask, files, finish, python, search, shell

    return Registry(
        (
            files.list_files,
            files.read_file,
            files.write_file,
            files.edit_file,
            search.search_files,
            shell.run_shell,
            python.run_python,
            ask.ask_user,
            finish.finish,
        )
    )
