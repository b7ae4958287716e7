"""What a runtime is made of; wired in `agent.build`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.approval import Approver
from agent.archive import Archive
from agent.bus import Bus
from agent.calls import TaskRequest
from agent.config import Settings
from agent.events import Progress
from agent.forget import Forget
from agent.home import Home
from agent.keeping import Keeper
from agent.library import Library
from agent.model.thread import ModelThread
from agent.pending import Pending
from agent.sleep.bedroom import Bedroom
from memory.answers import AnswerStore
from sandbox.base import Sandbox
from skills.registry import Registry


@dataclass
class Parts:
    """Everything one runtime works with."""

    home: Home
    settings: Settings
    model_name: str
    check_model: Callable[[], None]
    """Raises ModelError when the weights are not there."""
    model: ModelThread
    registry: Registry
    sandbox: Sandbox
    bus: Bus
    archive: Archive
    pending: Pending
    approver: Callable[[TaskRequest], Approver]
    """The chain of approvers for one task."""
    bedroom: Bedroom
    """What nights work with."""
    library: Library
    """The documents."""
    answers: AnswerStore
    """Answers from documents, kept."""
    known_state: Callable[[], str]
    """Names what is known now, episodes included."""
    forgetter: Forget
    """Forgets for good."""
    keeper: Keeper
    """Looks into snapshots and lets them go."""
    on_close: Callable[[], None]
    """Lets the home go."""

    @property
    def serving(self) -> str | None:
        """The adapter in service; None is the base model alone."""
        card = self.bedroom.serving.card
        return card.id if card else None

    async def load_model(self) -> None:
        """Load the weights unless they are there, and say so. Raises ModelError."""
        if self.model.state == "ready":
            return
        self.bus.deliver(Progress(stage="loading", text=f"Loading {self.model_name}"))
        await self.model.load()
        self.bus.deliver(Progress(stage="loading", text=f"{self.model_name} is ready", done=1, total=1))
