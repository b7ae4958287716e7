"""The learning half of a runtime that another process owns; a part of `agent.client.RemoteRuntime`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

from agent.learning_calls import Forgetting, NightPlan, NightReport, NightRequest, RollbackPlan
from memory.learning import AdapterCard, Lesson, LessonState, Snapshot


class RemoteLearning(ABC):
    """Meets `agent.learning_calls.LearningCalls` by calls that travel."""

    @abstractmethod
    async def _call(self, method: str, **arguments: Any) -> Any:
        """Make one call and return its result."""

    async def sleep(self, request: NightRequest) -> str:
        night: str = await self._call("sleep", request=request)
        return night

    async def stop_sleep(self) -> bool:
        stopped: bool = await self._call("stop_sleep")
        return stopped

    async def plan_night(self) -> NightPlan:
        plan: NightPlan = await self._call("plan_night")
        return plan

    async def report(self, night: str | None = None) -> NightReport:
        card: NightReport = await self._call("report", night=night)
        return card

    async def reports(self, limit: int = 30) -> list[NightReport]:
        cards: list[NightReport] = await self._call("reports", limit=limit)
        return cards

    async def lessons(self, state: LessonState | None = None) -> list[Lesson]:
        found: list[Lesson] = await self._call("lessons", state=state)
        return found

    async def lesson(self, lesson_id: str) -> Lesson:
        found: Lesson = await self._call("lesson", lesson_id=lesson_id)
        return found

    async def review(self, ids: tuple[str, ...], approve: bool) -> list[Lesson]:
        changed: list[Lesson] = await self._call("review", ids=ids, approve=approve)
        return changed

    async def edit_lesson(self, lesson_id: str, statement: str) -> Lesson:
        edited: Lesson = await self._call("edit_lesson", lesson_id=lesson_id, statement=statement)
        return edited

    async def learned(self) -> list[str]:
        ids: list[str] = await self._call("learned")
        return ids

    async def adapters(self) -> list[AdapterCard]:
        cards: list[AdapterCard] = await self._call("adapters")
        return cards

    async def activate_adapter(self, adapter: str | None) -> AdapterCard | None:
        card: AdapterCard | None = await self._call("activate_adapter", adapter=adapter)
        return card

    async def export_adapter(self, adapter: str, form: Literal["peft", "merged"], path: str) -> str:
        folder: str = await self._call("export_adapter", adapter=adapter, form=form, path=path)
        return folder

    async def snapshot(self, name: str = "") -> Snapshot:
        taken: Snapshot = await self._call("snapshot", name=name)
        return taken

    async def snapshots(self) -> list[Snapshot]:
        found: list[Snapshot] = await self._call("snapshots")
        return found

    async def rollback(self, snapshot: str = "last", dry_run: bool = False) -> RollbackPlan:
        plan: RollbackPlan = await self._call("rollback", snapshot=snapshot, dry_run=dry_run)
        return plan

    async def forget(self, name: str, dry_run: bool = False) -> Forgetting:
        taken: Forgetting = await self._call("forget", name=name, dry_run=dry_run)
        return taken
