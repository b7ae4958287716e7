"""`nightschool bench tasks`: which of the twenty tasks a model finishes, through the product's runtime."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from agent.calls import RuntimeCalls, TaskRequest
from agent.config import Settings
from agent.connect import open_runtime
from agent.events import RunFinished
from benchmarks.task_list import TASKS, BenchTask


async def run_tasks(settings: Settings, only: frozenset[str] = frozenset()) -> AsyncIterator[dict[str, Any]]:
    """One row a task, in a fresh home without recall between tasks: name, kind, done (by the check),
    outcome, reason, answer, steps, tokens, seconds, and the tokens prefilled at each step."""
    memory = settings.memory.model_copy(update={"recall_tokens": 0})
    settings = settings.model_copy(update={"memory": memory})
    with tempfile.TemporaryDirectory(prefix="nightschool-tasks-") as folder:
        async with open_runtime(Path(folder) / "home", settings) as runtime:
            for task in TASKS:
                if only and task.name not in only:
                    continue
                workspace = _lay_out(Path(folder), task)
                episode_id = await runtime.submit(
                    TaskRequest(text=task.text, workspace=str(workspace), approve="deny")
                )
                end = await _end(runtime, episode_id)
                episode = await runtime.episode(episode_id)
                yield {
                    "name": task.name,
                    "kind": task.kind,
                    "done": task.check(workspace, end.answer),
                    "outcome": end.outcome,
                    "reason": end.reason,
                    "answer": end.answer,
                    "steps": end.steps,
                    "generated": end.tokens.generated,
                    "prompt": [step.usage.prompt for step in episode.steps],
                    "prefilled": [step.usage.prefilled for step in episode.steps],
                    "seconds": round(end.seconds, 1),
                }


async def _end(runtime: RuntimeCalls, episode_id: str) -> RunFinished:
    async for event in runtime.events(episode_id):
        if isinstance(event, RunFinished) and event.episode_id == episode_id:
            return event
    raise AssertionError("an event stream never ends by itself")


def sum_up(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many were done, in all and by kind."""
    kinds = sorted({row["kind"] for row in rows})
    return {
        "n": len(rows),
        "done": sum(row["done"] for row in rows),
        "by_kind": {kind: sum(row["done"] for row in rows if row["kind"] == kind) for kind in kinds},
        "seconds": sum(row["seconds"] for row in rows),
    }


def _lay_out(folder: Path, task: BenchTask) -> Path:
    workspace = folder / task.name
    workspace.mkdir()
    for name, text in task.files.items():
        (workspace / name).write_text(text, encoding="utf-8")
    return workspace
