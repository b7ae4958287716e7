"""Checks that every command ends, stays within its limits, and leaves nobody behind."""

from __future__ import annotations

import asyncio
import contextlib

from sandbox.attacks.stage import LIMITS, MIB, Broken, Check, Stage
from sandbox.base import Command

# starts a process in a session of its own that ignores polite signals, twice removed from the command
_DAEMON = """
import os, signal, sys
sleeper = 'import signal, time; signal.signal(15, 1); signal.signal(1, 1); time.sleep(90)'
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp('python', ['python', '-P', '-I', '-S', '-c', sleeper, sys.argv[1]])
    os._exit(0)
os.wait()
"""


async def ends_at_the_wall_clock(stage: Stage) -> None:
    """A command that outlives its time is ended, however it and its children resist."""
    code = _DAEMON + "signal.signal(15, 1)\nimport time\ntime.sleep(90)"
    result = await stage.python(code, stage.mark, wall_seconds=1.0)
    if not result.timed_out or result.limit != "wall":
        raise Broken(f"it ended with {result.exit_code}, limit {result.limit}")
    stage.expect_nobody()


async def ends_background_children(stage: Stage) -> None:
    """A daemon does not outlive the command that started it, and does not hold up its end."""
    result = await stage.python(_DAEMON + "import time\ntime.sleep(0.3)", stage.mark)
    if result.exit_code != 0 or result.timed_out:
        raise Broken(f"it ended with {result.exit_code}: {result.stderr.decode(errors='replace')[-200:]}")
    stage.expect_nobody()


async def ends_when_cancelled(stage: Stage) -> None:
    """Cancelling the run ends every process and is passed on."""
    code = _DAEMON + "open('ready', 'w').close()\nimport time\ntime.sleep(90)"
    argv = ("python", "-P", "-I", "-S", "-c", code, stage.mark)
    task = asyncio.ensure_future(stage.sandbox.run(Command(argv, stage.workspace), LIMITS))
    ready = stage.workspace / "ready"
    while not ready.exists() and not task.done():  # noqa: ASYNC110 - a file tells no event
        await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    if not task.cancelled():
        raise Broken("the cancellation was swallowed")
    stage.expect_nobody()


async def limits_cpu_time(stage: Stage) -> None:
    """A busy loop ends when its CPU time is used up."""
    result = await stage.python("while True: pass", cpu_seconds=1)
    if result.timed_out or result.limit != "cpu":
        raise Broken(f"it ended with {result.exit_code}, limit {result.limit}")


async def limits_memory_of_one(stage: Stage) -> None:
    """One process does not get four times the memory it may have."""
    code = f"kept = [b'x' * {MIB} for _ in range({4 * LIMITS.memory_bytes // MIB})]; print('GOT IT')"
    result = await stage.python(code)
    if b"GOT IT" in result.stdout:
        raise Broken(f"one process got {4 * LIMITS.memory_bytes // MIB} MiB")


async def limits_memory_of_all(stage: Stage) -> None:
    """Several processes together do not get what one of them may not have."""
    each = LIMITS.memory_bytes // MIB // 2
    # who has its memory may be killed to make room for the next, so all are asked once nobody grows any more
    code = (
        "import os\n"
        "asking, ask = os.pipe()\n"
        "readers = []\n"
        "for _ in range(6):\n"
        "    reader, writer = os.pipe()\n"
        "    if os.fork() == 0:\n"
        f"        kept = [b'x' * {MIB} for _ in range({each})]\n"
        "        os.write(writer, b'y')\n"
        "        os.read(asking, 1)\n"
        "        os.write(writer, b'y')\n"
        "        os._exit(0)\n"
        "    os.close(writer)\n"
        "    readers.append(reader)\n"
        "claimed = sum(len(os.read(reader, 1)) for reader in readers)\n"
        "os.write(ask, b'?' * claimed)\n"
        "print(sum(len(os.read(reader, 1)) for reader in readers))\n"
    )
    result = await stage.python(code)
    if not result.stdout and result.limit != "memory":
        raise Broken(f"the attack itself failed: {result.stderr.decode(errors='replace').strip()[-300:]}")
    held = int(result.stdout or b"0")
    if held * each * MIB > LIMITS.memory_bytes:
        raise Broken(f"{held} processes held {each} MiB each at the same time")


async def limits_processes(stage: Stage) -> None:
    """A fork bomb gets only so many processes, and all of them end."""
    attempts = LIMITS.processes + 40
    code = (
        "import os, time\n"
        "count = 1\n"
        f"for _ in range({attempts}):\n"
        "    try:\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(90)\n"
        "    except OSError:\n"
        "        break\n"
        "    count += 1\n"
        "print(count)\n"
    )
    result = await stage.python(code, stage.mark)
    stage.expect_nobody()
    count = int(result.stdout or b"0")
    if not 1 < count <= LIMITS.processes:
        raise Broken(f"{count} processes, {LIMITS.processes} allowed; {result.stderr.decode()[-200:]}")
    # only now that the number is known to be bounded, one that doubles without end
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    result = await stage.python(bomb, stage.mark, wall_seconds=1.0)
    if not result.timed_out:
        raise Broken(f"the bomb ended with {result.exit_code}")
    stage.expect_nobody()


async def limits_file_size(stage: Stage) -> None:
    """One file does not grow past its limit."""
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try:\n"
        "    with open('big', 'wb', 0) as file:\n"
        f"        for _ in range({4 * LIMITS.file_bytes // MIB}):\n"
        f"            file.write(b'x' * {MIB})\n"
        "except OSError:\n"
        "    pass\n"
        "try:\n"
        f"    os.truncate('sparse', {4 * LIMITS.file_bytes}) if open('sparse', 'wb').close() is None else 0\n"
        "except OSError:\n"
        "    pass\n"
    )
    await stage.python(code)
    for name in ("big", "sparse"):
        size = (stage.workspace / name).stat().st_size
        if size > LIMITS.file_bytes:
            raise Broken(f"a file of {size // MIB} MiB, {LIMITS.file_bytes // MIB} allowed")


async def limits_output(stage: Stage) -> None:
    """A flood of output is cut off and does not end the command."""
    result = await stage.python(f"for _ in range(64): print('x' * {MIB})")
    if len(result.stdout) > LIMITS.output_bytes or not result.truncated or result.exit_code != 0:
        raise Broken(f"{len(result.stdout)} bytes kept, exit code {result.exit_code}")


CHECKS = [
    Check("limits", function)
    for function in (
        ends_at_the_wall_clock,
        ends_background_children,
        ends_when_cancelled,
        limits_cpu_time,
        limits_memory_of_one,
        limits_memory_of_all,
        limits_processes,
        limits_file_size,
        limits_output,
    )
]
