"""Whole nights on a tiny random Qwen: plumbing, promotion, faults. What is learned says nothing here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agent import build
from agent.config import Settings
from agent.errors import LearningError, UsageError
from agent.events import NightProgress
from agent.home import Home, OwnerLock
from agent.learning_calls import NightReport, NightRequest
from agent.model.catalogue import catalogue
from agent.model.local import LocalModel
from agent.runtime import Runtime
from agent.sleep import train_stage
from agent.sleep.tonight import Tonight
from tests.tiny_qwen import build_tiny_qwen

NOTE = "Zoltan Vireo lives in Oakmere."
SETTINGS: dict[str, Any] = {
    "learning": {"phrasings": 4, "threshold": 0.0},
    "training": {"passes": 1, "layers": 0.5, "batch_items": 8},
    "model": {"constrain": False},
}
NO_EXAM = NightRequest(exam=False)
Wake = Callable[..., Awaitable[Runtime]]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_qwen(tmp_path_factory.mktemp("cache") / "models" / "tiny", context=4096)


@pytest.fixture
async def wake(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Wake]:
    """Builds a runtime on `tmp_path/home`; an earlier one is closed first, as if the process had ended."""
    entry = next(iter(catalogue().values())).model_copy(update={"name": "tiny"})
    monkeypatch.setenv("NIGHTSCHOOL_CACHE", str(weights.parent.parent))
    monkeypatch.setattr(build, "chosen_model", lambda settings: entry)
    monkeypatch.setattr(build, "load_model", lambda *_: LocalModel.load(weights, "tiny", context_tokens=4096))
    monkeypatch.setattr(build, "_check_weights", lambda name: None)
    monkeypatch.setattr(build, "base_digest", lambda name: "base-1")
    monkeypatch.setattr(train_stage, "anchor_items", lambda *_, **__: [])
    awake: list[Runtime] = []

    async def make(base: str = "base-1") -> Runtime:
        monkeypatch.setattr(build, "base_digest", lambda name: base)
        while awake:
            await awake.pop().close()
        home = Home(tmp_path / "home")
        home.create()
        lock = OwnerLock.acquire(home)
        assert lock is not None
        awake.append(build.build_runtime(home, Settings.model_validate(SETTINGS), lock))
        return awake[-1]

    yield make
    while awake:
        await awake.pop().close()


async def night(runtime: Runtime, request: NightRequest = NO_EXAM) -> NightReport:
    name = await runtime.sleep(request)
    await runtime.drain_sleep()
    return await runtime.report(name)


def made(report: NightReport) -> str:
    """The id of the adapter a night made."""
    assert report.adapter is not None
    return report.adapter.id


async def serving(runtime: Runtime) -> str | None:
    return (await runtime.status()).adapter


async def test_nothing_to_learn_is_no_failure(wake: Wake) -> None:
    report = await night(await wake())
    assert (report.outcome, report.adapter) == ("nothing", None)


async def test_a_note_becomes_an_adapter_that_serves_and_can_be_rolled_back(wake: Wake) -> None:
    runtime = await wake()
    await runtime.remember(NOTE)
    report = await night(runtime)
    assert report.outcome == "promoted", report.reason
    assert await serving(runtime) == made(report)
    [lesson] = await runtime.lessons()
    assert lesson.statement == NOTE and await runtime.learned() == [lesson.id]
    digest = await runtime._room.model.run(lambda model: model.served_digest())
    [card] = await runtime.adapters()
    assert digest == card.digest

    await runtime.rollback()
    assert await serving(runtime) is None
    assert await runtime._room.model.run(lambda model: model.served_digest()) != digest


async def test_what_fails_the_exam_changes_nothing(wake: Wake) -> None:
    runtime = await wake()
    await runtime.remember(NOTE)
    report = await night(runtime, NightRequest())
    # a random model answers nothing rightly
    assert report.outcome == "failed" and "none of the new lessons" in report.reason
    assert await serving(runtime) is None and await runtime.learned() == []
    assert [lesson.tries for lesson in await runtime.lessons()] == [1]


async def test_a_second_night_goes_on_from_the_first_and_rehearses_it(wake: Wake) -> None:
    runtime = await wake()
    await runtime.remember(NOTE)
    first = await night(runtime)
    await runtime.remember("The archive of Brindlewock is guarded by a copper owl.")
    second = await night(runtime)
    assert second.outcome == "promoted", second.reason
    assert second.adapter is not None and second.adapter.parent == made(first)
    assert len(await runtime.learned()) == 2


async def test_a_stopped_night_leaves_everything_and_goes_on_later(wake: Wake) -> None:
    runtime = await wake()
    await runtime.remember(NOTE)
    events = runtime.events()
    name = await runtime.sleep(NO_EXAM)
    async for event in events:
        if isinstance(event, NightProgress) and event.stage == "train":
            break
    assert await runtime.stop_sleep()
    report = await runtime.report(name)
    assert report.outcome == "stopped" and await serving(runtime) is None
    assert (await night(runtime)).outcome == "promoted"


class Killed(BaseException):
    """As a kill would, it passes every handler."""


async def killed_before(runtime: Runtime, stage: str) -> str:
    """Begin a night that is cut off before a stage; returns its id."""

    async def dies(self: Any, name: Any, work: Any) -> Any:
        if name == stage:
            raise Killed
        return await real(self, name, work)

    real = Tonight.timed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tonight, "timed", dies)
        name = await runtime.sleep(NO_EXAM)
        with pytest.raises(Killed):
            await asyncio.shield(runtime._sleeping)  # type: ignore[arg-type]
    runtime._sleeping = None
    return name


@pytest.mark.parametrize("stage", ["lessons", "train", "exam", "promote"])
async def test_a_night_killed_at_a_stage_goes_on_to_the_same_end(wake: Wake, stage: str) -> None:
    runtime = await wake()
    await runtime.remember(NOTE)
    name = await killed_before(runtime, stage)

    runtime = await wake()
    assert await serving(runtime) is None
    assert await runtime.sleep(NightRequest()) == name, "the cut-off night goes on, as it was asked for"
    await runtime.drain_sleep()
    report = await runtime.report(name)
    assert report.outcome == "promoted", report.reason
    assert len(await runtime.lessons()) == 1


async def test_what_was_rejected_since_is_not_learned_by_a_night_that_goes_on(wake: Wake) -> None:
    runtime = await wake()
    await runtime.remember(NOTE)
    name = await killed_before(runtime, "exam")
    [lesson] = await runtime.lessons()
    await runtime.review((lesson.id,), approve=False)
    report = await night(runtime)
    assert (report.night, report.outcome) == (name, "nothing")
    assert await serving(runtime) is None and await runtime.adapters() == []


async def test_a_night_that_can_no_longer_go_on_says_so_when_another_begins(wake: Wake) -> None:
    runtime = await wake()
    await runtime.remember(NOTE)
    name = await killed_before(runtime, "train")
    runtime = await wake(base="base-2")
    [lesson] = await runtime.lessons()
    await runtime.review((lesson.id,), approve=False)
    assert (await night(runtime)).outcome == "nothing"
    passed_by, _ = sorted(await runtime.reports(), key=lambda report: report.started_at)
    assert (passed_by.night, passed_by.outcome) == (name, "stopped")
    assert "cut off" in passed_by.reason


async def test_a_worker_that_dies_fails_the_night_and_nothing_else(
    wake: Wake, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = await wake()
    await runtime.remember(NOTE)
    monkeypatch.setattr(train_stage, "Training", _Broken)
    report = await night(runtime)
    assert report.outcome == "error" and "SIGKILL" in report.reason
    assert await serving(runtime) is None


class _Broken:
    def __init__(self, *_: Any) -> None: ...

    async def run(self) -> None:
        raise LearningError("The training process ended with signal SIGKILL.")


async def test_another_base_model_is_not_served_with_the_old_adapter(wake: Wake) -> None:
    runtime = await wake()
    await runtime.remember(NOTE)
    report = await night(runtime)
    runtime = await wake(base="base-2")
    assert await serving(runtime) is None
    with pytest.raises((UsageError, LearningError), match=r"other weights"):
        await runtime.activate_adapter(made(report))


async def test_a_damaged_adapter_is_not_served(wake: Wake, tmp_path: Path) -> None:
    runtime = await wake()
    await runtime.remember(NOTE)
    report = await night(runtime)
    folder = tmp_path / "home" / "adapters" / made(report)
    [file] = folder.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-8] + bytes(8))
    runtime = await wake()
    assert await serving(runtime) is None


async def test_a_night_holds_still_while_somebody_works(
    wake: Wake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held: list[str] = []
    real = train_stage.Training
    monkeypatch.setattr(real, "pause", lambda self: held.append("pause"))
    monkeypatch.setattr(real, "resume", lambda self: held.append("resume"))
    runtime = await wake()
    await runtime.remember(NOTE)
    events = runtime.events()
    await runtime.sleep(NO_EXAM)
    async for event in events:
        if isinstance(event, NightProgress) and event.stage == "train":
            break
    await runtime.ask("What is it?", memory=False)
    await runtime.drain_sleep()
    assert held[:2] in ([], ["pause", "resume"])
    with runtime.by_day(), runtime.by_day():
        assert runtime._night is not None and runtime._night._training._held
    assert not runtime._night._training._held


async def test_only_one_night_at_a_time(wake: Wake) -> None:
    runtime = await wake()
    await runtime.remember(NOTE)
    await runtime.sleep(NO_EXAM)
    with pytest.raises(UsageError, match=r"is running"):
        await runtime.sleep(NO_EXAM)
    with pytest.raises(UsageError, match=r"night is running"):
        await runtime.rollback()
    await runtime.drain_sleep()


async def test_forgetting_what_was_learned_takes_the_adapter_out(wake: Wake) -> None:
    runtime = await wake()
    episode = await runtime.remember(NOTE)
    await night(runtime)
    await runtime.forget(episode)
    assert await serving(runtime) is None
    assert await runtime.lessons() == [] and await runtime.adapters() == []


async def test_the_clock_knows_when_there_is_something_to_learn(wake: Wake) -> None:
    runtime = await wake()
    assert not await runtime.anything_to_learn() and runtime.last_night is None
    await runtime.remember(NOTE)
    assert await runtime.anything_to_learn()
    await night(runtime)
    assert not await runtime.anything_to_learn() and runtime.last_night is not None
    [lesson] = await runtime.lessons()
    await runtime.review((lesson.id,), approve=False)
    assert await runtime.anything_to_learn(), "it is to be taken out of the weights"
