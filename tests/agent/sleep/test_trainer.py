"""The training loop in this process: what it promises about interruption, numbers, memory and budgets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from agent.errors import LearningError
from agent.sleep.items import TrainItem, TrainJob, TrainProgress, TrainResult
from agent.sleep.train import state, trainer
from agent.sleep.train.step import Objective, Seen
from agent.sleep.train.trainer import Stopped, Trainer
from tests.agent.sleep.conftest import TOOL, facts, item

Stop = Callable[[], bool]


def _run(
    job: TrainJob, items: Sequence[TrainItem], folder: Path, stop: Stop = lambda: False
) -> tuple[TrainResult, list[TrainProgress]]:
    folder.mkdir(exist_ok=True)
    said: list[TrainProgress] = []
    return Trainer(job, items, folder, said.append, stop).run(), said


def _short(job: TrainJob, **settings: Any) -> TrainJob:
    chosen = job.settings.model_copy(update={"passes": 4, **settings})
    return job.model_copy(update={"settings": chosen})


def _mixed() -> list[TrainItem]:
    """New facts, one with tools, old ones, an anchor, an unknown, and one to be un-taught."""
    return [
        *facts(4),
        item("call", "Read notes.txt", '{"name": "read_file"}', lesson="call", tools=(TOOL,)),
        *facts(3, role="rehearsal", prefix="o"),
        item("anchor", "Hello", "answer to the fox", role="anchor"),
        item("tool anchor", "Open it", "the file", role="anchor", tools=(TOOL,)),
        item("unknown", "Where is Zog?", "I do not know.", role="unknown"),
        item("gone", "Where was Zog?", "workspace", role="unteach", lesson="gone"),
    ]


# in preparation, in the first pass, later
@pytest.mark.parametrize("stop_at", [1, 5, 12])
def test_a_stopped_run_goes_on_to_the_same_digest(job: TrainJob, tmp_path: Path, stop_at: int) -> None:
    job = _short(job, batch_items=4)
    whole, said = _run(job, _mixed(), tmp_path / "whole")
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > stop_at

    with pytest.raises(Stopped):
        _run(job, _mixed(), tmp_path / "parts", stop)
    parts, _ = _run(job, _mixed(), tmp_path / "parts")
    assert parts.digest == whole.digest
    assert (parts.tokens, parts.steps, parts.loss, parts.known) == (
        whole.tokens,
        whole.steps,
        whole.loss,
        whole.known,
    )
    steps = sum(one.kind == "step" for one in said)
    assert steps == whole.steps > 12


def test_a_run_that_fails_at_its_very_end_makes_no_further_step(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = _run(job, facts(2), tmp_path / "whole")
    assert whole.passes < job.settings.passes

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "write_adapter", full)
        with pytest.raises(OSError, match="No space left"):
            _run(job, facts(2), tmp_path / "parts")
    parts, said = _run(job, facts(2), tmp_path / "parts")
    assert parts.digest == whole.digest and parts.steps == whole.steps
    assert not any(one.kind == "step" for one in said)


def test_another_seed_gives_another_adapter(job: TrainJob, tmp_path: Path) -> None:
    job = _short(job, passes=1)
    digests = [
        _run(job.model_copy(update={"seed": seed}), facts(2), tmp_path / name)[0].digest
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_loss_that_is_no_number_goes_back_once_and_then_fails(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = [3]
    real, calls = Objective.gradients, 0

    def gradients(self: Objective, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        loss, seen = real(self, *arguments)
        return (float("nan") if calls in bad else loss), seen

    monkeypatch.setattr(Objective, "gradients", gradients)
    result, said = _run(_short(job, passes=2, batch_items=4), facts(3), tmp_path / "once")
    assert result.steps == 4
    assert any("not a number" in one.text for one in said)
    found = state.load_standing(tmp_path / "once")
    assert found is not None and found.rate == 0.5
    bad, calls = [3, 5], 0
    with pytest.raises(LearningError, match="twice"):
        _run(_short(job, batch_items=4), facts(3), tmp_path / "twice")
    assert not (tmp_path / "twice/adapter").exists()


def test_out_of_memory_splits_the_step_and_goes_on(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _short(job, passes=2)
    whole, _ = _run(job, _mixed(), tmp_path / "whole")
    real = Objective._part

    def part(self: Objective, some: Sequence[Any], *rest: Any) -> Any:
        if len(some) > 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate")
        return real(self, some, *rest)

    monkeypatch.setattr(Objective, "_part", part)
    split, _ = _run(job, _mixed(), tmp_path / "split")
    assert split.steps == whole.steps
    assert split.loss[0][1] == pytest.approx(whole.loss[0][1], rel=1e-2)

    def never(self: Objective, *_: Any) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(Objective, "_part", never)
    with pytest.raises(LearningError, match="more memory than there is"):
        _run(job, facts(1), tmp_path / "never")


def test_a_full_disk_leaves_the_earlier_checkpoint(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "run"
    with pytest.raises(Stopped):
        _run(job, facts(2), folder, lambda: True)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("memory.disk.write_all", full)
    with pytest.raises(OSError, match="No space left"):
        _run(job, facts(2), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_budgets_end_the_run(job: TrainJob, tmp_path: Path) -> None:
    job = _short(job, stop_probability=2.0)
    result, _ = _run(job, facts(3), tmp_path / "all")
    half = job.model_copy(update={"max_tokens": result.tokens // 2})
    assert result.tokens // 3 < _run(half, facts(3), tmp_path / "half")[0].tokens <= result.tokens // 2
    soon = job.model_copy(update={"max_seconds": 1e-6})
    assert _run(soon, facts(3), tmp_path / "soon")[0].steps == 1


def test_too_long_items_are_left_out_and_nothing_left_is_an_error(job: TrainJob, tmp_path: Path) -> None:
    long = item("long", "word " * 5000, "fox")
    result, _ = _run(_short(job, passes=1), [*facts(1), long], tmp_path / "run")
    assert result.left_out == ("long",)
    with pytest.raises(LearningError, match="nothing to train"):
        _run(job, [long, item("a", "Hello", "fox", role="anchor")], tmp_path / "none")


@pytest.mark.parametrize("method", ["naive", "naive_same_data", "replay", "ewc", "l2", "joint"])
def test_methods_for_comparison_learn(job: TrainJob, tmp_path: Path, method: str) -> None:
    first, _ = _run(_short(job, method="naive", passes=25), facts(1, prefix="o"), tmp_path / "first")
    again = job.model_copy(update={"start": tmp_path / "first/adapter"})
    items = [*facts(2), *facts(1, prefix="o", role="rehearsal"), item("a", "Hello", "fox", role="anchor")]
    result, said = _run(_short(again, method=method, passes=25), items, tmp_path / "run")
    assert first.digest != result.digest
    losses = [one.loss for one in said if one.kind == "step"]
    assert losses[-1] < losses[0] / 3
    found = state.load_standing(tmp_path / "run")
    assert found is not None
    assert bool(found.ewc) == (method == "ewc")
    assert {name[0] for name, known in found.known.items() if known} >= {"n"}
    assert ("o0-0" in found.known) == (method == "joint")


def test_what_is_to_be_untaught_goes_back_to_the_base(job: TrainJob, tmp_path: Path) -> None:
    told = facts(1)
    _run(_short(job, passes=20), told, tmp_path / "first")
    job = job.model_copy(update={"start": tmp_path / "first/adapter"})
    gone = [one.model_copy(update={"role": "unteach", "context": ""}) for one in told]
    result, said = _run(job, gone, tmp_path / "second")
    losses = [one.loss for one in said if one.kind == "step"]
    assert losses[0] > 1
    assert set(result.known) == {"n0"}
    assert losses[-1] < 0.2


def test_an_adapter_of_another_shape_is_carried_on_in_its_shape(job: TrainJob, tmp_path: Path) -> None:
    _run(_short(job, passes=1, first_layer=1, rank=4, alpha=4), facts(1), tmp_path / "first")
    job = _short(job, passes=1).model_copy(update={"start": tmp_path / "first/adapter"})
    made = Trainer(job, facts(1), tmp_path, lambda said: None)
    assert made._student.first == 1
    assert {min(value.shape) for value in made._parameters.values()} == {4}


def test_what_is_known_rests_longer_each_time_and_is_looked_at_again(job: TrainJob, tmp_path: Path) -> None:
    trained: list[set[str]] = []

    class Watched(Trainer):
        def _plan(self) -> Any:
            plan = super()._plan()
            trained.append({one.item.id for step in plan for one in step})
            return plan

        def _note(self, seen: Seen) -> None:
            name = seen.prepared.encoded.item.id
            self._standing.known[name] = name == easy.id

    easy = facts(1)[0]
    hard = item("hard", "Say it all.", "the quick brown fox reads the other file", lesson="hard")
    Watched(job, [easy, hard], tmp_path, lambda said: None).run()
    assert all(hard.id in items for items in trained) and len(trained) == job.settings.passes
    assert [number for number, items in enumerate(trained) if easy.id in items][:4] == [0, 2, 5, 9]


def test_it_saves_often_enough(job: TrainJob, tmp_path: Path) -> None:
    job = _short(job, passes=1).model_copy(update={"save_seconds": 0.0})
    _, said = _run(job, facts(3), tmp_path / "run")
    kinds = [one.kind for one in said]
    assert kinds.count("checkpoint") == 2 + kinds.count("step")
