"""The knowing part of a runtime that another process owns; a part of `agent.client.RemoteRuntime`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from agent.knowledge_calls import KnowledgeAdded, KnownDocument, SourcedAnswer
from memory.knowledge import Document, KnowledgeHit


class RemoteKnowing(ABC):
    """Meets `agent.knowledge_calls.KnowledgeCalls` by calls that travel."""

    @abstractmethod
    async def _call(self, method: str, **arguments: Any) -> Any:
        """Make one call and return its result."""

    async def knowledge_add(self, paths: tuple[str, ...], domain: str) -> KnowledgeAdded:
        added: KnowledgeAdded = await self._call("knowledge_add", paths=paths, domain=domain)
        return added

    async def knowledge(self, domain: str | None = None) -> list[Document]:
        found: list[Document] = await self._call("knowledge", domain=domain)
        return found

    async def knowledge_show(
        self, name: str, folder: str, domain: str | None = None, version: int | None = None
    ) -> KnownDocument:
        shown: KnownDocument = await self._call(
            "knowledge_show", name=name, folder=folder, domain=domain, version=version
        )
        return shown

    async def knowledge_remove(
        self, names: tuple[str, ...], folder: str, domain: str | None = None
    ) -> list[Document]:
        taken: list[Document] = await self._call(
            "knowledge_remove", names=names, folder=folder, domain=domain
        )
        return taken

    async def knowledge_search(
        self, text: str, limit: int = 10, domain: str | None = None, every_version: bool = False
    ) -> list[KnowledgeHit]:
        hits: list[KnowledgeHit] = await self._call(
            "knowledge_search", text=text, limit=limit, domain=domain, every_version=every_version
        )
        return hits

    async def knowledge_ask(
        self, question: str, memory: bool = True, domains: tuple[str, ...] = (), fresh: bool = False
    ) -> SourcedAnswer:
        answer: SourcedAnswer = await self._call(
            "knowledge_ask", question=question, memory=memory, domains=domains, fresh=fresh
        )
        return answer
