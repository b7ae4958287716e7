"""When the nights are: by the clock, when nothing is done, and once for a night that was missed.

APScheduler only rings; whether a night ran is known from the nights' own folders. Nothing here wakes up but
for the next ring, and idle time is looked at once a minute only where the settings ask for it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, time, timedelta
from typing import Any

from agent.config import SleepSettings
from agent.errors import ConfigError, NightSchoolError

log = logging.getLogger(__name__)

_IDLE_LOOK_SECONDS = 60


class NightClock:
    """Rings for the nights of one runtime."""

    def __init__(
        self,
        settings: SleepSettings,
        *,
        begin: Callable[[], Awaitable[object]],
        last_night: Callable[[], datetime | None],
        idle_seconds: Callable[[], float],
        anything_to_learn: Callable[[], Awaitable[bool]],
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        """`begin` starts a night; `last_night` says when the latest began, None if there was none;
        `idle_seconds` since the latest work. Raises ConfigError for a schedule that makes no sense."""
        self._settings = settings
        self._begin = begin
        self._last_night = last_night
        self._idle_seconds = idle_seconds
        self._anything = anything_to_learn
        self._now = now
        self._quiet = quiet_hours(settings.quiet_hours)
        self._trigger = cron_trigger(settings.schedule)
        self._scheduler: Any = None

    def start(self) -> None:
        """Begin to listen for rings. Needs a running event loop."""
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        self._scheduler = AsyncIOScheduler()
        if self._trigger is not None:
            self._scheduler.add_job(self.ring, self._trigger, max_instances=1, coalesce=True)
        if self._settings.idle_minutes:
            self._scheduler.add_job(
                self.look, "interval", seconds=_IDLE_LOOK_SECONDS, max_instances=1, coalesce=True
            )
        self._scheduler.start()
        if self.missed():
            self._scheduler.add_job(self.ring)

    def stop(self) -> None:
        """Stop listening."""
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
            self._scheduler = None

    @property
    def next_night(self) -> datetime | None:
        """When the clock rings next; None without a schedule."""
        if self._trigger is None:
            return None
        found: datetime | None = self._trigger.get_next_fire_time(None, self._now())
        return found

    def missed(self) -> bool:
        """Whether a scheduled night should have begun since the latest one and did not."""
        last = self._last_night()
        if self._trigger is None or last is None:
            return False
        due = self._trigger.get_next_fire_time(None, last + timedelta(seconds=1))
        return due is not None and due <= self._now()

    async def ring(self) -> None:
        """Begin a night unless these are quiet hours or there is nothing to learn."""
        if self._in_quiet_hours():
            log.info("no night now: quiet hours (%s)", self._settings.quiet_hours)
            return
        try:
            if await self._anything():
                await self._begin()
        except NightSchoolError as error:
            # one is running already, or the model is not there: the next ring comes
            log.warning("no night now: %s", error)

    async def look(self) -> None:
        """Begin a night if nothing was done for long enough."""
        if self._idle_seconds() >= self._settings.idle_minutes * 60:
            await self.ring()

    def _in_quiet_hours(self) -> bool:
        if self._quiet is None:
            return False
        begins, ends = self._quiet
        at = self._now().time().replace(tzinfo=None)
        return begins <= at < ends if begins <= ends else at >= begins or at < ends


def cron_trigger(schedule: str) -> Any:
    """APScheduler's trigger of five cron fields, None for an empty text. Raises ConfigError."""
    if not schedule.strip():
        return None
    from apscheduler.triggers.cron import CronTrigger

    try:
        trigger = CronTrigger.from_crontab(schedule)
        never = trigger.get_next_fire_time(None, datetime.now().astimezone()) is None
    except ValueError as error:
        raise ConfigError(
            f"sleep.schedule cannot be `{schedule}`: {error}. Give five cron fields, such as `30 2 * * *`."
        ) from error
    if never:
        raise ConfigError(f"sleep.schedule `{schedule}` never comes. Give a date that exists.")
    return trigger


def quiet_hours(text: str) -> tuple[time, time] | None:
    """`09:00-18:00` to its two times, None for an empty text. Raises ConfigError."""
    if not text.strip():
        return None
    begins, dash, ends = text.partition("-")
    try:
        if not dash:
            raise ValueError
        return time.fromisoformat(begins.strip()), time.fromisoformat(ends.strip())
    except ValueError as error:
        raise ConfigError(
            f"sleep.quiet_hours cannot be `{text}`. Give two times, such as `09:00-18:00`."
        ) from error
