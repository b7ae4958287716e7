"""No isolation: commands run with the user's own rights, chosen knowingly with `sandbox.backend = "none"`.

Holds: wall clock, output, CPU time and file size are limited; memory and processes too where a cgroup can be
made, else memory per process and processes not at all; the environment is small and clean.

Does not hold: anything else. A command reads and writes what the user can, reaches the network, sees and
signals processes. Without a cgroup a command that makes a session of its own outlives its end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from sandbox.base import Command, ExecResult, Limits, SandboxUnavailable
from sandbox.cgroups import Cgroups, Group, find_cgroups
from sandbox.limits import common_rlimits, joins, limit_hit, memory_rlimit
from sandbox.process import Child, to_the_end
from sandbox.supervise import remove, supervise
from sandbox.view import environment, launcher

# what programs need to find the user's own things; nothing that could hold a secret
_PASSED_ON = ("HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "XDG_RUNTIME_DIR")


class NoSandbox:
    """Runs commands unprotected, within limits."""

    name = "none"
    holds = frozenset({"basics", "limits"})
    """The kinds of checks of the contract it promises to pass; limits on processes only with a cgroup."""

    def __init__(self, hidden: Sequence[Path] = ()) -> None:
        """Takes `hidden` as the other backends do; here nothing can be hidden."""
        self._cgroups: Cgroups | None = None
        self._searched = False

    async def probe(self) -> None:
        """Run something trivial. Raises SandboxUnavailable when not even that works."""
        with tempfile.TemporaryDirectory(prefix="nightschool-probe-") as folder:
            result = await self.run(Command(("true",), Path(folder)), Limits(wall_seconds=20))
        if result.exit_code != 0:
            raise SandboxUnavailable(f"Commands cannot be run: `true` ended with {result.exit_code}.")

    async def describe(self) -> str:
        """For a person: that nothing is isolated and how memory and processes are limited."""
        cgroups = self._found()
        how = cgroups.description if cgroups else "rlimits (memory per process, processes not at all)"
        return f"no isolation, limits by {how}"

    async def run(self, command: Command, limits: Limits) -> ExecResult:
        """Run to the end, the limit, or cancellation, then end the process group and the cgroup."""
        if not command.workspace.is_dir():
            raise SandboxUnavailable(f"The workspace {command.workspace} is not a folder.")
        group = self._new_group(limits)
        report_read, report_write = os.pipe()
        try:
            try:
                child = self._start(command, limits, group, report_write)
            finally:
                os.close(report_write)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno != errno.E2BIG:
                raise SandboxUnavailable(f"The command could not be started: {error}.") from error
            return ExecResult(126, b"", f"The command cannot be started: {error}.\n".encode(), 0.0)
        else:
            ending = await supervise(child, _ProcessGroup(child), limits, group)
            if failure := os.read(report_read, 4096).decode(errors="replace"):
                raise SandboxUnavailable(f"The command's limits could not be set: {failure.strip()}.")
            truncated = child.stdout.truncated or child.stderr.truncated
            return ExecResult(
                exit_code=child.exit_code,
                stdout=child.stdout.data,
                stderr=child.stderr.data,
                seconds=ending.seconds,
                timed_out=ending.timed_out,
                truncated=truncated,
                limit=limit_hit(child.exit_code, ending.timed_out, truncated, group),
            )
        finally:
            os.close(report_read)
            if group is not None:
                await to_the_end(remove(group))

    def _start(self, command: Command, limits: Limits, group: Group | None, report: int) -> Child:
        if not command.argv:
            raise ValueError("it is empty")
        workspace = command.workspace.resolve()
        clean = environment(workspace, {})
        clean["PATH"] = os.pathsep.join((clean["PATH"], os.environ.get("PATH", "")))
        clean |= {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        options = [*common_rlimits(limits), *(joins(group) if group else memory_rlimit(limits))]
        return Child(
            [*launcher(report, *options, keep=False), *command.argv],
            cwd=str(workspace),
            env=clean | command.env,
            stdin=command.stdin,
            output_bytes=limits.output_bytes,
            on_output=command.on_output,
            pass_fds=(report,),
        )

    def _found(self) -> Cgroups | None:
        if not self._searched:
            self._cgroups, self._searched = find_cgroups(), True
        return self._cgroups

    def _new_group(self, limits: Limits) -> Group | None:
        cgroups = self._found()
        if cgroups is not None:
            with contextlib.suppress(OSError):
                return cgroups.create(limits.memory_bytes, limits.processes)
        return None


class _ProcessGroup:
    """The processes that stayed in the command's own process group."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def kill(self) -> None:
        self._child.kill_group()

    def gone(self) -> bool:
        try:
            os.killpg(self._child.pid, 0)
        except (ProcessLookupError, PermissionError):
            return True
        # what is left may be dead and only waiting for a first process that never reaps, as in containers
        return Path("/proc/self/stat").exists() and not any(_living_members(self._child.pid))


def _living_members(group: int) -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                yield int(stat.parent.name)
