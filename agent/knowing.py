"""The knowing part of the runtime: documents handed over, listed, shown, taken out, searched.

Meets `agent.knowledge_calls.KnowledgeCalls`; what each call promises is written there.
Files are added one call after the other, in a thread; everything else answers meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from agent.bus import Bus
from agent.events import Progress
from agent.knowledge_calls import KnowledgeAdded, KnownDocument
from agent.library import Library, Stopped
from memory.knowledge import Document, KnowledgeHit


class Knowing:
    """Everything about knowledge that a face may ask for."""

    def __init__(self, library: Library, bus: Bus) -> None:
        self._library = library
        self._told = bus
        self._adder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="knowledge")
        self._adding: dict[asyncio.Future[KnowledgeAdded], threading.Event] = {}

    async def knowledge_add(self, paths: tuple[str, ...], domain: str) -> KnowledgeAdded:
        stop = threading.Event()

        def going_on() -> None:
            if stop.is_set():
                raise Stopped

        def tell(path: str, done: int, total: int) -> None:
            self._told.deliver_from_anywhere(Progress(stage="knowledge", text=path, done=done, total=total))

        work = asyncio.get_running_loop().run_in_executor(
            self._adder, lambda: self._library.add(paths, domain, tell, going_on)
        )
        self._adding[work] = stop
        work.add_done_callback(self._done)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            raise

    def _done(self, work: asyncio.Future[KnowledgeAdded]) -> None:
        del self._adding[work]
        if not work.cancelled():
            # one that nobody waits for any more would be reported as never retrieved
            work.exception()

    async def knowledge(self, domain: str | None = None) -> list[Document]:
        return await asyncio.to_thread(lambda: self._library.documents(domain))

    async def knowledge_show(
        self, name: str, folder: str, domain: str | None = None, version: int | None = None
    ) -> KnownDocument:
        return await asyncio.to_thread(lambda: self._library.show(name, folder, domain, version))

    async def knowledge_remove(
        self, names: tuple[str, ...], folder: str, domain: str | None = None
    ) -> list[Document]:
        return await asyncio.to_thread(lambda: self._library.remove(names, folder, domain))

    async def knowledge_search(
        self, text: str, limit: int = 10, domain: str | None = None, every_version: bool = False
    ) -> list[KnowledgeHit]:
        return await asyncio.to_thread(lambda: self._library.search(text, limit, domain, every_version))

    @property
    def adds(self) -> bool:
        """Whether files are being added."""
        return bool(self._adding)

    def stop_adding(self) -> None:
        """Stop soon; what was added stays."""
        for stop in self._adding.values():
            stop.set()

    async def drain_adding(self) -> None:
        """Wait until nothing is being added."""
        if self._adding:
            await asyncio.wait(set(self._adding))
