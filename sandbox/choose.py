"""From the name in the settings to a sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sandbox.base import Sandbox
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.none import NoSandbox

BACKENDS: dict[str, type[BubblewrapSandbox] | type[NoSandbox]] = {
    BubblewrapSandbox.name: BubblewrapSandbox,
    NoSandbox.name: NoSandbox,
}


def make_sandbox(backend: str, hidden: Sequence[Path] = ()) -> Sandbox:
    """A sandbox of that kind; nothing is tried yet, that is what `probe` is for.

    `hidden` folders (our own home folder) are never shown to a command, not even inside a workspace.
    Raises ValueError for a name that is no backend.
    """
    if backend not in BACKENDS:
        raise ValueError(f"There is no sandbox backend `{backend}`, only {' and '.join(BACKENDS)}.")
    return BACKENDS[backend](hidden)
