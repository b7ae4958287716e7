"""The small program between us and a command: joins the command's cgroups, lowers its limits, becomes it.

It is a program of its own, started as a script, because the alternative (code run between fork and exec of
a process that holds a model and many threads) can deadlock and copies page tables; this costs about 15 ms.
It imports nothing that is slow to import and nothing of ours.

Usage: `launch.py [--report FD] [--keep] [--join FILE]... [--limit NAME VALUE]... -- PROGRAM ARG...`
With `--report` a failure of its own is one line on that descriptor, which it otherwise closes on success,
or hands on with `--keep`.
"""

from __future__ import annotations

# the module `signal` takes 9 ms to import, most of this program's time
import _signal  # type: ignore[import-not-found]
import errno
import os
import resource
import sys


def main(arguments: list[str]) -> int:
    """Does what the arguments say; returns only when it failed: 125, or as a shell does 126 and 127."""
    report = 2
    keep = False
    try:
        while (option := arguments.pop(0)) != "--":
            if option == "--report":
                report = int(arguments.pop(0))
            elif option == "--keep":
                keep = True
            elif option == "--join":
                _join(arguments.pop(0))
            elif option == "--limit":
                _lower(arguments.pop(0), int(arguments.pop(0)))
            else:
                raise ValueError(f"unknown option {option}")
    except (OSError, ValueError) as error:
        _say(report, f"error: {error}")
        return 125
    if report > 2:
        os.set_inheritable(report, keep)
    for ignored_by_python in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(ignored_by_python, _signal.SIG_DFL)
    try:
        os.execvp(arguments[0], arguments)
    except OSError as error:
        if keep:
            _say(report, f"error: {arguments[0]}: {error.strerror}")
            return 125
        _say(2, f"{arguments[0]}: {error.strerror}")
        return 127 if error.errno in (errno.ENOENT, errno.ENOTDIR) else 126


def _join(procs: str) -> None:
    with open(procs, "w") as file:  # noqa: PTH123 - pathlib would double the start-up time
        file.write("0")


def _lower(name: str, value: int) -> None:
    kind = getattr(resource, f"RLIMIT_{name}")
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    # the second of grace lets a program catch SIGXCPU before it is killed
    ceiling = value + 1 if name == "CPU" and (hard == resource.RLIM_INFINITY or value < hard) else value
    resource.setrlimit(kind, (value, ceiling))


def _say(descriptor: int, sentence: str) -> None:
    os.write(descriptor, (sentence + "\n").encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
