"""When the nights come."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from agent.config import SleepSettings
from agent.errors import ConfigError, UsageError
from agent.night_clock import NightClock


class Bed:
    """Counts the nights that a clock began."""

    def __init__(self, now: datetime = datetime(2031, 5, 6, 12, 0, tzinfo=UTC)) -> None:
        self.now = now
        self.last: datetime | None = None
        self.idle = 0.0
        self.work = True
        self.nights = 0
        self.busy = False

    async def begin(self) -> None:
        if self.busy:
            raise UsageError("A night is running.")
        self.nights += 1
        self.last = self.now

    async def anything(self) -> bool:
        return self.work

    def clock(self, **settings: object) -> NightClock:
        return NightClock(
            SleepSettings(**settings),  # type: ignore[arg-type]
            begin=self.begin,
            last_night=lambda: self.last,
            idle_seconds=lambda: self.idle,
            anything_to_learn=self.anything,
            now=lambda: self.now,
        )


async def test_a_ring_begins_a_night_if_there_is_something_to_learn() -> None:
    bed = Bed()
    clock = bed.clock()
    await clock.ring()
    assert bed.nights == 1
    bed.work = False
    await clock.ring()
    assert bed.nights == 1


async def test_a_night_that_runs_already_is_left_alone() -> None:
    bed = Bed()
    bed.busy = True
    await bed.clock().ring()
    assert bed.nights == 0


@pytest.mark.parametrize(
    ("hours", "at", "begins"),
    [
        ("09:00-18:00", 12, False),
        ("09:00-18:00", 18, True),
        ("22:00-06:00", 23, False),
        ("22:00-06:00", 3, False),
        ("22:00-06:00", 12, True),
    ],
)
async def test_no_night_begins_in_quiet_hours(hours: str, at: int, begins: bool) -> None:
    bed = Bed(datetime(2031, 5, 6, at, 0, tzinfo=UTC))
    await bed.clock(quiet_hours=hours).ring()
    assert bed.nights == begins


async def test_idle_time_begins_a_night() -> None:
    bed = Bed()
    clock = bed.clock(idle_minutes=30)
    bed.idle = 29 * 60
    await clock.look()
    assert bed.nights == 0
    bed.idle = 30 * 60
    await clock.look()
    assert bed.nights == 1


async def test_a_missed_night_is_caught_up_once() -> None:
    bed = Bed()
    bed.last = bed.now - timedelta(days=3)
    clock = bed.clock(schedule="30 2 * * *")
    assert clock.missed()
    for _ in range(2):
        clock.start()
        await asyncio.sleep(0.05)
        clock.stop()
    assert bed.nights == 1 and not clock.missed()


async def test_nothing_is_missed_before_the_next_time_or_without_a_schedule() -> None:
    bed = Bed()
    bed.last = bed.now - timedelta(hours=1)
    assert not bed.clock(schedule="30 2 * * *").missed()
    bed.last = bed.now - timedelta(days=300)
    assert not bed.clock(schedule="").missed()


def test_the_next_night_is_known() -> None:
    upcoming = Bed().clock(schedule="30 2 * * *").next_night
    assert upcoming is not None and (upcoming.hour, upcoming.minute) == (2, 30)
    assert Bed().clock(schedule="").next_night is None


@pytest.mark.parametrize(
    "wrong", [{"schedule": "now and then"}, {"schedule": "0 0 31 2 *"}, {"quiet_hours": "9 to 5"}]
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"sleep\."):
        Bed().clock(**wrong)
