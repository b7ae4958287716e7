"""One conversation from this side: which episode it is, and the messages that wait to be sent.

A message is sent only when the model is ready and the turn before it is over, so the order typed is
the order answered, and nothing typed is lost to a slow start or a broken connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tui.files import attached
from tui.state import EpisodeView, View

if TYPE_CHECKING:
    from agent.calls import RuntimeCalls


@dataclass
class Conversation:
    """What is said lives in the view; this is what still waits."""

    workspace: Path | None
    """Folder the agent works in; None makes a fresh one for each conversation."""
    episode_id: str | None = None
    """The episode, once the first message was sent."""
    waiting: list[str] = field(default_factory=list)
    """Messages to send, oldest first."""
    sent: str | None = None
    """Sent, but not yet taken on."""
    _turns_before: int = 0

    def seen(self, view: View) -> EpisodeView | None:
        """The episode in the view; notices that a sent message was taken on."""
        episode = view.episode(self.episode_id)
        if self.sent is not None and episode is not None and len(episode.turns) > self._turns_before:
            self.sent = None
        return episode

    def running(self, view: View) -> bool:
        """Whether a turn is under way or about to be."""
        episode = self.seen(view)
        return self.sent is not None or (episode is not None and episode.running)

    async def send_next(self, calls: RuntimeCalls, view: View) -> None:
        """Send the oldest message. On any error it is back at the head of the queue."""
        from agent.calls import TaskRequest

        episode = self.seen(view)
        text = self.waiting.pop(0)
        self.sent, self._turns_before = text, len(episode.turns) if episode else 0
        try:
            self.episode_id = await calls.submit(
                TaskRequest(
                    text=text,
                    kind="conversation",
                    workspace=str(self.workspace) if self.workspace else None,
                    continue_episode=self.episode_id,
                    approve="ask",
                    attachments=attached(text, self.workspace) if self.workspace else (),
                )
            )
        except BaseException:
            self.sent = None
            self.waiting.insert(0, text)
            raise

    def take_back(self) -> str | None:
        """The newest waiting message, taken out of the queue."""
        return self.waiting.pop() if self.waiting else None

    def unsent(self) -> None:
        """The connection broke: what was sent but not taken on has to be sent again."""
        if self.sent is not None:
            self.waiting.insert(0, self.sent)
            self.sent = None
