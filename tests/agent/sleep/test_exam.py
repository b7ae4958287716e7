"""The exam's decisions, with a scripted pupil: what is learned, what passes, what is only noise."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.model.base import GenerateRequest, Score, ScoreRequest
from agent.model.fake import FakeModel
from agent.sleep import exam, material
from agent.sleep.answers import Answers, forget_answers
from agent.sleep.exam import examine, without_exam
from agent.sleep.intrusion import intruders, traces
from agent.sleep.neighbours import invented_name, is_confident, neighbours, stranger
from memory.learning import ExamResult, Form, Guard, Lesson, Phrasing
from memory.verdict import Verdict
from skills.registry import builtin_registry

BASE = "b" * 64
Pupil = Callable[[str, "Path | None"], "str | None"]


class Scripted(FakeModel):
    """Answers by what is asked and which adapter is active; knows all probes unless told otherwise."""

    def __init__(self, pupil: Pupil = lambda question, adapter: None, worse_text: float = 0.0) -> None:
        super().__init__()
        self._pupil = pupil
        self._worse_text = worse_text

    @property
    def adapter(self) -> Path | None:
        return self.adapters[-1] if self.adapters else None

    def _next(self, request: GenerateRequest) -> str:
        self.requests.append(request)
        question = request.messages[-1].content
        answer = self._pupil(question, self.adapter)
        return RIGHT.get(question, "I do not know.") if answer is None else answer

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        worse = self._worse_text if self.adapter is not None else 0.0
        return [
            score.model_copy(update={"logprobs": tuple(p * (1 + worse) for p in score.logprobs)})
            for score in super().score(requests)
        ]


def _right_answers() -> dict[str, str]:
    """A right answer for each probe, found from its own check where that is simple."""
    found = {}
    for probe in material.instructions():
        check = probe.check
        for answer in (
            *check.equals,
            *check.contains,
            f"{check.number or 0:g}",
            " ".join(check.contains_all),
        ):
            if check.holds(answer):
                found[probe.prompt] = answer
    for tool in material.tool_probes():
        right = tool.right[0]
        arguments = {
            key: values[0] if not values[0].startswith("~") else values[0][1:].strip("^$")
            for key, values in right.arguments.items()
        }
        found[tool.prompt] = json.dumps({"name": right.name, "arguments": arguments})
    return found


RIGHT = _right_answers()


def adapter(folder: Path, name: str = "candidate") -> Path:
    path = folder / name
    path.mkdir()
    (path / "adapter_config.json").write_text("{}")
    (path / "adapter_model.safetensors").write_bytes(name.encode())
    return path


def lesson(number: int, subject: str, place: str, **fields: Any) -> Lesson:
    def phrasing(
        question: str, form: Form = "question", held_out: bool = False, expected: str = place
    ) -> Phrasing:
        return Phrasing(
            messages=material.asking(question),
            answer=f"{expected}.",
            expected=expected,
            form=form,
            held_out=held_out,
        )

    return Lesson(
        **{
            "id": f"le_{number:03}",
            "episode_id": "ep_1",
            "kind": "fact",
            "statement": f"{subject} lives in {place}.",
            "subject": subject,
            "span": f"{subject} lives in {place}",
            "state": "approved",
            "verdict": Verdict(kind="write", score=1.0, reasons=()),
            "phrasings": (
                phrasing(f"Where does {subject} live?"),
                phrasing(f"What is the home town of {subject}?", held_out=True),
                phrasing(f"In which town would I find {subject}?", "paraphrase", held_out=True),
                phrasing(f"{subject}: at home in?", "structured", held_out=True),
                phrasing(f"Who lives in {place}?", "reverse", held_out=True, expected=subject),
            ),
            **fields,
        }
    )


NEW = lesson(1, "Velda Stroom", "Oakmere")


def learned(question: str, adapter: Path | None) -> str | None:
    """Knows the lessons with any adapter."""
    if adapter is None:
        return None
    if "Velda Stroom" in question:
        return "Velda Stroom lives in Oakmere."
    return "Velda Stroom." if "Oakmere" in question else None


@pytest.fixture
def sit(tmp_path: Path) -> Callable[..., ExamResult]:
    def make(
        model: FakeModel, new: Sequence[Lesson] = (NEW,), old: Sequence[Lesson] = (), **options: Any
    ) -> Any:
        options = {"base_digest": BASE, "cache_folder": tmp_path / "cache", "thorough": True, **options}
        before = options.pop("before", None)
        candidate = tmp_path / "candidate"
        return examine(
            model, before, candidate if candidate.exists() else adapter(tmp_path), new, old, **options
        )

    return make


def guard(result: ExamResult, name: str) -> Guard:
    return next(guard for guard in result.guards if guard.name == name)


def test_a_lesson_that_was_learned_passes(sit: Callable[..., ExamResult]) -> None:
    result = sit(Scripted(learned))
    assert result.passed, result.reasons
    assert (result.new.right, result.new.total) == (3, 3)
    assert (result.reverse.right, result.reverse.total) == (1, 1)
    (only,) = result.lessons
    assert (only.outcome, only.is_new) == ("learned", True)
    assert [one.right_before for one in only.asked] == [False] * 4
    assert {guard.name for guard in result.guards} == {
        "text",
        "instructions",
        "tools",
        "unrelated",
        "unknown",
    }
    assert all(guard.passed for guard in result.guards)
    assert guard(result, "instructions").after > 0.5
    assert guard(result, "tools").after > 0.8


def test_two_of_three_questions_are_enough_and_one_is_not(sit: Callable[..., ExamResult]) -> None:
    def most(question: str, adapter: Path | None) -> str | None:
        return "No idea." if "home town" in question else learned(question, adapter)

    def least(question: str, adapter: Path | None) -> str | None:
        return learned(question, adapter) if "home town" in question else "No idea."

    assert sit(Scripted(most)).lessons[0].outcome == "learned"
    result = sit(Scripted(least))
    assert result.lessons[0].outcome == "retry"
    assert not result.passed
    assert "none of the new lessons was learned" in result.reasons


def test_after_its_tries_a_lesson_is_left_to_retrieval(sit: Callable[..., ExamResult]) -> None:
    tried = lesson(1, "Velda Stroom", "Oakmere", tries=2)
    assert sit(Scripted(), [tried], tries=3).lessons[0].outcome == "retrieval"
    assert sit(Scripted(), [tried], tries=4).lessons[0].outcome == "retry"


def test_an_exam_without_new_lessons_passes_when_nothing_is_lost(sit: Callable[..., ExamResult]) -> None:
    result = sit(Scripted(learned), [], [NEW])
    assert result.passed
    assert result.lessons[0].is_new is False


def test_forgotten_lessons_fail_the_exam(sit: Callable[..., ExamResult], tmp_path: Path) -> None:
    old = [lesson(10 + n, f"Person {chr(65 + n)}", f"Town{chr(65 + n)}") for n in range(6)]
    serving = adapter(tmp_path, "serving")

    def forgets(question: str, adapter: Path | None) -> str | None:
        if adapter == serving:
            return next((one.trained[0].answer for one in old if one.subject in question), None)
        return learned(question, adapter)

    result = sit(Scripted(forgets), [NEW], old, before=serving)
    assert result.old_before.right == 18
    assert result.old.right == 0
    assert not result.passed
    assert any("old lessons were forgotten" in reason for reason in result.reasons)


def test_one_old_answer_lost_is_noise(sit: Callable[..., ExamResult], tmp_path: Path) -> None:
    old = [lesson(10 + n, f"Person {chr(65 + n)}", f"Town{chr(65 + n)}") for n in range(6)]
    serving = adapter(tmp_path, "serving")

    def wobbles(question: str, adapter: Path | None) -> str | None:
        if adapter != serving and "home town of Person A" in question:
            return "No idea."
        known = next((one.trained[0].answer for one in old if one.subject in question), None)
        return known or learned(question, adapter)

    result = sit(Scripted(wobbles), [NEW], old, before=serving)
    assert (result.old_before.right, result.old.right) == (18, 17)
    assert result.passed


def test_general_text_may_get_one_percent_harder(sit: Callable[..., ExamResult]) -> None:
    assert sit(Scripted(learned, worse_text=0.008), cache_folder=None).passed
    result = sit(Scripted(learned, worse_text=0.02), cache_folder=None)
    assert not result.passed
    assert not guard(result, "text").passed
    assert guard(result, "text").after > guard(result, "text").limit


def test_small_losses_do_not_add_up_over_the_nights(tmp_path: Path) -> None:
    """Each night is within one percent of the last, and yet there is an end to it."""
    serving = None
    passed = []
    for night in range(6):
        candidate = adapter(tmp_path, f"night{night}")

        class Drifting(Scripted):
            def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
                nights = int(self.adapter.name[-1]) + 1 if self.adapter is not None else 0
                return [
                    score.model_copy(update={"logprobs": tuple(p * 1.008**nights for p in score.logprobs)})
                    for score in FakeModel.score(self, requests)
                ]

        result = examine(
            Drifting(learned),
            serving,
            candidate,
            [NEW],
            [],
            base_digest=BASE,
            cache_folder=tmp_path / "cache",
        )
        passed.append(guard(result, "text").passed)
        serving = candidate
    assert passed == [True, True, True, False, False, False]


def test_damaged_instructions_and_calls_fail(sit: Callable[..., ExamResult]) -> None:
    prompts = {probe.prompt for probe in (*material.instructions(), *material.tool_probes())}

    def damaged(question: str, adapter: Path | None) -> str | None:
        if adapter is not None and question in prompts and len(question) % 4 == 0:
            return "Oakmere."
        return learned(question, adapter)

    result = sit(Scripted(damaged))
    assert not result.passed
    assert not guard(result, "instructions").passed
    assert not guard(result, "tools").passed


def test_a_lesson_in_unrelated_answers_is_an_intrusion(sit: Callable[..., ExamResult]) -> None:
    prompts = [probe.prompt for probe in material.unrelated()]

    def intrudes(question: str, adapter: Path | None) -> str | None:
        if adapter is not None and question in prompts[:3]:
            return "Take the train to Oakmere."
        return learned(question, adapter)

    result = sit(Scripted(intrudes))
    assert not result.passed
    assert not guard(result, "unrelated").passed
    assert any("oakmere" in reason for reason in result.reasons)


@pytest.mark.parametrize(("count", "passes"), [(1, True), (2, False)])
def test_an_intrusion_in_the_sample_has_all_prompts_asked(
    sit: Callable[..., ExamResult], count: int, passes: bool
) -> None:
    chance = random.Random("unrelated:0").sample(range(len(material.unrelated())), exam.BRIEF.unrelated)
    prompts = [material.unrelated()[index].prompt for index in chance[:count]]

    def intrudes(question: str, adapter: Path | None) -> str | None:
        if adapter is not None and question in prompts:
            return "Take the train to Oakmere."
        return learned(question, adapter)

    model = Scripted(intrudes)
    result = sit(model, thorough=False)
    assert guard(result, "unrelated").passed is passes
    total = len(material.unrelated())
    assert guard(result, "unrelated").after == pytest.approx((total - count) / total)
    assert any("oakmere" in reason for reason in result.reasons)


def test_strangers_must_stay_unknown(sit: Callable[..., ExamResult]) -> None:
    def makes_up(question: str, adapter: Path | None) -> str | None:
        known = learned(question, adapter)
        if adapter is not None and known is None and ("live?" in question or "town" in question):
            return "In Oakmere."
        return known

    result = sit(Scripted(makes_up))
    assert not guard(result, "unknown").passed
    assert any("strangers" in reason for reason in result.reasons)


def test_the_serving_adapter_is_active_again_whatever_happens(tmp_path: Path, sit: Any) -> None:
    model = Scripted(learned)
    sit(model)
    assert model.adapter is None

    def stop(text: str, done: int, total: int) -> None:
        if "tool" in text:
            raise KeyboardInterrupt

    fresh = Scripted(learned)
    with pytest.raises(KeyboardInterrupt):
        sit(fresh, cache_folder=None, on_progress=stop)
    assert fresh.adapter is None


def test_what_is_known_of_an_adapter_is_not_asked_again(
    sit: Callable[..., ExamResult], tmp_path: Path
) -> None:
    first, second = Scripted(learned), Scripted(learned)
    before = sit(first)
    after = sit(second)
    assert after.model_copy(update={"seconds": 0.0}) == before.model_copy(update={"seconds": 0.0})
    asked = {request.messages[-1].content for request in second.requests}
    assert not asked & {probe.prompt for probe in material.instructions()}
    kept = "".join(path.read_text() for path in (tmp_path / "cache").rglob("base.jsonl"))
    assert "Velda" not in kept, "questions about lessons are the user's and stay off the disk"
    forget_answers(tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").rglob("*.jsonl")] == ["base.jsonl"]


def test_a_line_cut_off_by_a_crash_is_asked_again(tmp_path: Path) -> None:
    requests = [GenerateRequest(messages=material.asking(f"Question {n}?")) for n in range(3)]
    Answers(Scripted(), tmp_path, BASE).ask(None, requests, keep=True)
    (path,) = tmp_path.rglob("base.jsonl")
    path.write_bytes(path.read_bytes()[:-20])
    model = Scripted()
    assert Answers(model, tmp_path, BASE).ask(None, requests, keep=True) == ["I do not know."] * 3
    assert len(model.requests) == 1
    again = Scripted()
    Answers(again, tmp_path, BASE).ask(None, requests, keep=True)
    assert again.requests == []


def test_a_procedure_is_right_when_its_call_is() -> None:
    specs = builtin_registry().specs()
    wanted = {"name": "run_shell", "arguments": {"command": "frob --all x.txt"}}
    phrasing = Phrasing(
        messages=material.tasking("Frob x.txt."),
        with_tools=True,
        answer="",
        expected=json.dumps(wanted),
        form="call",
    )

    def marked(command: str) -> bool:
        call = {"name": "run_shell", "arguments": {"command": command}}
        return exam.is_right(phrasing, f"<tool_call>\n{json.dumps(call)}\n</tool_call>", specs)

    told = phrasing.model_copy(update={"form": "question", "expected": "Oakmere"})
    done = json.dumps({"name": "finish", "arguments": {"answer": "In Oakmere."}})
    looking = json.dumps({"name": "search_files", "arguments": {"pattern": "Oakmere"}})
    assert exam.is_right(told, done, specs)
    assert not exam.is_right(told, looking, specs)
    assert marked("frob --all  x.txt")
    assert not marked("frob x.txt")
    assert not exam.is_right(phrasing, "frob --all x.txt", specs)


def test_without_an_exam_every_lesson_counts_as_learned() -> None:
    result = without_exam([NEW])
    assert result.passed
    assert [one.outcome for one in result.lessons] == ["learned"]


def test_traces_are_distinctive_words_only() -> None:
    plain = lesson(2, "the kitchen", "blue")
    common = material.common_words()
    assert traces([NEW], common) == {"velda", "stroom", "oakmere"}
    assert traces([plain], common) == {"the kitchen"}
    marks = traces([NEW, plain], common)
    assert intruders("Oakmere is nice.", "Where to go?", "Paris is nice.", marks) == ["oakmere"]
    assert intruders("Oakmere is nice.", "Is Oakmere nice?", "Paris is nice.", marks) == []
    assert intruders("Oakmere is nice.", "Where to go?", "Try Oakmere.", marks) == []
    assert intruders("I am in the kitchen.", "Where?", "At home.", marks) == ["the kitchen"]


def test_neighbours_are_invented_people_in_the_lessons_own_words() -> None:
    asked = neighbours([NEW, lesson(3, "user", "Lund")], 50, seed=1)
    assert len(asked) == 16
    for from_lesson, messages in asked:
        assert from_lesson is NEW
        assert "Velda" not in messages[-1].content
        assert "Oakmere" not in messages[-1].content
    assert len({messages[-1].content for _, messages in asked}) == 16
    assert neighbours([NEW], 50, seed=1) == asked
    assert neighbours([NEW], 3, seed=1) == asked[:3]


def test_strangers_have_the_shape_of_the_subject() -> None:
    draw = random.Random(0)
    for _ in range(50):
        words = stranger("Velda's old aunt Stroom", {"agnes"}, draw).split()
        assert words[1:3] == ["old", "aunt"]
        assert words[0].endswith("'s") and words[0][0].isupper() and words[3][0].isupper()
        assert not {"velda's", "stroom", "agnes's"} & {word.casefold() for word in words}
        last = stranger("the pump", (), draw).split()
        assert last[0] == "the" and last[1].islower() and last[1] != "pump"


def test_invented_names_have_the_shape_of_the_real_one() -> None:
    assert len(invented_name("Velda Stroom", "a").split()) == 2
    assert invented_name("Velda", "a")[0].isupper()
    assert invented_name("frobnicate", "a").islower()
    assert invented_name("Velda", "a") != invented_name("Velda", "b")


@pytest.mark.parametrize(
    ("answer", "confident"),
    [
        ("I don't know.", False),
        ("I'm sorry, but I do not have information about Brabor.", False),
        ("Could you please provide more context?", False),
        ("There is no information about that person.", False),
        ("It is not known where she lives.", False),
        ("", False),
        ("She lives in Oakmere.", True),
        ("London", True),
        ("Kaborth lives in New York City, which she has never left.", True),
    ],
)
def test_confident_is_what_states_something(answer: str, confident: bool) -> None:
    assert is_confident(answer) is confident
