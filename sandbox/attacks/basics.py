"""Checks that commands work at all: exit codes, input, output, the workspace, a Python, a granted network."""

from __future__ import annotations

import os
import socket

from sandbox.attacks.stage import Broken, Check, Stage


async def passes_exit_codes(stage: Stage) -> None:
    """Exit codes come back; a missing program is 127, one that cannot be run 126, a signal 128 and more."""
    not_a_program = str(stage.workspace)
    for argv, expected in (
        # Python ignores these signals, and what it starts would too
        (("sh", "-c", "kill -PIPE $$"), 141),
        (("sh", "-c", "kill -XFSZ $$"), 153),
        (("true",), 0),
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -9 $$"), 137),
        (("no-such-program",), 127),
        ((not_a_program,), 126),
    ):
        result = await stage.run(*argv)
        if result.exit_code != expected:
            raise Broken(f"{' '.join(argv)} gave {result.exit_code}, not {expected}")


async def passes_bytes_through(stage: Stage) -> None:
    """Input and output are bytes, not text, and the two outputs stay apart."""
    data = bytes(range(256)) * 600
    result = await stage.run("cat", stdin=data)
    if result.stdout != data:
        raise Broken("standard input did not come back whole")
    result = await stage.run("sh", "-c", r"printf '\377\000a'; printf '\376' >&2")
    if (result.stdout, result.stderr) != (b"\xff\x00a", b"\xfe"):
        raise Broken(f"wrote {result.stdout!r} and {result.stderr!r}")


async def has_an_end_of_input(stage: Stage) -> None:
    """Without input a command that reads gets an end of file at once."""
    result = await stage.run("cat")
    if result.exit_code != 0 or result.stdout or result.timed_out:
        raise Broken(f"`cat` ended with {result.exit_code}")


async def works_in_the_workspace(stage: Stage) -> None:
    """Python runs, in the workspace at its own path, and what it writes there stays."""
    code = "import os, sys; open('made', 'w').write(os.getcwd()); print(sys.version_info[0])"
    result = await stage.python(code)
    made = stage.workspace / "made"
    if result.exit_code != 0 or not made.exists() or made.read_text() != str(stage.workspace):
        raise Broken(result.stderr.decode(errors="replace")[-300:])
    made.unlink()


async def starts_with_a_clean_slate(stage: Stage) -> None:
    """No variable and no open file of ours reaches the command; what it is given does."""
    os.environ["NIGHTSCHOOL_CONTRACT"] = stage.secret
    kept_open = os.open(stage.neighbour / "secret.txt", os.O_RDONLY)
    os.set_inheritable(kept_open, True)
    try:
        result = await stage.run("sh", "-c", "env; ls -l /proc/self/fd", env={"GIVEN": "yes"})
    finally:
        os.close(kept_open)
        del os.environ["NIGHTSCHOOL_CONTRACT"]
    said = result.stdout.decode(errors="replace")
    if stage.secret in said:
        raise Broken("a variable of ours was there")
    if "secret.txt" in said:
        raise Broken("an open file of ours was there")
    if "GIVEN=yes" not in said:
        raise Broken("a variable meant for it was missing")


async def reaches_a_granted_network(stage: Stage) -> None:
    """With the network granted, a listener outside is reached."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        code = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)"
        result = await stage.python(code, str(listener.getsockname()[1]), network=True)
    if result.exit_code != 0:
        raise Broken(result.stderr.decode(errors="replace").strip()[-200:])


CHECKS = [
    Check("basics", function)
    for function in (
        passes_exit_codes,
        passes_bytes_through,
        has_an_end_of_input,
        works_in_the_workspace,
        starts_with_a_clean_slate,
        reaches_a_granted_network,
    )
]
