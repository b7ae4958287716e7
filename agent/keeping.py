"""The keeping part of the runtime: what snapshots hold, which may go, and backups.

Meets `agent.keeping_calls.KeepingCalls`; what each call promises is written there.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from agent.backup import Backup
from agent.errors import UsageError
from agent.keeping_calls import BackupMade, Pruned, SnapshotContents, SnapshotDiff
from agent.pruning import Pruning
from agent.snapshot_contents import Contents


@dataclass(frozen=True)
class Keeper:
    """What keeping works with; wired in `agent.build`."""

    contents: Contents
    """Looks into snapshots."""
    pruning: Pruning
    """Lets snapshots go."""
    backup: Backup
    """Writes backups."""


class Keeping(ABC):
    """Everything about what is kept that a face may ask for."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    @property
    @abstractmethod
    def night_runs(self) -> bool:
        """Whether a night is under way."""

    async def snapshot_contents(self, snapshot: str) -> SnapshotContents:
        return await asyncio.to_thread(self._keeper.contents.show, snapshot)

    async def snapshot_diff(self, first: str, second: str) -> SnapshotDiff:
        return await asyncio.to_thread(self._keeper.contents.diff, first, second)

    async def prune_snapshots(
        self, keep: int | None = None, older_than_days: float | None = None, dry_run: bool = False
    ) -> Pruned:
        if dry_run:
            return await asyncio.to_thread(self._keeper.pruning.plan, keep, older_than_days)
        if self.night_runs:
            raise UsageError(
                "A night is running, and it may go back to what you would remove. Wait for it, or end it "
                "with `nightschool sleep --stop`."
            )
        return await asyncio.to_thread(self._keeper.pruning.prune, keep, older_than_days)

    async def backup(self, path: str, replace: bool = False) -> BackupMade:
        stop = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(
            None, self._keeper.backup.write, Path(path), replace, stop
        )
        work.add_done_callback(_retrieved)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # the thread takes back what it wrote so far; the process waits for it before it ends
            stop.set()
            raise


def _retrieved(work: asyncio.Future[BackupMade]) -> None:
    if not work.cancelled():
        # one that nobody waits for any more would be reported as never retrieved
        work.exception()
