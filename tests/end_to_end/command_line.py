"""Running the console script as a user does: a process of its own, a home of its own, the shared weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NIGHTSCHOOL = str(Path(sys.executable).parent / "nightschool")


def environment() -> dict[str, str]:
    """Ours without settings, so that the defaults are what is tested; the cache stays the shared one."""
    kept = ("NIGHTSCHOOL_CACHE",)
    return {k: v for k, v in os.environ.items() if not k.startswith("NIGHTSCHOOL_") or k in kept}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    """Exit code."""
    out: str
    """Standard output."""
    err: str
    """Standard error."""

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines; anything else in it is an error."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class CommandLine:
    """`nightschool --home HOME …`, run in a folder."""

    home: Path
    """The home folder."""
    folder: Path
    """Where the commands are run: the default workspace."""
    before: tuple[str, ...] = ()
    """A command to run it under, for example one that cuts the network."""

    def __call__(self, *arguments: str, seconds: float = 120) -> Ended:
        """Run to the end, with nobody at the terminal."""
        done = subprocess.run(
            [*self.before, NIGHTSCHOOL, "--home", str(self.home), *arguments],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, seconds: float = 120) -> Ended:
        """Run to the end, which must be exit code 0."""
        done = self(*arguments, seconds=seconds)
        assert done.code == 0, f"{arguments} ended with {done.code}\n{done.out[-2000:]}\n{done.err[-2000:]}"
        return done
