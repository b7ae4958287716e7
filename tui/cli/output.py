"""What all commands share: the chosen home, JSON lines, one clear sentence for an error, exit codes."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from agent.config import Settings
    from memory.types import Outcome

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


class Folder(click.Path):
    """A path that is really given: an empty one, as an unset variable leaves it, means no folder at all."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuses the empty path, which would be the current folder."""
        if value == "":
            self.fail("The path is empty.", param, ctx)
        return super().convert(value, param, ctx)


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
        return nobody_there(question)
    return click.confirm(question, default=False, err=True)


def nobody_there(question: str) -> bool:
    """Says that a question could not be asked; the answer is no."""
    click.echo(f"{question} Nobody is there to answer; pass --yes to confirm.", err=True)
    return False


def print_json(value: Any) -> None:
    """One JSON object on one line of standard output, flushed."""
    if hasattr(value, "model_dump_json"):
        text = value.model_dump_json()
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    _Printed.last_kind = getattr(value, "kind", "")


class _Printed:
    """What this process has printed as JSON lines."""

    last_kind = ""


def words(arguments: Sequence[str]) -> str:
    """Arguments as one text. Raises UsageError when they are not UTF-8, which nothing here could keep."""
    from agent.errors import UsageError

    text = " ".join(arguments)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"The text {text[:40]!a} is not UTF-8. Convert it first.") from error
    return text


def fail(sentence: str, code: int = USAGE) -> NoReturn:
    """End with one sentence on standard error."""
    click.echo(f"nightschool: {sentence}", err=True)
    sys.exit(code)


@contextmanager
def report_errors(arguments: Sequence[str] = ()) -> Iterator[None]:
    """Turns every expected error into one sentence and an exit code; a bug still shows its traceback.

    Where `arguments` (those of the process) ask `run` or `chat` for JSON lines, whatever goes wrong, wrong
    usage and Ctrl+C too, is the closing `run_finished` as well, so that output always ends in one.
    """
    closes = _ends_in_run_finished(arguments)
    _Printed.last_kind = ""
    if closes:
        # told to end before a task listens for it, it ends as Ctrl+C does
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))

    def end(sentence: str, code: int) -> NoReturn:
        if closes:
            _print_end(sentence, code)
        fail(sentence, code)

    try:
        yield
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.exceptions.Abort as stop:
        # click puts this in place of a KeyboardInterrupt, after an empty line for the terminal's ^C
        end(str(stop.__cause__ or "") or "Interrupted.", INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(USAGE)
    except click.ClickException as error:
        end(_with_hint(error), error.exit_code)
    except KeyboardInterrupt as stop:
        end(str(stop) or "Interrupted.", INTERRUPTED)
    except BrokenPipeError:
        # whoever read our output has gone; there is nobody left to tell
        sys.stdout = None
        sys.exit(FAILED)
    except Exception as error:
        from agent.errors import NightSchoolError, OwnerGone
        from memory.errors import StoreError
        from sandbox.base import SandboxError

        if isinstance(error, NightSchoolError | StoreError | SandboxError):
            end(str(error), FAILED if isinstance(error, OwnerGone) else USAGE)
        if isinstance(error, OSError):
            where = f": {error.filename}" if error.filename else ""
            end(f"{error.strerror or error}{where}.", USAGE)
        if closes:
            _print_end(repr(error), FAILED)
        raise
    finally:
        if closes:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _ends_in_run_finished(arguments: Sequence[str]) -> bool:
    """Whether these are the arguments of `run` or `chat` with `--json`."""
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        del rest[: 2 if rest[0] == "--home" else 1]
    own = rest[: rest.index("--")] if "--" in rest else rest
    return own[:1] in (["run"], ["chat"]) and "--json" in own


def _print_end(sentence: str, code: int) -> None:
    """The closing `run_finished`, unless the last line was one."""
    from agent.events import RunFinished

    if _Printed.last_kind != "run_finished":
        outcome: Outcome = "interrupted" if code == INTERRUPTED else "failure"
        print_json(RunFinished(outcome=outcome, answer="", reason=sentence))


def _with_hint(error: click.ClickException) -> str:
    """What is wrong with the command line, and where its help is."""
    sentence = f"{error.format_message().rstrip('.')}."
    if isinstance(error, click.UsageError) and error.ctx is not None:
        sentence += f" `{error.ctx.command_path} --help` shows how."
    return sentence
