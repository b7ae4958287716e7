"""The keeping part of the runtime: what snapshots hold, and which may go.

Meets `agent.keeping_calls.KeepingCalls`; what each call promises is written there.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass

from agent.errors import UsageError
from agent.keeping_calls import Pruned, SnapshotContents, SnapshotDiff
from agent.pruning import Pruning
from agent.snapshot_contents import Contents


@dataclass(frozen=True)
class Keeper:
    """What keeping works with; wired in `agent.build`."""

    contents: Contents
    """Looks into snapshots."""
    pruning: Pruning
    """Lets snapshots go."""


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
