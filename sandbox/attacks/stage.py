"""Where attacks take place: a workspace, things outside it worth having, and a bystander process.

Everything outside is made for the occasion and removed afterwards, so an attack that succeeds does no harm.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sandbox.base import Command, ExecResult, Limits, Sandbox

Kind = Literal["basics", "limits", "isolation"]

MIB = 1024**2
LIMITS = Limits(
    wall_seconds=20,
    cpu_seconds=10,
    memory_bytes=160 * MIB,
    processes=24,
    file_bytes=8 * MIB,
    output_bytes=256 * 1024,
)
"""Limits an attack runs under; small, so that reaching them costs little."""

_SLEEPER = "import time; time.sleep(120)"


class Broken(Exception):
    """The sandbox did not hold. The message says what got through."""


@dataclass
class Stage:
    """What one check needs."""

    sandbox: Sandbox
    """The sandbox under attack."""
    workspace: Path
    """Its workspace, empty at first."""
    neighbour: Path
    """A folder beside the workspace, holding `secret.txt`."""
    home: Path
    """A folder in the user's home, holding `secret.txt`."""
    secret: str
    """What stands in both, and in the bystander's environment."""
    mark: str
    """An argument by which processes of this stage are recognised."""
    _bystander: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    async def run(
        self,
        *argv: str,
        network: bool = False,
        stdin: bytes = b"",
        env: dict[str, str] | None = None,
        **limits: Any,
    ) -> ExecResult:
        """Runs a command in the workspace; keywords change the limits."""
        command = Command(argv, self.workspace, network=network, stdin=stdin, env=env or {})
        return await self.sandbox.run(command, replace(LIMITS, **limits))

    async def python(self, code: str, *arguments: str, network: bool = False, **limits: Any) -> ExecResult:
        """Runs Python code with these `sys.argv[1:]`."""
        program = ("python", "-P", "-I", "-S", "-c", code, *arguments)
        return await self.run(*program, network=network, **limits)

    async def attack(self, code: str, *arguments: str, network: bool = False, **limits: Any) -> None:
        """Runs code that prints `ESCAPED: what` for each success and `TRIED` at its end.

        Raises Broken when it succeeded, or when it could not be seen to have tried.
        """
        result = await self.python(code, *arguments, network=network, **limits)
        said = result.stdout.decode(errors="replace").splitlines()
        if escapes := [line for line in said if line.startswith("ESCAPED")]:
            raise Broken("; ".join(line.removeprefix("ESCAPED: ") for line in escapes))
        if "TRIED" not in said:
            raise Broken(f"the attack itself failed: {result.stderr.decode(errors='replace').strip()[-300:]}")

    def bystander(self) -> int:
        """The id of a process outside that belongs to the same user and has the secret in its environment."""
        if self._bystander is None:
            self._bystander = subprocess.Popen(
                [sys.executable, "-P", "-I", "-S", "-c", _SLEEPER, self.mark],
                env={"SECRET": self.secret},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        return self._bystander.pid

    def bystander_lives(self) -> bool:
        """False once something ended it."""
        return self._bystander is not None and self._bystander.poll() is None

    def survivors(self) -> list[int]:
        """Living processes with the stage's mark, the bystander left out."""
        found: list[int] = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                arguments = (folder / "cmdline").read_bytes().split(b"\0")
                if self.mark.encode() in arguments:
                    found.append(int(folder.name))
        own = self._bystander.pid if self._bystander is not None else None
        return [pid for pid in found if pid != own]

    def expect_nobody(self) -> None:
        """Raises Broken when a process of the command still runs."""
        if left := self.survivors():
            raise Broken(f"{len(left)} of its processes outlived the command")

    def close(self) -> None:
        """Ends the bystander."""
        if self._bystander is not None:
            self._bystander.kill()
            self._bystander.wait()


@contextlib.contextmanager
def stage_for(sandbox: Sandbox) -> Iterator[Stage]:
    """A fresh stage, gone afterwards."""
    base = Path(tempfile.mkdtemp(prefix="nightschool-contract-")).resolve()
    home = _folder_in_home(base)
    secret = secrets.token_hex(16)
    stage = Stage(
        sandbox, base / "workspace", base / "neighbour", home, secret, f"mark-{secrets.token_hex(8)}"
    )
    try:
        for folder in (stage.workspace, stage.neighbour, home):
            folder.mkdir(exist_ok=True)
        for folder in (stage.neighbour, home):
            (folder / "secret.txt").write_text(secret)
        yield stage
    finally:
        stage.close()
        shutil.rmtree(base, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def _folder_in_home(base: Path) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=".nightschool-contract-", dir=Path.home())).resolve()
    except (OSError, RuntimeError):
        return base / "home"


@dataclass(frozen=True)
class Check:
    """One clause of the contract."""

    kind: Kind
    """`basics`: commands work; `limits`: they end; `isolation`: they reach nothing else."""
    function: Callable[[Stage], Awaitable[None]]
    """Raises Broken when the sandbox did not hold."""

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    @property
    def description(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0]
