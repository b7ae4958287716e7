"""`python -m agent.host_process HOME`: owns a home in the background and serves it to the app.

While it runs the nights come by the clock. It ends by itself once its last client has left and neither a
task nor a night is running; SIGTERM ends it after interrupting what runs.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

from agent.build import build_runtime
from agent.config import load_settings
from agent.errors import NightSchoolError
from agent.home import Home, OwnerLock
from agent.host import Host
from agent.learning_calls import NightRequest
from agent.night_clock import NightClock

# long enough for a client that was started together with this process, or that reconnects
_LINGER_SECONDS = 10.0


async def serve(home: Home, lock: OwnerLock) -> None:
    """Serve until nobody needs it."""
    settings = load_settings(home.root)
    runtime = build_runtime(home, settings, lock)
    host = Host(runtime, home)
    clock = NightClock(
        settings.sleep,
        begin=lambda: runtime.sleep(NightRequest()),
        last_night=lambda: runtime.last_night,
        idle_seconds=lambda: runtime.idle_seconds,
        anything_to_learn=runtime.anything_to_learn,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await host.start()
    try:
        await runtime.recover()
        clock.start()
        while not stop.is_set():
            stopped = asyncio.create_task(stop.wait())
            unneeded = asyncio.create_task(_unneeded(host))
            await asyncio.wait({stopped, unneeded}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            unneeded.cancel()
            if unneeded.done() and not unneeded.cancelled():
                break
        clock.stop()
        if stop.is_set():
            await runtime.interrupt_all()
        await runtime.drain()
    finally:
        clock.stop()
        await host.stop()
        await runtime.close()


async def _unneeded(host: Host) -> None:
    """Return once nobody has been connected for a while."""
    while True:
        await host.wait_alone()
        await asyncio.sleep(_LINGER_SECONDS)
        if not host.clients:
            return


def main() -> None:
    """Entry point."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    home = Home(Path(sys.argv[1]))
    try:
        home.create()
        lock = OwnerLock.acquire(home)
        if lock is not None:
            asyncio.run(serve(home, lock))
    except NightSchoolError as error:
        sys.exit(f"nightschool: {error}")


if __name__ == "__main__":
    main()
