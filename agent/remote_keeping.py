"""The keeping part of a runtime that another process owns; a part of `agent.client.RemoteRuntime`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from agent.keeping_calls import BackupMade, Pruned, SnapshotContents, SnapshotDiff


class RemoteKeeping(ABC):
    """Meets `agent.keeping_calls.KeepingCalls` by calls that travel."""

    @abstractmethod
    async def _call(self, method: str, **arguments: Any) -> Any:
        """Make one call and return its result."""

    async def snapshot_contents(self, snapshot: str) -> SnapshotContents:
        contents: SnapshotContents = await self._call("snapshot_contents", snapshot=snapshot)
        return contents

    async def snapshot_diff(self, first: str, second: str) -> SnapshotDiff:
        diff: SnapshotDiff = await self._call("snapshot_diff", first=first, second=second)
        return diff

    async def prune_snapshots(
        self, keep: int | None = None, older_than_days: float | None = None, dry_run: bool = False
    ) -> Pruned:
        pruned: Pruned = await self._call(
            "prune_snapshots", keep=keep, older_than_days=older_than_days, dry_run=dry_run
        )
        return pruned

    async def backup(self, path: str, replace: bool = False) -> BackupMade:
        made: BackupMade = await self._call("backup", path=path, replace=replace)
        return made
