"""The benchmark of many nights, on a learner by rote: what is asked, marked, spent, and that it goes on."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.config import Settings
from agent.errors import ConfigError, LearningError, UsageError
from benchmarks import c2w_session
from benchmarks.c2w import METHODS, SAMPLE_FACTS, C2wOptions, Row, bench_settings, run_c2w
from benchmarks.c2w_result import pack, unpack
from benchmarks.c2w_session import Session, fit_to_facts
from benchmarks.facts import invent
from benchmarks.plot import draw
from benchmarks.pool import pool, read_results
from benchmarks.run_log import RunLog
from benchmarks.stream import plan_stream
from tests.benchmarks.learner import Homes, Killed
from tests.tui.test_bad_input import MODEL, install
from tui.cli.bench import bench
from tui.cli.bench_c2w import _METHODS
from tui.cli.output import Cli


def whole_words(expected: str, answer: str, question: str) -> bool:
    return expected.casefold() in answer.casefold()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSCHOOL_CACHE", str(tmp_path / "cache"))


class Bench:
    """One benchmark with its learners."""

    def __init__(self, options: C2wOptions, talk: bool = True, **how: Any) -> None:
        self.session = Session(Settings(), options, None, talk)
        self.homes = Homes(self.session.stream, **how)
        self.said: list[str] = []
        self.measured: list[Path | None] = []

    def nats(self, settings: Settings, adapter: Path | None) -> float:
        self.measured.append(adapter)
        return 2.0 if adapter is None else 2.01

    async def run(self) -> dict[str, Any]:
        result = await self.session.run(self.said.append, whole_words, self.homes.open, self.nats)
        # whatever comes out can be written and read back
        found: dict[str, Any] = json.loads(json.dumps(result, allow_nan=False))
        return found


async def test_one_who_remembers_everything() -> None:
    bench = Bench(C2wOptions(nights=3, per_night=4))
    result = await bench.run()
    assert result["R"][0] == [0, 0, 0] and result["R"][3] == [1, 1, 1]
    assert (result["ACC"], result["W"], result["BWT"], result["FWT"], result["forgetting"]) == (1, 1, 0, 0, 0)
    assert (result["paraphrase_gap"], result["reverse_recall"]) == (0, 1)
    assert result["intervals"]["ACC"] == [1, 1]
    assert result["general_nll_change"] == pytest.approx(0.005)
    assert bench.measured[0] is None and bench.measured[1] == bench.session.home / "adapters" / "ad_1"
    assert result["facts"]["retained"] == 12 and result["lost"] == {"right": 12}
    assert result["cost"]["tokens_per_retained_fact"] == 3 * 1000 / 12
    assert result["cost"]["seconds_per_retained_fact"] == (10 + 20 + 30) / 12
    assert result["cost"]["by_night"]["seconds"]["slope"] == 10
    assert [row["confident"] for row in result["neighbours"]] == [0, 0, 0, 0]
    assert result["unrelated"]["prompts"] == 50 and result["unrelated"]["intrusions"] == 0
    seen = {form: (one["questions"], one["trained_word_for_word"]) for form, one in result["seen"].items()}
    assert seen == {"near": (12, 0), "paraphrase": (24, 0), "far": (36, 0), "reverse": (12, 0)}
    assert result["scored"] == "paraphrase" and result["by_form"]["far"]["ACC"] == 1
    assert result["options"]["method"] == "night" and result["settings"]["training"]["rank"] == 16
    assert result["versions"]["torch"] and result["machine"]["cores"] >= 1
    assert not any(memory for _, memory in bench.homes.last.asked)


async def test_one_who_keeps_only_the_last_day() -> None:
    bench = Bench(C2wOptions(nights=3, per_night=4), forgets=True)
    bench.homes.intrudes = True
    result = await bench.run()
    assert result["R"][1:] == [[1, 0, None], [0, 1, 0], [0, 0, 1]]
    assert result["ACC"] == pytest.approx(1 / 3, abs=1e-5)
    assert (result["W"], result["BWT"], result["forgetting"]) == (1, -1, 1)
    assert result["lost"] == {"right": 4, "not_learned": 8}
    assert result["unrelated"]["intrusions"] == 50
    assert result["cost"]["tokens_per_retained_fact"] == 750
    assert len(result["wrong"]) == 16
    assert {"question", "expected", "answer"} == set(result["wrong"][0])


async def test_corrections_in_conversation() -> None:
    bench = Bench(C2wOptions(nights=3, per_night=10, style="conversation"))
    result = await bench.run()
    stream = bench.session.stream
    assert result["corrections"] == {"facts": len(stream.changed), "right": 1, "stale": 0}
    assert result["ACC"] == 1 and set(result["facts"]["by_channel"]) == {"note", "talk"}
    talked = [telling for telling in stream.tellings if telling.channel == "talk"]
    assert [task.text for task in bench.homes.last.tasks] == [telling.text for telling in talked]
    assert all(task.kind == "conversation" and task.approve == "deny" for task in bench.homes.last.tasks)


async def test_the_products_own_days_and_nights(tiny_qwen_dir: Path, tmp_path: Path) -> None:
    # a tiny random model learns nothing, but everything from telling to the served adapter is the real thing
    weights = tmp_path / "cache" / "models" / MODEL
    shutil.copytree(tiny_qwen_dir, weights)
    install(weights)
    settings = Settings.model_validate(
        {"model": {"name": MODEL, "context_tokens": 2048}, "agent": {"turn_tokens": 16}}
    )
    session = Session(settings, C2wOptions(method="naive", nights=1, per_night=2, budget=16_000))
    said: list[str] = []
    result = await session.run(said.append)
    (night,) = result["nights"]
    assert night["outcome"] == "promoted" and night["learned"] == 2 and night["adapter"]
    # a step is never cut in half, and with the tools in its prompt one takes thousands of tokens
    assert 0 < night["tokens"]["trained"] <= 16_000 + 3000
    assert result["general_nll"]["after"] != result["general_nll"]["before"]
    assert result["general_nll_change"] == pytest.approx(0, abs=0.1)
    assert sum(result["lost"].values()) == 2 and "no_lesson" not in result["lost"]
    assert any("night 1: train" in line for line in said)


async def test_methods_without_nights() -> None:
    base = Bench(C2wOptions(method="base", nights=2, per_night=3))
    result = await base.run()
    assert result["R"] == [[0, 0]] * 3 and result["general_nll_change"] == 0 and result["forgetting"] == 0
    assert base.homes.last.state["told"] == [] and base.measured == []

    recalling = Bench(C2wOptions(method="retrieval", nights=2, per_night=3))
    result = await recalling.run()
    assert result["ACC"] == 1 and recalling.homes.last.requests == []
    assert result["cost"]["total_tokens"] == 0
    first = recalling.homes.last.asked[0]
    assert not first[1] and recalling.homes.last.asked[-1][1]

    pasted = Bench(C2wOptions(method="context", nights=2, per_night=3))
    assert (await pasted.run())["ACC"] == 1
    assert pasted.session.stream.tellings[0].text in pasted.homes.last.asked[-1][0]


@pytest.mark.parametrize("method", ["naive", "replay", "joint"])
async def test_other_methods_share_one_budget(method: Any) -> None:
    bench = Bench(C2wOptions(method=method, nights=4, per_night=5, budget=10_000))
    await bench.run()
    requests = bench.homes.last.requests
    assert [request.method for request in requests] == [method] * 4
    assert not any(request.exam for request in requests)
    # a night spends 300 tokens besides training and 1000 in all: 10000 / 4 - what it costs is no limit here
    assert [request.max_trained_tokens for request in requests[1:]] == [
        (10_000 - 1000 * done) // (4 - done) - 300 for done in (1, 2, 3)
    ]


async def test_only_the_product_has_no_budget_unless_it_is_given_one() -> None:
    bench = Bench(C2wOptions(nights=2, per_night=3))
    await bench.run()
    assert [(r.max_trained_tokens, r.exam, r.seed) for r in bench.homes.last.requests] == [(0, True, 0)] * 2
    assert C2wOptions(method="naive", nights=2, per_night=3).tokens > 0
    assert C2wOptions(nights=2, per_night=3, budget=50).tokens == 50


def test_old_sets_are_asked_in_part_and_always_the_same_part() -> None:
    stream = plan_stream(invent(100, 0), nights=4, per_night=25)
    row = Row(stream, seed=0)
    facts = [
        {
            n: {q.fact for q in row(night) if q.form == "far" and q.fact in set(one)}
            for n, one in enumerate(stream.sets)
        }
        for night in range(5)
    ]
    sizes = [[len(found[n]) for n in range(4)] for found in facts]
    part = SAMPLE_FACTS
    assert sizes == [
        [25, 25, 25, 25],
        [25, part, 0, 0],
        [part, 25, part, 0],
        [part, part, 25, part],
        [25, 25, 25, 25],
    ]
    assert facts[2][0] == facts[3][0]
    assert {q.fact for q in row(2) if q.form == "near"} == set(stream.sets[1])
    assert {q.fact for q in row(4) if q.form == "near"} == set(range(100))
    assert len({q.id for q in row(4)}) == len(row(4))


@pytest.mark.parametrize("killed_after", range(13))
async def test_a_killed_run_goes_on(killed_after: int) -> None:
    options = C2wOptions(nights=2, per_night=3)
    undisturbed = Bench(options)
    expected = await undisturbed.run()
    undisturbed.session.remove()

    bench = Bench(options)
    bench.homes.calls_left = killed_after
    with pytest.raises(Killed):
        await bench.run()
    torn = bench.session.folder / "run.jsonl"
    if torn.exists():
        with torn.open("a", encoding="utf-8") as file:
            file.write('{"kind": "answers", "night": 0, "ans')
    bench.homes.calls_left = 10**9
    result = await bench.run()
    # nothing was told, slept or asked twice
    state = bench.homes.last.state
    assert sorted(state["told"]) == sorted(telling.text for telling in bench.session.stream.tellings)
    assert len(state["nights"]) == 2
    asked = [question for home in bench.homes.opened for question, _ in home.asked]
    assert len(asked) == len([question for question, _ in undisturbed.homes.last.asked])
    for part in ("R", "marks", "lost", "neighbours"):
        assert result[part] == expected[part]


async def test_another_benchmark_never_goes_on_in_the_same_folder() -> None:
    options = C2wOptions(nights=2, per_night=3)
    folder = Session(Settings(), options).folder
    assert Session(Settings(), options).folder == folder
    for other in ({"seed": 1}, {"order": 1}, {"method": "naive"}, {"style": "conversation"}, {"budget": 7}):
        assert Session(Settings(), options.model_copy(update=other)).folder != folder
    rank = Settings.model_validate({"training": {"rank": 8}})
    assert Session(rank, options).folder != folder
    assert Session(Settings.model_validate({"tui": {"theme": "day-school"}}), options).folder == folder


async def test_two_at_once_are_told_apart() -> None:
    bench = Bench(C2wOptions(nights=1, per_night=2))
    import filelock

    bench.session.folder.mkdir(parents=True)
    with (
        filelock.FileLock(bench.session.folder / "run.lock"),
        pytest.raises(UsageError, match="Another process"),
    ):
        await run_c2w(
            Settings(),
            bench.session.stream,
            bench.session.options,
            bench.session.folder,
            print,
            bench.homes.open,
        )


async def test_a_night_that_breaks_ends_the_run_and_is_tried_again() -> None:
    bench = Bench(C2wOptions(nights=2, per_night=3), outcome="error")
    with pytest.raises(LearningError, match="Night 1 did not end well: broken"):
        await bench.run()
    bench.homes = Homes(bench.session.stream)
    assert (await bench.run())["ACC"] == 1


async def test_a_run_that_is_cut_off_at_night_stops_the_night() -> None:
    bench = Bench(C2wOptions(nights=1, per_night=3), outcome="endless")
    running = asyncio.create_task(bench.run())
    await bench.homes.asleep.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.homes.last.stopped


async def test_a_failed_exam_is_a_result() -> None:
    result = await Bench(C2wOptions(nights=2, per_night=3), outcome="failed").run()
    assert result["ACC"] == 0 and [night["outcome"] for night in result["nights"]] == ["failed"] * 2
    assert result["general_nll_change"] == 0 and result["cost"]["tokens_per_retained_fact"] is None


def test_settings_of_a_run() -> None:
    stream = plan_stream(invent(160, 0), nights=2, per_night=80)
    given = Settings.model_validate({"learning": {"review": "manual"}, "sleep": {"idle_minutes": 5}})
    found = bench_settings(given, stream)
    assert (found.learning.review, found.learning.lessons_per_night) == ("auto", 80)
    assert (found.sleep.schedule, found.sleep.idle_minutes) == ("", 0)
    assert found.training == given.training
    assert found.agent.turn_tokens < given.agent.turn_tokens


def test_nights_that_a_file_of_facts_needs(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(
        json.dumps([{"subject": f"S{n}", "relation": "has seen", "object": f"O{n}"} for n in range(23)]),
        encoding="utf-8",
    )
    assert fit_to_facts(path, None, None, 0) == (3, 10)
    assert fit_to_facts(path, None, 23, 0) == (1, 23)
    assert fit_to_facts(path, 2, None, 0) == (2, 12)
    assert fit_to_facts(None, None, None, 0) == (5, 10)
    session = Session(Settings(), C2wOptions(nights=3, per_night=10), path)
    assert [len(one) for one in session.stream.sets] == [10, 10, 3]
    assert session.options.facts


def test_marks_survive_packing() -> None:
    bench = Bench(C2wOptions(nights=2, per_night=3), forgets=True)
    result = asyncio.run(bench.run())
    marks = unpack(result["marks"])
    assert pack(marks) == result["marks"]


def test_the_log_outlives_a_torn_line_and_odd_characters(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    log = RunLog(path)
    log.answered(1, {"q": "one\u2028two\nthree"}, 2.5)
    log.begun(1, "ni_1")
    with path.open("a", encoding="utf-8") as file:
        file.write('{"kind": "figure", "na')
    again = RunLog(path)
    again.measured("text", 2.0)
    last = RunLog(path)
    assert last.answers == {(1, "q"): "one\u2028two\nthree"}
    assert (last.nights, last.figures, last.asking_seconds) == ({1: "ni_1"}, {"text": 2.0}, 2.5)


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., list[Path]]:
    def make(*methods: Any) -> list[Path]:
        paths = []
        for seed in (0, 1):
            for method in methods:
                bench = Bench(
                    C2wOptions(method=method, nights=3, per_night=4, seed=seed), forgets=method == "naive"
                )
                path = tmp_path / f"{method}-{seed}.json"
                path.write_text(json.dumps(asyncio.run(bench.run())), encoding="utf-8")
                paths.append(path)
        return paths

    return make


def test_runs_are_pooled_by_method(results: Callable[..., list[Path]]) -> None:
    paths = results("night", "naive")
    rows = {row["method"]: row for row in pool(read_results(paths))}
    assert rows["night"]["runs"] == 2 and rows["night"]["ACC"] == 1 and rows["naive"]["forgetting"] == 1
    assert rows["night"]["of_naive"] == {"ratio": 0, "upper": 0}
    assert "of_naive" not in rows["naive"]
    shown = CliRunner().invoke(bench, ["compare", *map(str, paths)], obj=Cli(None))
    assert shown.exit_code == 0 and "1.000 (1.000 to 1.000)" in shown.output


def test_results_about_far_words_are_not_pooled_with_those_about_paraphrases(
    results: Callable[..., list[Path]],
) -> None:
    paths = results("night")
    earlier = json.loads(paths[0].read_text(encoding="utf-8"))
    del earlier["scored"]  # as written before there were paraphrases
    paths[0].write_text(json.dumps(earlier), encoding="utf-8")
    with pytest.raises(UsageError, match="like with like"):
        read_results(paths)


def test_unlike_runs_are_not_pooled(tmp_path: Path, results: Callable[..., list[Path]]) -> None:
    paths = results("night")
    changed = json.loads(paths[0].read_text(encoding="utf-8"))
    changed["options"]["nights"] = 9
    paths[0].write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(UsageError, match="like with like"):
        read_results(paths)
    other = tmp_path / "other.json"
    other.write_text("[]", encoding="utf-8")
    with pytest.raises(UsageError, match="no result"):
        read_results([other])


def test_a_plot_is_drawn(tmp_path: Path, results: Callable[..., list[Path]]) -> None:
    result = json.loads(results("night")[0].read_text(encoding="utf-8"))
    draw(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="no folder"):
        draw(result, tmp_path / "none" / "plot.png")


def test_no_matplotlib_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"nightschool\[bench\]"):
        draw({}, tmp_path / "plot.png")


@pytest.fixture
def by_rote(monkeypatch: pytest.MonkeyPatch) -> list[Homes]:
    """The command runs on learners instead of the model."""
    opened: list[Homes] = []
    run = Session.run

    async def with_learner(self: Session, say: Callable[[str], None]) -> dict[str, Any]:
        opened.append(Homes(self.stream))
        return await run(self, say, whole_words, opened[-1].open, lambda settings, adapter: 2.0)

    monkeypatch.setattr(Session, "run", with_learner)
    return opened


def test_the_command(tmp_path: Path, by_rote: list[Homes]) -> None:
    json_file, plot_file = tmp_path / "r.json", tmp_path / "r.png"
    words = ["c2w", "--nights", "2", "--per-night", "3", "--json", str(json_file), "--plot", str(plot_file)]
    shown = CliRunner().invoke(bench, words, obj=Cli(tmp_path / "home"))
    assert shown.exit_code == 0, shown.output
    assert "ACC" in shown.output and "1.000" in shown.output
    result = json.loads(json_file.read_text(encoding="utf-8"))
    assert {"ACC", "W", "BWT", "forgetting", "general_nll_change"} <= set(result)
    assert plot_file.exists()
    # the user's own home is no part of it, and the run's is gone
    assert not (tmp_path / "home").exists()
    assert not list((tmp_path / "cache" / "bench").iterdir())

    kept = CliRunner().invoke(bench, [*words, "--keep-home"], obj=Cli(tmp_path / "home"))
    home = Path(kept.stdout.split("Home: ")[1].strip())
    assert json.loads(json_file.read_text(encoding="utf-8"))["home"] == str(home)
    assert (home / "learner.json").exists()
    again = CliRunner().invoke(bench, [*words, "--keep-home"], obj=Cli(tmp_path / "home"))
    assert "Going on" in again.stderr and by_rote[-1].last.asked == []


def test_bad_input_is_said_before_anything_runs(tmp_path: Path, by_rote: list[Homes]) -> None:
    for words, error in (
        (["--json", str(tmp_path / "none" / "r.json")], UsageError),
        (["--plot", str(tmp_path / "none" / "r.png")], ConfigError),
        (["--facts", str(tmp_path / "none.json")], UsageError),
    ):
        shown = CliRunner().invoke(bench, ["c2w", *words], obj=Cli(tmp_path / "home"))
        assert isinstance(shown.exception, error)
    assert CliRunner().invoke(bench, ["c2w", "--nights", "0"], obj=Cli(None)).exit_code == 2
    assert by_rote == []


def test_the_command_knows_all_methods() -> None:
    assert _METHODS == METHODS
    assert c2w_session.DEFAULT_NIGHTS == 5
