"""The worker process: it learns, keeps, stops, resumes to the same digest, and fails in one sentence."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from agent.errors import LearningError
from agent.model.base import GenerateRequest, ScoreRequest
from agent.model.local import LocalModel
from agent.sleep.items import TrainItem, TrainJob, TrainProgress
from agent.sleep.train import state
from agent.sleep.training import Training, scale_adapter, train
from memory.adapter_files import adapter_digest, read_config, read_tensors
from tests.agent.sleep.conftest import facts, item

_PARENT = """
import asyncio, sys
from pathlib import Path

from agent.sleep import training
from agent.sleep.items import TrainItem, TrainJob

job, items, folder = map(Path, sys.argv[1:])
lines = [TrainItem.model_validate_json(line) for line in items.read_text().splitlines()]
wanted = TrainJob.model_validate_json(job.read_text())
one = training.Training(folder, wanted, lines, lambda said: print(said.step, flush=True))
if PAUSED:
    one.pause()
asyncio.run(one.run())
"""


def _anchors(base: Path) -> list[TrainItem]:
    """What the base itself says to a few prompts."""
    model = LocalModel.load(base, base.name, pack=False)
    made = []
    for number, question in enumerate(("Hello there", "def main", "Tell me about 123", "Größe?")):
        asked = item(f"a{number}", question, "", role="anchor")
        end = model.generate_batch([GenerateRequest(messages=asked.messages, max_tokens=8)])[0]
        made.append(asked.model_copy(update={"answer": end.text}))
    return made


def _answers(base: Path, adapter: Path | None, items: Sequence[TrainItem]) -> list[str]:
    model = LocalModel.load(base, base.name, pack=False)
    model.activate(adapter)
    requests = [GenerateRequest(messages=one.messages, max_tokens=8) for one in items]
    return [end.text.removesuffix("<|im_end|>") for end in model.generate_batch(requests)]


async def test_a_night_learns_and_keeps_old_lessons_and_anchors(job: TrainJob, tmp_path: Path) -> None:
    first, second = facts(3), facts(3, prefix="m")
    anchors = _anchors(job.base)
    said: list[TrainProgress] = []
    one = await train(tmp_path / "one", job, [*first, *anchors], said.append)
    losses = [progress.loss for progress in said if progress.kind == "step"]
    assert losses[-1] < losses[0] / 3
    assert said[-1].kind == "done"
    assert set(one.known) == {"n0", "n1", "n2"}
    assert one.tokens > 0 and one.steps == len(losses) and one.teacher_tokens > 0
    assert one.digest == adapter_digest(tmp_path / "one/adapter")
    assert read_config(tmp_path / "one/adapter")["base_model_name_or_path"] == job.base.name
    assert _answers(job.base, tmp_path / "one/adapter", first) == [one.answer for one in first]

    old = [one.model_copy(update={"role": "rehearsal"}) for one in first]
    job = job.model_copy(update={"start": tmp_path / "one/adapter", "cache": tmp_path / "cache"})
    two = await train(tmp_path / "two", job, [*second, *old, *anchors])
    adapter = tmp_path / "two/adapter"
    assert set(two.known) == {"m0", "m1", "m2"}
    assert _answers(job.base, adapter, [*first, *second]) == [one.answer for one in [*first, *second]]
    assert list((tmp_path / "cache").rglob("*.safetensors"))

    settings = job.settings.model_copy(update={"method": "naive", "first_layer": 2})
    plain = job.model_copy(update={"start": None, "settings": settings})
    await train(tmp_path / "plain", plain, second)
    held, free = (_distance(job.base, one, anchors) for one in (adapter, tmp_path / "plain/adapter"))
    assert held < free / 3


def _distance(base: Path, adapter: Path, anchors: Sequence[TrainItem]) -> float:
    """How much less likely the base's own answers became, nats a token."""
    model = LocalModel.load(base, base.name, pack=False)
    requests = [ScoreRequest(messages=one.messages, completion=one.answer) for one in anchors]

    def mean() -> float:
        scores = model.score(requests)
        return sum(sum(one.logprobs) for one in scores) / sum(len(one.logprobs) for one in scores)

    before = mean()
    model.activate(adapter)
    return before - mean()


def _long(job: TrainJob) -> TrainJob:
    """Some sixty steps, none left out."""
    settings = job.settings.model_copy(update={"stop_probability": 2.0, "passes": 15, "batch_items": 4})
    return job.model_copy(update={"settings": settings})


def _hold(job: TrainJob) -> list[TrainItem]:
    return [*facts(3), *facts(2, role="rehearsal", prefix="o"), item("a", "Hello", "fox", role="anchor")]


async def test_killed_at_any_instant_it_goes_on_to_the_same_digest(job: TrainJob, tmp_path: Path) -> None:
    # checkpoints after every step, so that kills also hit their writing
    job = _long(job).model_copy(update={"save_seconds": 0.0})
    whole = await train(tmp_path / "whole", job, _hold(job))
    chance = random.Random(5)
    folder = tmp_path / "killed"
    for kill_at in (1, chance.randrange(4, 20), chance.randrange(20, 50)):
        lines = itertools.count()

        def kill(said: TrainProgress, at: int = kill_at, lines: itertools.count[int] = lines) -> None:
            if next(lines) == at:
                worker = _worker_of(folder)
                assert worker is not None
                os.kill(worker, signal.SIGKILL)

        with pytest.raises(LearningError, match="SIGKILL"):
            await train(folder, job, _hold(job), kill)
    resumed = await train(folder, job, _hold(job))
    assert resumed.digest == whole.digest
    assert resumed.steps == whole.steps and resumed.loss == whole.loss
    assert {path.name for path in folder.iterdir()} == {
        *("adapter", "items.jsonl", "job.json", "lock", "messages.txt", "result.json")
    }
    # a finished folder is not trained again
    assert await train(folder, job, _hold(job)) == resumed


def _worker_of(folder: Path) -> int | None:
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "agent.sleep.worker" in line and str(folder) in line:
            return int(process.pid)
    return None


async def test_cancelling_saves_and_ends_the_worker(job: TrainJob, tmp_path: Path) -> None:
    job = _long(job)
    started = asyncio.Event()
    steps: list[int] = []

    def watch(said: TrainProgress) -> None:
        steps.append(said.step)
        if said.step == 5:
            started.set()

    running = asyncio.ensure_future(train(tmp_path, job, _hold(job), watch))
    await asyncio.wait_for(started.wait(), 60)
    assert _worker_of(tmp_path) is not None
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert _worker_of(tmp_path) is None
    found = state.load_standing(tmp_path)
    assert found is not None and found.step >= 5


async def test_it_can_be_paused(job: TrainJob, tmp_path: Path) -> None:
    job = _long(job)
    paused_at: list[int] = []

    def watch(said: TrainProgress) -> None:
        if said.step == 3 and not paused_at:
            paused_at.append(3)
            training.pause()
            asyncio.get_running_loop().call_later(1.0, training.resume)

    training = Training(tmp_path, job, _hold(job), watch)
    result = await training.run()
    assert paused_at and result.steps > 3
    assert result.digest


@pytest.mark.parametrize("paused", [False, True])
async def test_a_worker_whose_parent_is_killed_ends_by_itself(
    job: TrainJob, tmp_path: Path, paused: bool
) -> None:
    job = _long(job)
    script = tmp_path / "parent.py"
    script.write_text(_PARENT.replace("PAUSED", str(paused)))
    (tmp_path / "j").write_text(job.model_dump_json())
    (tmp_path / "i").write_text("\n".join(one.model_dump_json() for one in _hold(job)))
    folder = tmp_path / "run"
    root = Path(__file__).parents[3]
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        *(str(tmp_path / "j"), str(tmp_path / "i"), str(folder)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert parent.stdout is not None
    if paused:
        await _stopped(folder)
    else:
        async for line in parent.stdout:
            if int(line) >= 3:
                break
    parent.kill()
    await parent.wait()
    for _ in range(100):
        if _worker_of(folder) is None:
            break
        await asyncio.sleep(0.1)
    assert _worker_of(folder) is None
    assert (await train(folder, job, _hold(job))).digest


async def _stopped(folder: Path) -> None:
    """Return once the folder's worker stands still."""
    async with asyncio.timeout(60):
        while not _is_stopped(_worker_of(folder)):  # noqa: ASYNC110 - another process tells no event
            await asyncio.sleep(0.05)


def _is_stopped(pid: int | None) -> bool:
    return pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED


async def test_a_worker_killed_when_all_is_done_has_done_it(job: TrainJob, tmp_path: Path) -> None:
    def kill(said: TrainProgress) -> None:
        if said.kind == "checkpoint" and said.step:
            # the last one, right before the adapter is written
            while not (tmp_path / "result.json").is_file():
                os.sched_yield()
            if (worker := _worker_of(tmp_path)) is not None:
                os.kill(worker, signal.SIGKILL)

    result = await train(tmp_path, job, facts(1), kill)
    assert result.digest == adapter_digest(tmp_path / "adapter")
    assert not list(tmp_path.glob("*.safetensors"))


async def test_bad_input_is_one_sentence(job: TrainJob, tmp_path: Path) -> None:
    gone = job.model_copy(update={"base": tmp_path / "nowhere"})
    with pytest.raises(LearningError, match="There is no model in"):
        await train(tmp_path / "a", gone, facts(1))
    high = job.model_copy(update={"settings": job.settings.model_copy(update={"first_layer": 9})})
    with pytest.raises(LearningError, match="has 4 layers"):
        await train(tmp_path / "b", high, facts(1))
    with pytest.raises(LearningError, match="is incomplete"):
        await train(tmp_path / "c", job.model_copy(update={"start": tmp_path / "none"}), facts(1))


async def test_scaling_an_adapter_scales_what_it_adds(job: TrainJob, tmp_path: Path) -> None:
    await train(tmp_path / "run", job, facts(2))
    source = tmp_path / "run/adapter"
    scale_adapter(source, 0.5, tmp_path / "half")
    before, after = read_tensors(source), read_tensors(tmp_path / "half")
    assert adapter_digest(source) != adapter_digest(tmp_path / "half")
    for name, tensor in before.items():
        assert (after[name] == tensor * (0.5 if ".lora_B." in name else 1)).all()
    _answers(job.base, tmp_path / "half", facts(1))


async def test_killed_for_memory_it_goes_on_with_smaller_parts(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _long(job)
    real = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: real._replace(available=100 << 20))
    killed: list[int] = []

    def kill(said: TrainProgress) -> None:
        if said.step == 3 and not killed:
            worker = _worker_of(tmp_path)
            assert worker is not None
            killed.append(worker)
            os.kill(worker, signal.SIGKILL)

    result = await train(tmp_path, job, _hold(job), kill)
    assert killed and result.digest
    assert (tmp_path / "splits").read_text() == "2"
