"""The worker process: it learns, keeps, stops, resumes to the same digest, and fails in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.model.base import GenerateRequest
from agent.model.local import LocalModel
from agent.sleep.items import TrainItem, TrainJob, TrainProgress
from agent.sleep.training import train
from memory.adapter_files import adapter_digest, read_config
from tests.agent.sleep.conftest import facts, item


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


async def test_a_night_learns_keeps_old_lessons_and_anchors(job: TrainJob, tmp_path: Path) -> None:
    first, second = facts(3), facts(3, prefix="m")
    anchors = _anchors(job.base)
    seen: list[TrainProgress] = []
    one = await train(tmp_path / "one", job, [*first, *anchors], seen.append)
    losses = [progress.loss for progress in seen if progress.kind == "step"]
    assert losses[-1] < losses[0] / 3
    assert seen[-1].kind == "done"
    assert set(one.known) == {"n0", "n1", "n2"}
    assert one.tokens > 0 and one.steps == len(losses) and one.teacher_tokens > 0
    assert one.digest == adapter_digest(tmp_path / "one/adapter")
    assert read_config(tmp_path / "one/adapter")["base_model_name_or_path"] == job.base.name
    assert _answers(job.base, tmp_path / "one/adapter", first) == [one.answer for one in first]

    old = [one.model_copy(update={"role": "rehearsal"}) for one in first]
    start = tmp_path / "one/adapter"
    job = job.model_copy(update={"start": start, "cache": tmp_path / "cache"})
    two = await train(tmp_path / "two", job, [*second, *old, *anchors])
    adapter = tmp_path / "two/adapter"
    assert set(two.known) == {"m0", "m1", "m2"}
    assert _answers(job.base, adapter, [*first, *second]) == [one.answer for one in [*first, *second]]
    assert list((tmp_path / "cache").rglob("*.safetensors"))
