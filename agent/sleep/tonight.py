"""What the stages of one night share: what they work with, how the night was asked for, what it has spent."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agent.events import NightProgress, NightStage
from agent.learning_calls import NightRequest
from agent.sleep.bedroom import Bedroom
from agent.sleep.borrowed import BorrowedModel, NightStopped
from agent.sleep.folder import NightFolder, Spent

_T = TypeVar("_T")


class Tonight:
    """One night under way."""

    def __init__(self, room: Bedroom, folder: NightFolder, request: NightRequest) -> None:
        self.room = room
        self.folder = folder
        self.request = request
        self.stages: dict[str, float] = dict(folder.spent.stages)
        """Seconds of each stage so far, those of an earlier process included."""
        self.tokens: dict[str, int] = {"generated": 0, "teacher": 0, "trained": 0, **folder.spent.tokens}
        """Likewise."""
        self._began = time.monotonic()
        self._stopped = False
        self._borrowed: BorrowedModel | None = None

    @property
    def id(self) -> str:
        """The night's id."""
        return self.folder.night

    @property
    def seed(self) -> int:
        """Of everything that is drawn."""
        return self.room.settings.training.seed if self.request.seed is None else self.request.seed

    @property
    def distils(self) -> bool:
        """Whether it trains everything learned into a fresh `core` adapter."""
        if self.request.distill is not None:
            return self.request.distill
        every = self.room.settings.sleep.distill_every
        return bool(every) and self.room.state.nights_since_core >= every

    @property
    def starts_fresh(self) -> bool:
        """Whether it trains from the base instead of from the adapter in service."""
        return self.distils or self.request.method == "joint"

    @property
    def minutes(self) -> float:
        """Its time budget; 0 for none."""
        asked = self.request.max_minutes
        return self.room.settings.sleep.max_minutes if asked is None else asked

    @property
    def seconds(self) -> float:
        """Since this process began with it."""
        return time.monotonic() - self._began

    @property
    def model(self) -> BorrowedModel:
        """The model, for one call at a time; there once it was borrowed."""
        assert self._borrowed is not None
        return self._borrowed

    async def borrow(self) -> None:
        """Load the model. Raises ModelError."""
        await self.room.model.load()
        self._borrowed = BorrowedModel(self.room.model, lambda: self.room.serving.folder)

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopped

    def stop(self) -> None:
        """Have the next call of the model, and the next stage, raise NightStopped."""
        self._stopped = True
        if self._borrowed is not None:
            self._borrowed.stop()

    def go_on(self) -> None:
        """Raises NightStopped when it was asked to stop while nothing was running that could be cut off."""
        if self._stopped:
            raise NightStopped

    async def timed(self, stage: NightStage, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do a stage; what it cost is kept however it ends."""
        self.go_on()
        self.tell(stage, "")
        began = time.monotonic()
        try:
            return await work()
        finally:
            self.stages[stage] = self.stages.get(stage, 0.0) + time.monotonic() - began
            self._count_tokens()
            self.folder.spend(Spent(stages=self.stages, tokens=self.tokens))

    def tell(self, stage: NightStage, text: str, done: float = 0, total: float = 0) -> None:
        """Progress, for whoever watches; from any thread."""
        event = NightProgress(night=self.id, stage=stage, text=text, done=done, total=total)
        self.room.bus.deliver_from_anywhere(event)

    def _count_tokens(self) -> None:
        if self._borrowed is not None:
            self.tokens["generated"] += self._borrowed.generated
            self.tokens["read"] = self.tokens.get("read", 0) + self._borrowed.read
            self._borrowed.generated = self._borrowed.read = 0
