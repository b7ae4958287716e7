"""Taking back what an episode changed in its workspace. Slow: it reads and writes files."""

from __future__ import annotations

from pathlib import Path

from agent.calls import FileChange
from agent.errors import UsageError
from agent.home import Home
from memory.types import Episode
from skills.preimages import Preimages


class Undoing:
    """The kept pre-images of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def changes(self, episode: Episode) -> list[FileChange]:
        """What `undo` would change. Raises UsageError when the workspace is not there."""
        if episode.workspace is None:
            return []
        workspace = Path(episode.workspace)
        found = list(self._kept(episode).changes(workspace))
        if found and not workspace.is_dir():
            raise UsageError(
                f"The workspace {workspace} of episode {episode.id} is not there. Put it back, then undo."
            )
        return [FileChange(path=change.path, action=change.action, diff=change.diff) for change in found]

    def undo(self, episode: Episode) -> list[FileChange]:
        """Take it back; returns what changed. Raises UsageError when there is nothing to take back."""
        changes = self.changes(episode)
        if not changes:
            raise UsageError(f"Episode {episode.id} changed nothing in its workspace, or was undone already.")
        assert episode.workspace is not None
        self._kept(episode).undo(Path(episode.workspace))
        return changes

    def settle(self, episode: Episode) -> None:
        """Note what a cut-off command changed, so that later edits do not count as the episode's."""
        if episode.workspace is not None and Path(episode.workspace).is_dir():
            self._kept(episode).settle(Path(episode.workspace))

    def _kept(self, episode: Episode) -> Preimages:
        return Preimages(self._home.preimages / episode.id)
