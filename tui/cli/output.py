"""What all commands share: the chosen home, JSON lines, one clear sentence for an error, exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from agent.config import Settings

OK, FAILED, USAGE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass
class Cli:
    """What the options before the command chose."""

    chosen_home: Path | None
    """`--home`, if given."""

    @property
    def home(self) -> Path:
        """The home folder in force, absolute; it may not exist yet."""
        from agent.config import default_home

        return self.chosen_home.expanduser().absolute() if self.chosen_home else default_home()

    def settings(self, **overrides: Any) -> Settings:
        """Settings in force; `overrides` are `section_key=value` with None for not given."""
        from agent.config import load_settings

        return load_settings(self.home, {key.replace("_", ".", 1): v for key, v in overrides.items()})


def json_option(function: _F) -> _F:
    """Adds `--json` as the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")(function)


def yes_option(function: _F) -> _F:
    """Adds `--yes` as the parameter `yes`: answers confirmations."""
    return click.option("--yes", is_flag=True, help="Do not ask for confirmation.")(function)


def confirm(question: str, yes: bool) -> bool:
    """True when `--yes` was given or a person at a terminal agrees; without a terminal the answer is no."""
    if yes:
        return True
    if not sys.stdin.isatty():
        click.echo(f"{question} Nobody is there to answer; pass --yes to confirm.", err=True)
        return False
    return click.confirm(question, default=False)


def print_json(value: Any) -> None:
    """One JSON object on one line of standard output, flushed."""
    if hasattr(value, "model_dump_json"):
        text = value.model_dump_json()
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fail(sentence: str, code: int = USAGE) -> NoReturn:
    """End with one sentence on standard error."""
    click.echo(f"nightschool: {sentence}", err=True)
    sys.exit(code)


@contextmanager
def report_errors() -> Iterator[None]:
    """Turns every expected error into one sentence and an exit code; a bug still shows its traceback."""
    try:
        yield
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.exceptions.Abort:
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        fail(error.format_message(), error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # whoever read our output has gone; there is nobody left to tell
        sys.stdout = None
        sys.exit(FAILED)
    except Exception as error:
        from agent.errors import NightSchoolError
        from memory.errors import StoreError
        from sandbox.base import SandboxError

        if isinstance(error, NightSchoolError | StoreError | SandboxError):
            fail(str(error))
        if isinstance(error, OSError):
            where = f": {error.filename}" if error.filename else ""
            fail(f"{error.strerror or error}{where}.")
        raise
