"""Blocking work is finished before a cancellation goes on."""

from __future__ import annotations

import asyncio
import threading

import pytest

from skills.threads import to_the_end


async def test_the_result_and_the_error_come_back() -> None:
    assert await to_the_end(divmod, 7, 3) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        await to_the_end(divmod, 1, 0)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancellation_waits_for_the_thread(fails: bool) -> None:
    began, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        go_on.wait(20)
        done.set()
        if fails:
            raise OSError("too late to matter")

    task = asyncio.create_task(to_the_end(work))
    await asyncio.to_thread(began.wait, 20)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()
