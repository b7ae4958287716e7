"""Nights whose processes are killed, for real: the owner at each boundary of a stage, and the worker."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.agent.sleep.sleeper import Sleeper
from tests.tiny_qwen import build_tiny_qwen

NOTE = "Zoltan Vireo lives in Oakmere."
OTHER = "The archive of Brindlewock is guarded by a copper owl."
BEFORE_THE_PROMOTION = (
    "begun",
    "a lesson kept",
    "lessons made",
    "chosen",
    "training",
    "trained",
    "exam sat",
    "half registered",
    "registered",
    "snapshot taken",
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_qwen(tmp_path_factory.mktemp("cache") / "models" / "tiny", context=4096)


@pytest.fixture
def sleeper(tmp_path: Path, weights: Path) -> Sleeper:
    return Sleeper(tmp_path, weights)


def untouched(found: dict[str, Any]) -> bool:
    """Whether the base model serves, and nothing is said to be learned."""
    return (found["serving"], found["active"], found["digest"]) == (None, None, "") and not found["learned"]


def test_an_owner_killed_at_each_boundary_goes_on_to_the_same_adapter(
    sleeper: Sleeper, tmp_path: Path
) -> None:
    made: dict[str, int] = {}
    for number, point in enumerate(BEFORE_THE_PROMOTION):
        ended = sleeper(dies=point, note="" if number else NOTE)
        assert ended.code == -signal.SIGKILL, point
        [found] = ended.said
        past = BEFORE_THE_PROMOTION[:number]
        assert untouched(found) and found["problems"] == [] and found["reports"] == [], point
        assert len(found["nights"]) == (1 if past else 0), point
        assert found["lessons"] == ([[NOTE, "approved", 0]] if "a lesson kept" in past else []), point
        assert list(found["verdicts"].values()) == (["write"] if past else []), point
        assert len(found["cards"]) == (1 if "registered" in past else 0), point
        for file in sleeper.home.glob("nights/*/*.json"):
            if file.name not in ("spent.json", "settled.json"):
                assert made.setdefault(file.name, file.stat().st_ino) == file.stat().st_ino, "done again"
        if point == "chosen":
            uncut = sleeper.copy(tmp_path / "uncut")

    assert sleeper(dies="promoted").code == -signal.SIGKILL
    # its report needs no night more: it is written when the next process recovers
    for point in ("half reported", "reported"):
        ended = sleeper(dies=point)
        assert (ended.code, ended.said) == (-signal.SIGKILL, ()), point
    ended = sleeper(note=OTHER)
    first, second = ended.said
    [adapter] = first["cards"]
    assert ended.code == 0
    assert first["serving"] == first["active"] == adapter
    assert first["cards"][adapter] == [first["digest"], None]
    [night] = first["nights"]
    assert first["reports"] == [[night, "promoted", "", first["learned"]]] and len(first["learned"]) == 1

    assert [report[1] for report in second["reports"]] == ["promoted", "promoted"]
    assert second["cards"][second["serving"]] == [second["digest"], adapter]
    assert len(second["learned"]) == 2 and second["problems"] == []

    assert uncut().said[-1]["digest"] == first["digest"]


def test_an_owner_killed_while_it_counts_tries_counts_each_once(sleeper: Sleeper) -> None:
    ended = sleeper(dies="a try counted", note=NOTE, passes=False)
    assert ended.code == -signal.SIGKILL
    found, after = sleeper(passes=False).said
    assert untouched(found) and found["reports"] == []
    assert untouched(after) and [report[1:3] for report in after["reports"]] == [["failed", "as told"]]
    assert found["lessons"] == after["lessons"] == [[NOTE, "approved", 1]]


def test_a_worker_that_is_killed_fails_its_night_and_nothing_else(sleeper: Sleeper) -> None:
    faults = ("step", "checkpoint.safetensors", "adapter_model.safetensors")
    ended = sleeper(note=NOTE, workers_die=faults)
    assert ended.code == 0
    _, *broken, last = ended.said
    for number, found in enumerate(broken, start=1):
        assert untouched(found) and found["cards"] == {} and found["problems"] == []
        assert found["lessons"] == [[NOTE, "approved", 0]]
        assert len(found["reports"]) == number
        assert all(report[1] == "error" and "SIGKILL" in report[2] for report in found["reports"])
    assert last["reports"][0][1] == "promoted"
    assert last["cards"] == {last["serving"]: [last["digest"], None]}
