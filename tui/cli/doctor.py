"""`nightschool doctor`: what is installed, what is missing, what to do."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import click

from tui.cli.output import FAILED, OK, Cli, json_option, print_json

_LOW_DISK_BYTES = 3 * 1024**3
_LOW_HOME_BYTES = 200 * 1024**2


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    """What was looked at."""
    ok: bool
    """Whether it is as it should be."""
    found: str
    """What is there, or what is wrong."""
    mend: str = ""
    """What to do when it is not ok."""


@click.command()
@json_option
@click.pass_obj
def doctor(cli: Cli, as_json: bool) -> None:
    """What is installed, what is missing, what to do. Exit code 1 when something is missing."""
    findings = [
        _guarded(check, cli) for check in (_python, _settings, _home, _model, _embedder, _sandbox, _disk)
    ]
    for finding in findings:
        if as_json:
            print_json(asdict(finding))
        else:
            click.secho(
                f"{'✓' if finding.ok else '✗'} {finding.check:<10} {finding.found}",
                fg="green" if finding.ok else "red",
            )
            if not finding.ok and finding.mend:
                click.echo(f"  {'':<10} {finding.mend}")
    sys.exit(OK if all(finding.ok for finding in findings) else FAILED)


def _guarded(check: Callable[[Cli], Finding], cli: Cli) -> Finding:
    """A check that trips is a finding, not the end of the others."""
    from agent.errors import NightSchoolError
    from sandbox.base import SandboxError

    try:
        return check(cli)
    except (NightSchoolError, SandboxError, OSError) as error:
        return Finding(check.__name__.lstrip("_"), False, str(error))


def _python(cli: Cli) -> Finding:
    return Finding("python", True, f"{sys.version.split()[0]} at {sys.executable}")


def _settings(cli: Cli) -> Finding:
    cli.settings()
    return Finding("settings", True, str(cli.home / "config.toml"))


def _home(cli: Cli) -> Finding:
    from agent.home import Home, OwnerLock, owner_pid

    home = Home(cli.home)
    home.create()
    lock = OwnerLock.acquire(home)
    if lock is None:
        return Finding("home", True, f"{home.root}, owned by process {owner_pid(home)}")
    lock.release()
    return Finding("home", True, f"{home.root}, free")


def _model(cli: Cli) -> Finding:
    from agent.build import chosen_model
    from agent.config import cache_dir
    from agent.model.weights import model_dir

    entry = chosen_model(cli.settings())
    return Finding("model", True, f"{entry.name} in {model_dir(entry.name, cache_dir())}")


def _embedder(cli: Cli) -> Finding:
    from agent.config import cache_dir
    from agent.model.catalogue import check_kind, find
    from agent.model.weights import model_dir

    entry = check_kind(find(cli.settings().memory.embedder), "embedder", "memory.embedder")
    return Finding("embedder", True, f"{entry.name} in {model_dir(entry.name, cache_dir())}")


def _sandbox(cli: Cli) -> Finding:
    from agent.sandboxing import sandbox_from

    settings = cli.settings().sandbox
    backend = settings.backend
    asyncio.run(sandbox_from(settings, hidden=(cli.home,)).probe())
    if backend == "none":
        return Finding(
            "sandbox",
            False,
            "none: commands run unprotected",
            "nightschool config set sandbox.backend bubblewrap",
        )
    return Finding("sandbox", True, f"{backend} works")


def _disk(cli: Cli) -> Finding:
    from agent.config import cache_dir

    found = []
    for folder, low in ((cli.home, _LOW_HOME_BYTES), (cache_dir(), _LOW_DISK_BYTES)):
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        found.append((free > low, f"{free / 1024**3:.1f} GiB free at {folder}"))
    ok = all(enough for enough, _ in found)
    mend = "" if ok else "Free some space there, choose another home with --home, or set NIGHTSCHOOL_CACHE."
    return Finding("disk", ok, ", ".join(said for _, said in found), mend)
