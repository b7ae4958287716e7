"""The fold: right on real orders of events, unbreakable on any."""

from __future__ import annotations

from typing import Any

from fake_runtime import FakeRuntime
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from agent import events as ev
from agent.calls import TaskRequest
from memory.types import Message, Step, TokenSignal, TokenUsage, ToolCall, ToolResult
from tui.conversation import Conversation
from tui.markup import parts
from tui.state import ApprovalAsk, View, fold, fold_all, settled, tokens_per_second
from tui.tint import tinted
from tui.widgets.activity_line import doing
from tui.widgets.status_line import Standing, status_content
from tui.widgets.turn_block import closing_text, ending_line

SIGNAL = TokenSignal(token_id=1, text="a", logprob=-0.1, entropy=0.2, margin=0.9)


async def played() -> FakeRuntime:
    """A whole task: a thought, an approved call, an answer."""
    runtime = FakeRuntime()
    await runtime.submit(TaskRequest(text="do it", kind="conversation"))
    runtime.prefill(10, 20)
    runtime.say("<think>", "hm", "</think>", "ok ", "<tool_call>")
    call = runtime.call("fetch", decided=False, url="x")
    runtime.emit(
        ev.ApprovalRequested(
            episode_id=runtime.episode_id, request_id="r", call=call, risk="network", reason="why"
        )
    )
    return runtime


async def test_a_task_from_its_durable_events_alone() -> None:
    runtime = await played()
    view = fold_all(View(), runtime.journal)
    episode = view.episode(runtime.episode_id)
    assert episode is not None and episode.running
    assert [type(ask) for ask in episode.asks] == [ApprovalAsk]
    assert episode.turns[0].steps[0].calls[0].status == "waiting"
    runtime.decided(runtime._calls[0], True, "user")
    runtime.finish_step("fetched")
    runtime.answer_with("Done.")
    view = fold_all(view, runtime.journal)
    episode = view.episode(runtime.episode_id)
    assert episode is not None and not episode.running
    assert episode.asks == ()
    first, second = episode.turns[0].steps
    assert first.calls[0].status == "done"
    assert second.text.strip() == "Done."
    assert episode.context_used > 0


async def test_only_shortening_makes_the_context_smaller() -> None:
    runtime = await played()

    def finished(seq: int, prompt: int) -> ev.StepFinished:
        message = Message(role="assistant", content="x", provenance="model")
        step = Step(index=seq, message=message, usage=TokenUsage(prompt=prompt, generated=5))
        return ev.StepFinished(episode_id=runtime.episode_id, seq=seq, step=step)

    def used(*events: ev.Event) -> int:
        view = fold_all(View(), [*runtime.journal, *events]).episode(runtime.episode_id)
        assert view is not None
        return view.context_used

    # the last answer of a task may be asked for in a prompt of its own
    assert used(finished(100, 2000), finished(101, 2100), finished(102, 90)) == 2105
    shortened = ev.ContextCompacted(
        episode_id=runtime.episode_id, seq=101, shortened=("c",), tokens_before=2100, tokens_after=700
    )
    assert used(finished(100, 2000), shortened) == 700


async def test_folding_again_changes_nothing() -> None:
    runtime = await played()
    view = fold_all(View(), runtime.journal)
    assert fold_all(view, runtime.journal) is view


async def test_untouched_parts_keep_their_identity() -> None:
    runtime = await played()
    runtime.finish_step("ok")
    view = fold_all(View(), runtime.journal)
    step = view.episodes[runtime.episode_id].turns[0].steps[0]
    after = fold(view, ev.TokenGenerated(episode_id=runtime.episode_id, text="a", signal=SIGNAL))
    assert after.episodes[runtime.episode_id].turns[0].steps[0] is step


async def test_an_answered_request_is_gone() -> None:
    runtime = await played()
    view = fold_all(View(), runtime.journal)
    assert settled(view, runtime.episode_id, "nonsense") is view
    assert settled(view, runtime.episode_id, "r").episodes[runtime.episode_id].asks == ()


def test_speed() -> None:
    runtime = FakeRuntime()
    runtime.episode_id = "e"
    seen: list[ev.Event] = []
    runtime.emit = seen.append  # type: ignore[method-assign]
    for number in range(40):
        at = runtime.clock().replace(microsecond=number * 20_000)
        seen.append(ev.TokenGenerated(episode_id="e", text="a", signal=SIGNAL, at=at))
    step = fold_all(View(), seen).episodes["e"].turns[0].steps[0]
    assert round(tokens_per_second(step) or 0) == 50


async def test_a_message_is_sent_once_and_waits_for_its_turn() -> None:
    runtime = FakeRuntime()
    from pathlib import Path

    conversation = Conversation(Path("/nowhere"), waiting=["one", "two"])
    await conversation.send_next(runtime, View())
    assert conversation.running(View())
    view = fold_all(View(), runtime.journal)
    assert conversation.sent == "one"
    assert conversation.running(view)
    assert conversation.sent is None
    runtime.answer_with("ok")
    assert not conversation.running(fold_all(view, runtime.journal))


def text() -> st.SearchStrategy[str]:
    pieces = [
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        '{"name":',
        "<",
        "a",
        "日本",
        "\n",
        "🦉",
        "```",
    ]
    return st.lists(st.sampled_from(pieces), max_size=5).map("".join) | st.text(max_size=8)


def events() -> st.SearchStrategy[ev.Event]:
    common: dict[str, Any] = {
        "episode_id": st.sampled_from(["a", "b", None]),
        "seq": st.integers(0, 12),
    }
    index = st.integers(0, 3)
    call = st.builds(
        ToolCall,
        id=st.sampled_from(["c0", "c1", "c2"]),
        name=st.sampled_from(["run_shell", "finish", "edit_file"]),
        arguments=st.dictionaries(st.sampled_from(["path", "old", "new", "content"]), text() | st.none()),
    )
    calls = st.lists(call, max_size=2).map(tuple)
    result = st.builds(
        ToolResult,
        call_id=st.sampled_from(["c0", "c1", "c2"]),
        name=st.just("t"),
        ok=st.booleans(),
        content=text(),
        refused=st.booleans(),
    )
    signal = st.builds(
        TokenSignal,
        token_id=st.just(1),
        text=text(),
        logprob=st.floats(-20, 0),
        entropy=st.floats(0, 12),
        margin=st.floats(0, 1),
        forced=st.booleans(),
    )
    message = st.builds(
        Message, role=st.just("assistant"), content=text(), provenance=st.just("model"), tool_calls=calls
    )
    step = st.builds(
        Step,
        index=index,
        message=message,
        results=st.lists(result, max_size=2).map(tuple),
        usage=st.just(TokenUsage(prompt=3, generated=2)),
        signals=st.lists(signal, max_size=3).map(tuple),
    )
    built: list[tuple[type[BaseModel], dict[str, Any]]] = [
        (ev.EpisodeStarted, {"episode_kind": st.just("task"), "workspace": st.none(), "model": text()}),
        (ev.TaskAccepted, {"message": message}),
        (ev.StepStarted, {"index": index, "calls": calls}),
        (ev.StepFinished, {"step": step}),
        (
            ev.ContextCompacted,
            {"shortened": st.just(()), "tokens_before": index, "tokens_after": index},
        ),
        (
            ev.ApprovalRequested,
            {"request_id": st.sampled_from("xyz"), "call": call, "risk": text(), "reason": text()},
        ),
        (ev.QuestionAsked, {"request_id": st.sampled_from("xyz"), "question": text()}),
        (
            ev.CallDecided,
            {
                "call_id": st.sampled_from(["c0", "c1"]),
                "tool": text(),
                "allowed": st.booleans(),
                "by": text(),
                "reason": text(),
            },
        ),
        (
            ev.RunFinished,
            {
                "outcome": st.sampled_from(["success", "failure", "interrupted", "out_of_budget", "refused"]),
                "answer": text(),
                "reason": text(),
            },
        ),
        (ev.EpisodeUndone, {"paths": st.just(())}),
        (ev.TokenGenerated, {"text": text(), "signal": signal}),
        (
            ev.Progress,
            {
                "stage": st.sampled_from(["loading", "prefill", "tool", "new"]),
                "done": st.floats(0, 10),
                "total": st.floats(0, 10),
            },
        ),
    ]
    return st.one_of(*[st.builds(kind, **common, **fields) for kind, fields in built])


@settings(max_examples=150, deadline=None)
@given(st.lists(events(), max_size=25))
def test_any_order_of_events_can_be_shown(stream: list[ev.Event]) -> None:
    view = fold_all(View(), stream)
    for episode in view.episodes.values():
        doing(episode)
        for turn in episode.turns:
            closing_text(turn)
            if turn.outcome is not None:
                ending_line(turn, True)
            for step in turn.steps:
                for part in parts(step.text, step.finished):
                    assert step.text[part.start : part.end] == part.text
                    tinted(step.tokens, part.start, part.end)


@given(st.lists(text(), max_size=12))
def test_parts_only_grow_while_text_streams(pieces: list[str]) -> None:
    raw = ""
    before = ""
    for piece in pieces:
        raw += piece
        now = "".join(part.text for part in parts(raw, False) if part.kind == "text")
        shown_before = before.rstrip()
        if not any(mark in raw for mark in ("<", "`", "{", "[")):
            assert now.startswith(shown_before)
        before = now


@given(
    st.integers(1, 220),
    st.text(max_size=40),
    st.sampled_from(["connecting", "starting", "loading", "ready", "failed", "lost"]),
    st.integers(0, 9000),
    st.text(max_size=20),
)
def test_the_status_line_fits_any_width(width: int, model: str, state: str, used: int, error: str) -> None:
    standing = Standing(
        model=model,
        state=state,
        loaded=0.5,
        context_used=used,
        context_total=8192,
        speed=41.2,
        sandbox="bubblewrap",
        sandbox_error=error,
        workspace="/home/user/a/long/way/down/to/the/project",
        queued=3,
    )
    assert status_content(standing, width).cell_length <= width
