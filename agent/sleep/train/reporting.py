"""Progress lines of one run, and its clock."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from agent.sleep.items import TrainProgress
from agent.sleep.train.state import Standing

# Steps over which tokens per second are taken.
_WINDOW = 20


class Reporter:
    """Says where a run stands."""

    def __init__(self, report: Callable[[TrainProgress], None]) -> None:
        self._report = report
        self._began = time.monotonic()
        self._recent: deque[tuple[int, float]] = deque(maxlen=_WINDOW)
        self.earlier = 0.0
        """Seconds of earlier runs of the same job."""

    @property
    def seconds(self) -> float:
        """Wall-clock time, earlier runs included."""
        return self.earlier + time.monotonic() - self._began

    def say(
        self,
        kind: Literal["preparing", "step", "checkpoint"],
        standing: Standing,
        text: str = "",
        *,
        loss: float = 0.0,
        steps: int = 0,
        known: int = 0,
        lessons: int = 0,
    ) -> None:
        """One line; `steps` is how many are still to come at most."""
        if kind == "step":
            self._recent.append((standing.tokens, time.monotonic()))
        speed = 0.0
        if len(self._recent) > 1:
            (first, begin), (last, end) = self._recent[0], self._recent[-1]
            speed = (last - first) / max(1e-6, end - begin)
        self._report(
            TrainProgress(
                kind=kind,
                text=text,
                loss=loss,
                step=standing.step,
                steps=standing.step + steps,
                tokens=standing.tokens,
                tokens_per_second=round(speed, 1),
                known=known,
                lessons=lessons,
                seconds=round(self.seconds, 2),
            )
        )
