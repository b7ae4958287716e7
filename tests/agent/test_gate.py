"""The gate's rules: what becomes of an episode when it ends, and of a lesson once it was measured."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gate import FLAGS, SIGNALS, cheap_verdict, figures, fitted, scored_verdict
from agent.logistic import Logistic
from memory.types import (
    Episode,
    EpisodeKind,
    Feedback,
    Message,
    Outcome,
    Step,
    TokenSignal,
    ToolCall,
    ToolResult,
    Turn,
    now,
)
from memory.verdict import GateSignals


def _step(*results: tuple[str, bool], entropy: float = 0.1, refused: bool = False) -> Step:
    calls = tuple(ToolCall(id=f"c{i}", name=name, arguments={}) for i, (name, _) in enumerate(results))
    return Step(
        index=0,
        message=Message(role="assistant", content="…", provenance="model", tool_calls=calls),
        results=tuple(
            ToolResult(call_id=f"c{i}", name=name, ok=ok, content="out", refused=refused and not ok)
            for i, (name, ok) in enumerate(results)
        ),
        signals=(TokenSignal(token_id=1, text="a", logprob=-0.1, entropy=entropy, margin=0.9),),
    )


def _episode(
    *said: str,
    kind: EpisodeKind = "conversation",
    steps: tuple[Step, ...] = (),
    outcome: Outcome = "success",
    feedback: tuple[Feedback, ...] = (),
    undone: bool = False,
    name: str = "ep_1",
) -> Episode:
    turns = tuple(
        Turn(
            user=Message(role="user", content=text, provenance="user"),
            steps=steps if index == 0 else (),
            outcome=outcome,
            answer="All right.",
        )
        for index, text in enumerate(said)
    )
    return Episode(
        id=name,
        kind=kind,
        turns=turns,
        workspace=None,
        model="fake",
        started_at=now(),
        ended_at=now(),
        feedback=feedback,
        undone=undone,
    )


SURE = _step(entropy=0.1)
UNSURE = _step(entropy=4.0)


@pytest.mark.parametrize("text", ["Hi there!", "Thanks, that was great!", "Good morning", "ok bye"])
def test_small_talk_is_skipped(text: str) -> None:
    verdict = cheap_verdict(_episode(text, steps=(SURE,)))
    assert verdict.kind == "skip" and verdict.reasons


@pytest.mark.parametrize(("step", "kind"), [(SURE, "skip"), (UNSURE, "remember")])
def test_a_question_is_remembered_only_where_the_answer_was_unsure(
    step: Step, kind: Literal["skip", "remember"]
) -> None:
    assert cheap_verdict(_episode("What is the capital of Peru?", steps=(step,))).kind == kind


@pytest.mark.parametrize(
    "text",
    [
        "My sister Mirela lives in Graz.",
        "Orlin Vask plays the oboe.",
        "By the way, our office is on the third floor. What time is it?",
        "Times always carry the offset.",
        "The zet tool wants --zone before the file.",
    ],
)
def test_a_statement_is_a_candidate(text: str) -> None:
    verdict = cheap_verdict(_episode(text, steps=(SURE,)))
    assert verdict.kind == "write" and verdict.stage == "cheap"


@pytest.mark.parametrize("text", ["Write hello into a.txt", "Please list the files.", "Can you run it?"])
def test_a_task_that_went_well_teaches_nothing(text: str) -> None:
    verdict = cheap_verdict(_episode(text, kind="task", steps=(_step(("write_file", True)),)))
    assert verdict.kind == "remember"


def test_a_note_is_written() -> None:
    verdict = cheap_verdict(_episode("The blue folder holds the contracts", kind="note"))
    assert verdict.kind == "write" and verdict.signals.asked_to_keep and "asked" in verdict.reasons[0]


def test_asking_to_remember_counts_in_a_conversation_too() -> None:
    assert cheap_verdict(_episode("Please remember that Anna likes tea.")).signals.asked_to_keep
    assert not cheap_verdict(_episode("Do you remember my name?")).signals.asked_to_keep


def test_a_correction_is_written() -> None:
    by_feedback = _episode("Where is Oslo?", feedback=(Feedback(rating="bad", text="It is in Norway."),))
    in_words = _episode("Where is Oslo?", "No, it is in Norway.")
    for episode in (by_feedback, in_words):
        verdict = cheap_verdict(episode)
        assert verdict.kind == "write" and verdict.signals.corrected and verdict.score > 0.9


def test_a_bad_rating_without_words_teaches_nothing() -> None:
    assert cheap_verdict(_episode("My name is Ida.", feedback=(Feedback(rating="bad"),))).kind == "remember"


def test_a_failure_then_a_success_is_a_candidate() -> None:
    steps = (_step(("run", False)), _step(("run", True)))
    verdict = cheap_verdict(_episode("Sort the list with zet", kind="task", steps=steps))
    assert verdict.kind == "write" and verdict.signals.recovered


def test_what_failed_in_the_end_or_was_refused_or_undone_is_not() -> None:
    steps = (_step(("run", False)), _step(("run", True)))
    failed = _episode("Sort it", kind="task", steps=steps, outcome="failure")
    refused = _episode(
        "Sort it", kind="task", steps=(_step(("run", False), refused=True), _step(("run", True)))
    )
    other = _episode("Sort it", kind="task", steps=(_step(("read", False)), _step(("run", True))))
    undone = _episode("Sort it", kind="task", steps=steps, undone=True)
    for episode in (failed, refused, other, undone):
        assert cheap_verdict(episode).kind == "remember"
    assert not cheap_verdict(refused).signals.recovered and not cheap_verdict(other).signals.recovered


def test_what_recurs_is_counted() -> None:
    recent = [
        _episode("Anna's tea is green tea.", name="ep_a"),
        _episode("anna's tea is the green tea", name="ep_b"),
        _episode("Anna's car is red.", name="ep_c"),
        _episode("Hello!", name="ep_d"),
    ]
    verdict = cheap_verdict(_episode("Anna's tea is green tea.", name="ep_1"), recent)
    assert verdict.signals.recurrences == 2
    assert any("2 times" in reason for reason in verdict.reasons)
    assert cheap_verdict(_episode("Hello!", name="ep_2"), recent).signals.recurrences == 0


def test_a_note_with_nothing_but_a_secret_is_vetoed_even_when_asked_to_keep() -> None:
    verdict = cheap_verdict(_episode("Remember that my password is hunter2.", kind="note"))
    assert verdict.kind == "remember" and verdict.vetoes and verdict.score == 0
    assert not any("hunter2" in reason for reason in verdict.reasons)


def test_a_secret_among_facts_leaves_the_facts() -> None:
    verdict = cheap_verdict(_episode("I live in Porto. My password is hunter2. I like tea."))
    assert verdict.kind == "write" and not verdict.vetoes
    assert any("password" in reason and "will not be learned" in reason for reason in verdict.reasons)


def test_a_stranger_to_the_model_is_written_and_common_knowledge_is_not() -> None:
    stranger = GateSignals(
        context_gain=7.0,
        total_gain=20.0,
        disagreement=1.0,
        semantic_entropy=1.6,
        mean_entropy=1.6,
        max_entropy=5.0,
        min_margin=0.02,
        min_logprob=-2.8,
        surprise=4.0,
    )
    common = GateSignals(
        context_gain=1.0,
        total_gain=1.0,
        disagreement=0.0,
        semantic_entropy=0.0,
        mean_entropy=0.1,
        max_entropy=0.3,
        min_margin=0.9,
        min_logprob=-0.1,
        surprise=-1.0,
    )
    written, left = scored_verdict(stranger), scored_verdict(common)
    assert written.kind == "write" and left.kind == "remember"
    assert written.stage == left.stage == "scored"
    assert written.score - left.score > 0.4
    assert all(reason[0].isupper() for reason in written.reasons + left.reasons)


signals = st.builds(
    GateSignals,
    **{name: st.none() | st.floats(-50, 50) for name in SIGNALS},
    corrected=st.booleans(),
    recovered=st.booleans(),
    passing=st.booleans(),
    asked_to_keep=st.booleans(),
    recurrences=st.integers(0, 50),
)
thresholds = st.floats(0, 1)


@given(signals, signals, thresholds)
def test_a_veto_is_never_bypassed(measured: GateSignals, flags: GateSignals, threshold: float) -> None:
    verdict = scored_verdict(measured, flags, ("secret: it holds a PIN or code",), threshold)
    assert verdict.kind == "remember" and verdict.score == 0 and verdict.vetoes


@given(signals, thresholds)
def test_the_users_word_bypasses_the_score(measured: GateSignals, threshold: float) -> None:
    for flag in ("corrected", "asked_to_keep"):
        asked = GateSignals.model_validate({flag: True})
        verdict = scored_verdict(measured, asked, (), threshold)
        assert verdict.kind == "write" and verdict.reasons[0].startswith("You ")


@given(signals, thresholds)
def test_else_the_threshold_decides(measured: GateSignals, threshold: float) -> None:
    plain = measured.model_copy(update={"corrected": False, "asked_to_keep": False})
    verdict = scored_verdict(plain, None, (), threshold)
    assert 0 <= verdict.score <= 1 and verdict.reasons
    assert (verdict.kind == "write") == (verdict.score >= threshold)


def test_what_was_not_measured_speaks_neither_way() -> None:
    weights = fitted()
    empty = weights.shares(figures(GateSignals()))
    assert all(empty[name] == 0 for name in SIGNALS)
    assert set(weights.weights) == set(SIGNALS) | set(FLAGS)


def test_a_procedure_that_nobody_could_measure_is_judged_by_what_happened() -> None:
    assert scored_verdict(GateSignals(), GateSignals(recovered=True), (), 0.5).kind == "write"
    assert scored_verdict(GateSignals(), GateSignals(recovered=True), ("secret: …",), 0.5).kind == "remember"


def test_other_weights_may_be_handed_in() -> None:
    never = Logistic(bias=-9.0, weights={}, means={}, deviations={})
    assert scored_verdict(GateSignals(context_gain=9.0), weights=never).kind == "remember"
