"""The folder the agent works in when nobody named one."""

from __future__ import annotations

from pathlib import Path


def workspace_or_default(chosen: Path | None, home: Path) -> str | None:
    """The chosen workspace, else the current folder; None (a fresh folder) where that would lay open
    a whole home folder or the agent's own."""
    if chosen is not None:
        return str(chosen.expanduser().absolute())
    here = Path.cwd()
    too_wide = here in (Path.home(), *Path.home().parents) or home.is_relative_to(here)
    return None if too_wide else str(here)
