"""What a command sees of the machine: the folders shown to it, its environment and its user.

A list of what is shown, never of what is hidden: system programs and libraries, the few files of `/etc`
that programs need (no keys, no passwords, no other users), the interpreter, the workspace. Homes, mounted
disks, sockets and other people's files are not there because nothing put them there.

Not bounded: how much the workspace grows, because it lies on the real disk; only each single file is.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.base import Command, Limits, SandboxUnavailable

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")

_ETC = """
    alternatives bash.bashrc ca-certificates crypto-policies debian_version fonts gai.conf host.conf hosts
    inputrc java ld.so.cache ld.so.conf ld.so.conf.d locale.alias locale.conf localtime lsb-release
    magic magic.mime mime.types nsswitch.conf os-release perl pki/ca-trust pki/tls/certs protocols
    python3 R redhat-release rpc services ssl/certs ssl/openssl.cnf terminfo timezone
""".split()  # noqa: SIM905

_PROC_MASKED = ("kcore", "keys", "key-users", "kpagecgroup", "kpagecount", "kpageflags", "timer_list")

_SYSTEM_FOLDERS = ("/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/usr")

_LAUNCHER = Path(__file__).resolve().parent / "launch.py"
LAUNCHER_INSIDE = "/run/nightschool/launch.py"
"""Where the launcher lies inside."""


@dataclass(frozen=True)
class User:
    """Who the command is, inside."""

    uid: int
    """Never 0: programs that believe to be root try what no namespace without capabilities can do."""
    gid: int
    """Likewise."""

    @classmethod
    def current(cls) -> User:
        """Our own user; root appears as an ordinary one."""
        return cls(os.getuid() or 1000, os.getgid() or 1000)

    @property
    def passwd(self) -> bytes:
        """The whole `/etc/passwd`."""
        return (
            f"agent:x:{self.uid}:{self.gid}:agent:/tmp:/bin/sh\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        ).encode()

    @property
    def group(self) -> bytes:
        """The whole `/etc/group`."""
        return f"agent:x:{self.gid}:\nnogroup:x:65534:\n".encode()


def home_folders() -> set[Path]:
    """Our user's home, by the user database and by `HOME`."""
    found = set()
    for text in (os.environ.get("HOME"), _home_by_database()):
        if text and text.startswith("/") and Path(text) != Path("/"):
            found.add(Path(text).resolve())
    return found


def checked_workspace(command: Command, hidden: Sequence[Path]) -> Path:
    """The workspace, resolved. Raises SandboxUnavailable when showing it would undo the isolation."""
    try:
        workspace = command.workspace.resolve(strict=True)
    except OSError as error:
        raise SandboxUnavailable(
            f"The workspace {command.workspace} cannot be used: {error.strerror}."
        ) from error
    if not workspace.is_dir():
        raise SandboxUnavailable(f"The workspace {workspace} is not a folder.")
    problem = too_wide(workspace, hidden)
    if problem is not None:
        raise SandboxUnavailable(problem)
    return workspace


def too_wide(workspace: Path, hidden: Sequence[Path] = ()) -> str | None:
    """Why commands must not be let loose in this resolved folder, None when they may."""
    if _is_of_the_system(workspace):
        return f"The workspace {workspace} belongs to the system. Choose a folder of your own."
    if workspace in home_folders() or workspace in hidden:
        return (
            f"The workspace {workspace} is a home folder, and commands could change everything in it. "
            "Choose a folder inside it."
        )
    return None


def mounts(workspace: Path, command: Command, limits: Limits, hidden: Sequence[Path]) -> list[str]:
    """Arguments for bubblewrap, parents before what lies inside them, the root made read-only last."""
    arguments = [*_system(), *_etc(command.network)]
    arguments += [*_proc(), "--dev", "/dev"]
    for folder in ("/dev/shm", "/tmp", "/var/tmp"):
        arguments += ["--perms", "1777", "--size", str(limits.file_bytes), "--tmpfs", folder]
    arguments += ["--remount-ro", "/dev"]
    shown = dict.fromkeys((*_interpreter(), *_readable(command)), "--ro-bind")
    shown[workspace] = "--bind"
    # what lies deeper is mounted later, so an interpreter inside the workspace stays read-only
    for path in sorted(shown, key=lambda path: len(path.parts)):
        arguments += [shown[path], str(path), str(path)]
    for path in (*home_folders(), *hidden):
        inside = any(path != folder and path.is_relative_to(folder) for folder in shown)
        if inside and not workspace.is_relative_to(path) and path.is_dir() and path.resolve() == path:
            arguments += ["--size", "4096", "--tmpfs", str(path), "--remount-ro", str(path)]
    arguments += ["--ro-bind", str(_LAUNCHER), LAUNCHER_INSIDE]
    if not (Path(sys.executable).parent / "python").exists():
        arguments += ["--symlink", sys.executable, "/run/nightschool/python"]
    return [*arguments, "--remount-ro", "/", "--chdir", str(workspace)]


def environment(workspace: Path, extra: dict[str, str]) -> dict[str, str]:
    """The small clean environment; nothing of ours is in it."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
        ":/run/nightschool",
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PWD": str(workspace),
        "PYTHONDONTWRITEBYTECODE": "1",
        **extra,
    }


def launcher(descriptor: int, *options: str, keep: bool) -> list[str]:
    """The command line of our launcher up to and with its `--`, reporting on `descriptor`."""
    start = [sys.executable, "-P", "-I", "-S", str(_LAUNCHER), "--report", str(descriptor)]
    return [*start, *(["--keep"] if keep else []), *options, "--"]


def _system() -> Iterator[str]:
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), name)
        elif path.is_dir():
            yield from ("--ro-bind", name, name)


def _proc() -> Iterator[str]:
    """The namespace's own `/proc`, all of it read-only, which bubblewrap itself leaves open.

    The kernel lets a command run by root write `/proc/sys` even without capabilities, and through
    `kernel/core_pattern` that means running programs outside. `/proc/1` is bubblewrap, and its `exe` is the
    file outside, on a mount that may be written.
    """
    yield from ("--proc", "/proc", "--size", "4096", "--tmpfs", "/proc/1", "--remount-ro", "/proc/1")
    for name in _PROC_MASKED:
        if Path("/proc", name).exists():
            yield from ("--ro-bind", "/dev/null", f"/proc/{name}")
    yield from ("--remount-ro", "/proc")


def _etc(network: bool) -> Iterator[str]:
    names = [*_ETC, "resolv.conf"] if network else _ETC
    for name in names:
        path = Path("/etc") / name
        if path.exists():
            yield from ("--ro-bind", str(path.resolve()), str(path))


def _interpreter() -> list[Path]:
    """Where our Python lies, wherever that is; never so much that a home becomes visible."""
    found: list[Path] = []
    for text in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix):
        for prefix in (Path(text), Path(text).resolve()):
            if any(prefix.is_relative_to(folder) for folder in _SYSTEM):
                continue
            if prefix == Path("/") or any(home.is_relative_to(prefix) for home in home_folders()):
                parts = ("bin", "lib", "lib64", "include", "pyvenv.cfg")
                found += [prefix / part for part in parts if (prefix / part).exists()]
            elif prefix.is_dir():
                found.append(prefix)
    return list(dict.fromkeys(found))


def _readable(command: Command) -> list[Path]:
    return [path.resolve() for path in map(Path, command.readable) if path.exists()]


def _is_of_the_system(path: Path) -> bool:
    if any(path.is_relative_to(tree) for tree in ("/proc", "/sys", "/dev")):
        return not (path.is_relative_to("/dev/shm") and path != Path("/dev/shm"))
    return any(Path(folder).is_relative_to(path) for folder in _SYSTEM_FOLDERS)


def _home_by_database() -> str | None:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return None
