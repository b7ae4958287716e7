"""Every flow of the app, driven by keys on a scripted runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fake_runtime import FakeRuntime, past_episode
from textual.pilot import Pilot
from textual.widgets import Input

from agent.errors import HomeError, UsageError, WeightsMissing
from agent.events import ApprovalRequested, QuestionAsked
from memory.types import ToolCall
from tui.app import NightSchoolApp
from tui.screens.help import HelpScreen
from tui.widgets.activity_line import ActivityLine
from tui.widgets.call_block import CallBlock
from tui.widgets.completion_list import CompletionList
from tui.widgets.notice import Notice
from tui.widgets.prompt import Prompt
from tui.widgets.queue_list import QueueList
from tui.widgets.step_block import Chunk, TextPart, ThoughtPart
from tui.widgets.transcript import Transcript
from tui.widgets.turn_block import TurnBlock, UserMessage

Make = Callable[..., NightSchoolApp]
Settle = Callable[[Pilot[Any]], Awaitable[None]]
Until = Callable[[Pilot[Any], Callable[[], object]], Awaitable[None]]


async def send(pilot: Pilot[Any], settle: Settle, text: str) -> None:
    prompt(pilot).fill(text)
    await pilot.press("enter")
    await settle(pilot)


def prompt(pilot: Pilot[Any]) -> Prompt:
    return pilot.app.screen.query_one(Prompt)


def notices(pilot: Pilot[Any]) -> list[str]:
    return [notice.text for notice in pilot.app.work_screen.query(Notice)]


def asked(runtime: FakeRuntime, name: str) -> list[Any]:
    return [call[1:] for call in runtime.asked if call[0] == name]


def approval(runtime: FakeRuntime) -> ToolCall:
    call = runtime.call("fetch_url", decided=False, url="https://example.org")
    runtime.emit(
        ApprovalRequested(
            episode_id=runtime.episode_id, request_id="r1", call=call, risk="network", reason="policy.network"
        )
    )
    return call


async def test_a_conversation_is_one_episode(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await settle(pilot)
        assert isinstance(pilot.app.focused, Prompt)
        await send(pilot, settle, "hello")
        runtime.answer_with("Hello to you.")
        await settle(pilot)
        await send(pilot, settle, "and again")
    first, second = runtime.requests
    assert (first.kind, first.workspace, first.approve) == ("conversation", "/home/user/project", "ask")
    assert first.continue_episode is None
    assert second.continue_episode == runtime.episode_id
    assert asked(runtime, "close") == [()]


async def test_new_starts_afresh(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "hello")
        await send(pilot, settle, "/new")
        assert pilot.app.screen.query(TurnBlock)
        runtime.answer_with("Hello.")
        await settle(pilot)
        await send(pilot, settle, "/new")
        assert not pilot.app.screen.query(TurnBlock)
        await send(pilot, settle, "something else")
    assert runtime.requests[1].continue_episode is None


async def test_several_lines(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await settle(pilot)
        await pilot.press("a", "ctrl+j", "b", "shift+enter", "c", "enter")
        await settle(pilot)
    assert runtime.requests[0].text == "a\nb\nc"


async def test_blank_text_is_not_sent(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await settle(pilot)
        await pilot.press("space", "enter", "ctrl+j", "enter")
        await settle(pilot)
    assert runtime.requests == []


async def test_history(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        for text in ("one", "two\nlines"):
            await send(pilot, settle, text)
            runtime.answer_with("ok")
            await settle(pilot)
        await pilot.press("up")
        assert prompt(pilot).text == "two\nlines"
        await pilot.press("up", "up")
        assert prompt(pilot).text == "one"
        await pilot.press("down")
        assert prompt(pilot).text == "two\nlines"
        await pilot.press("down")
        assert prompt(pilot).text == ""


async def test_history_keeps_the_draft(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "one")
        await pilot.press("d", "up", "down")
        assert prompt(pilot).text == "d"


async def test_streamed_text_and_thought(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "hello")
        runtime.say("<thi", "nk>", "hm", "m</think>", "An ", "**answer**", "\n<tool", "_call>", '{"na')
        await settle(pilot)
        thought = pilot.app.screen.query_one(ThoughtPart)
        assert not thought.opened
        shown = [part.written for part in pilot.app.screen.query(TextPart)]
        assert "An **answer**\n" in shown
        assert not any("tool_call" in text or "think" in text for text in shown)
        thought.focus()
        await pilot.press("enter")
        assert thought.opened
        await pilot.press("x")
        assert prompt(pilot).has_focus
        assert prompt(pilot).text == "x"


async def test_calls_open_and_close(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "run it")
        runtime.call("run_shell", command="ls")
        await settle(pilot)
        block = pilot.app.screen.query_one(CallBlock)
        assert block.view.status == "running"
        runtime.finish_step("a\nb")
        await settle(pilot)
        assert (block.view.status, block.opened) == ("done", False)
        await pilot.press("shift+tab")
        assert block.has_focus
        await pilot.press("space")
        assert block.opened
        await pilot.press("ctrl+o")
        assert not block.opened


async def test_the_closing_answer_of_finish(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "do it")
        runtime.call("finish", answer="All done.")
        runtime.finish_step("All done.")
        runtime.end(answer="All done.")
        await settle(pilot)
        assert not pilot.app.screen.query_one(CallBlock).display
        assert "All done." in [part.written for part in pilot.app.screen.query(TextPart)]


@pytest.mark.parametrize(("key", "allow"), [("y", True), ("n", False)])
async def test_approval(make_app: Make, runtime: FakeRuntime, settle: Settle, key: str, allow: bool) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "fetch it")
        call = approval(runtime)
        await settle(pilot)
        await pilot.press(key)
        await settle(pilot)
        assert asked(runtime, "decide") == [("r1", allow, "")]
        runtime.decided(call, allow, "user")
        runtime.finish_step("ok", ok=allow, refused=not allow)
        await settle(pilot)
        assert pilot.app.screen.query_one(CallBlock).view.status == ("done" if allow else "refused")
        assert prompt(pilot).has_focus


async def test_reject_with_a_reason(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "fetch it")
        approval(runtime)
        await settle(pilot)
        await pilot.press("r", "n", "o", "escape")
        assert asked(runtime, "interrupt") == []
        await pilot.press("r", "!", "enter")
        await settle(pilot)
    assert asked(runtime, "decide") == [("r1", False, "no!")]


async def test_an_approval_leaves_a_draft_alone(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "fetch it")
        await pilot.press("s", "a")
        approval(runtime)
        await settle(pilot)
        await pilot.press("y")
        assert prompt(pilot).text == "say"
        await pilot.press("shift+tab", "y")
        await settle(pilot)
    assert asked(runtime, "decide") == [("r1", True, "")]


async def test_question(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "do it")
        for request_id in ("q1", "q2"):
            runtime.call("ask_user", question="How many?")
            runtime.emit(
                QuestionAsked(episode_id=runtime.episode_id, request_id=request_id, question="How many?")
            )
            await settle(pilot)
            assert isinstance(pilot.app.focused, Input)
            await pilot.press(*(("5", "enter") if request_id == "q1" else ("escape",)))
            await settle(pilot)
            runtime.finish_step("5")
    assert asked(runtime, "answer") == [("q1", "5"), ("q2", None)]


async def test_escape_interrupts_what_runs(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await settle(pilot)
        await pilot.press("escape")
        assert asked(runtime, "interrupt") == []
        await send(pilot, settle, "count to a million")
        await pilot.press("escape")
        await settle(pilot)
        assert asked(runtime, "interrupt") == [(runtime.episode_id,)]
        runtime.end("interrupted", reason="interrupted")
        await settle(pilot)
        assert not pilot.app.work_screen.conversation.running(pilot.app.view)


async def test_typed_while_loading_waits(make_app: Make, settle: Settle, until: Until) -> None:
    runtime = FakeRuntime(model_state="not_loaded")
    async with make_app(runtime).run_test() as pilot:
        await settle(pilot)
        assert asked(runtime, "load_model") == [()]
        runtime.loading(1, 2)
        await send(pilot, settle, "first")
        await send(pilot, settle, "second")
        assert runtime.requests == []
        assert pilot.app.screen.query_one(QueueList).display
        runtime.become_ready()
        await until(pilot, lambda: runtime.requests)
        assert [request.text for request in runtime.requests] == ["first"]
        runtime.answer_with("one")
        await settle(pilot)
        assert [request.text for request in runtime.requests] == ["first", "second"]
        assert not pilot.app.screen.query_one(QueueList).display


async def test_typed_before_the_connection_waits(
    make_app: Make, runtime: FakeRuntime, settle: Settle
) -> None:
    gate = asyncio.Event()
    async with make_app(runtime, before_connect=gate.wait).run_test() as pilot:
        await send(pilot, settle, "early bird")
        assert runtime.requests == []
        gate.set()
        await settle(pilot)
    assert [request.text for request in runtime.requests] == ["early bird"]


async def test_a_queued_message_can_be_taken_back(
    make_app: Make, runtime: FakeRuntime, settle: Settle
) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "first")
        await send(pilot, settle, "second")
        await pilot.press("up")
        await settle(pilot)
        assert prompt(pilot).text == "second"
        assert not pilot.app.screen.query_one(QueueList).display


async def test_a_missing_model_is_a_sentence_and_a_retry(
    make_app: Make, settle: Settle, until: Until
) -> None:
    sentence = "No weights yet. `nightschool model pull` fetches them."
    runtime = FakeRuntime(model_state="not_loaded")
    runtime.fail["load_model"] = WeightsMissing(sentence)
    async with make_app(runtime).run_test() as pilot:
        await settle(pilot)
        assert notices(pilot) == [sentence]
        runtime.known = runtime.known.model_copy(update={"model_state": "failed", "model_error": sentence})
        await until(pilot, lambda: pilot.app.status == runtime.known)
        del runtime.fail["load_model"]
        await send(pilot, settle, "hello")
        assert len(asked(runtime, "load_model")) == 2
        runtime.become_ready()
        await until(pilot, lambda: runtime.requests)
    assert [request.text for request in runtime.requests] == ["hello"]


async def test_a_refused_message_comes_back_to_the_prompt(
    make_app: Make, runtime: FakeRuntime, settle: Settle
) -> None:
    runtime.fail["submit"] = UsageError("The workspace does not exist.")
    async with make_app(runtime).run_test() as pilot:
        await settle(pilot)
        await send(pilot, settle, "hello")
        assert notices(pilot) == ["The workspace does not exist."]
        assert prompt(pilot).text == "hello"


async def test_a_lost_connection_loses_nothing(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "hello")
        runtime.say("Hel")
        await settle(pilot)
        runtime.die()
        await settle(pilot)
        assert "no longer answers" in notices(pilot)[0]
        await send(pilot, settle, "are you there")
        runtime._listeners.clear()
        runtime.say("lo.")
        runtime.finish_step()
        runtime.end(answer="Hello.")
        await send(pilot, settle, "/reconnect")
        await settle(pilot)
        turns = pilot.app.work_screen.episode.turns
        assert [turn.outcome for turn in turns] == ["success", None]
        assert [request.text for request in runtime.requests] == ["hello", "are you there"]


async def test_a_host_that_does_not_start(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    down = True

    async def before() -> None:
        if down:
            raise HomeError("The home is read-only.")

    async with make_app(runtime, before_connect=before).run_test() as pilot:
        await settle(pilot)
        assert "The home is read-only." in notices(pilot)[0]
        await send(pilot, settle, "hello")
        down = False
        await send(pilot, settle, "/reconnect")
        await settle(pilot)
    assert [request.text for request in runtime.requests] == ["hello"]


async def test_feedback_remember_status(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await settle(pilot)
        await send(pilot, settle, "/good")
        assert "nothing to judge" in notices(pilot)[0]
        await send(pilot, settle, "hello")
        await send(pilot, settle, "/good")
        await send(pilot, settle, "/bad say it in French")
        await send(pilot, settle, "/remember I like tea")
        await send(pilot, settle, "/status")
        await send(pilot, settle, "/remember")
        await send(pilot, settle, "/remeber tea")
        assert "There is no command" in notices(pilot)[-1]
    episode = runtime.episode_id
    assert asked(runtime, "feedback") == [(episode, "good", ""), (episode, "bad", "say it in French")]
    assert asked(runtime, "remember") == [("I like tea",)]


@pytest.mark.parametrize("key", ["y", "n"])
async def test_undo_shows_first_and_asks(
    make_app: Make, runtime: FakeRuntime, settle: Settle, key: str
) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "write it")
        runtime.answer_with("Written.")
        await settle(pilot)
        await send(pilot, settle, "/undo")
        assert asked(runtime, "undo") == []
        await pilot.press(key)
        await settle(pilot)
        assert prompt(pilot).has_focus
    assert len(asked(runtime, "undo")) == (1 if key == "y" else 0)


async def test_an_old_episode_is_gone_on_with(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    runtime.past = [past_episode(1, "an old task")]
    async with make_app(runtime).run_test() as pilot:
        await settle(pilot)
        runtime.episode_id = "ep_past_1"
        runtime.accept("an old task")
        runtime.answer_with("An old answer.")
        await send(pilot, settle, "/episodes")
        await pilot.press("enter")
        await settle(pilot)
        assert len(pilot.app.screen.query(UserMessage)) == 1
        await send(pilot, settle, "go on")
    assert runtime.requests[0].continue_episode == "ep_past_1"


async def test_completing_a_command(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await settle(pilot)
        await pilot.press("/", "r", "e")
        assert pilot.app.screen.query_one(CompletionList).display
        await pilot.press("tab")
        assert prompt(pilot).text == "/remember "
        await pilot.press("escape")
        prompt(pilot).fill("")
        await pilot.press("/", "h", "e", "enter")
        await settle(pilot)
        assert isinstance(pilot.app.screen, HelpScreen)


async def test_attaching_a_file(make_app: Make, runtime: FakeRuntime, settle: Settle, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "notes.md").write_text("x")
    (tmp_path / "two words.txt").write_text("x")
    async with make_app(runtime, workspace=tmp_path).run_test() as pilot:
        await settle(pilot)
        await pilot.press(*"read @no")
        await settle(pilot)
        await pilot.press("tab")
        assert prompt(pilot).text == "read @src/notes.md "
        await pilot.press(*"and @two")
        await settle(pilot)
        await pilot.press("tab", "enter")
        await settle(pilot)
    assert runtime.requests[0].attachments == ("src/notes.md", "two words.txt")


@pytest.mark.parametrize("key", ["f1", "question_mark"])
async def test_help(make_app: Make, runtime: FakeRuntime, settle: Settle, key: str) -> None:
    async with make_app(runtime).run_test() as pilot:
        await settle(pilot)
        await pilot.press(key)
        assert isinstance(pilot.app.screen, HelpScreen)
        await pilot.press("escape")
        assert prompt(pilot).has_focus
        await pilot.press("a", "question_mark")
        assert prompt(pilot).text == "a?"


async def test_control_c_twice_leaves(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    app = make_app(runtime)
    async with app.run_test() as pilot:
        await settle(pilot)
        await pilot.press("ctrl+c")
        assert app.is_running
        runtime.seconds += 10
        await pilot.press("ctrl+c")
        assert app.return_code is None
        await pilot.press("ctrl+c")
        await pilot.pause()
    assert app.return_code == 0


async def test_control_c_copies_a_selection(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    app = make_app(runtime)
    async with app.run_test() as pilot:
        await settle(pilot)
        await pilot.press("h", "i", "shift+left", "shift+left", "ctrl+c")
        assert app.clipboard == "hi"
        assert app.return_code is None


async def test_tint_keeps_up_with_the_stream(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "hello")
        runtime.say("one ", "two ")
        await settle(pilot)
        await pilot.press("ctrl+t")
        runtime.say("three ")
        await settle(pilot)
        part = pilot.app.screen.query(TextPart).first()
        assert "three" in str(part.query_one(".tinted").render())
        await pilot.press("ctrl+t")
        await settle(pilot)
        assert part.written == "one two three "


async def test_other_peoples_episodes_stay_out(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "mine")
        mine, runtime.episode_id = runtime.episode_id, "ep_of_somebody"
        runtime.accept("theirs")
        runtime.say("hello")
        await settle(pilot)
        assert pilot.app.work_screen.conversation.episode_id == mine
        assert len(pilot.app.screen.query(TurnBlock)) == 1


async def test_escape_sequences_never_reach_the_terminal(
    make_app: Make, runtime: FakeRuntime, settle: Settle
) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "run \x1b]0;evil\x07it")
        runtime.call("run_shell", command="printf '\x1b[2J'")
        runtime.finish_step("\x1b[31mred\x1b[0m \x1b]52;c;AAAA\x07\x07 [bold]not markup[/bold]")
        runtime.answer_with("fine \x1b[2J [/] [red]")
        await settle(pilot)
        await pilot.press("ctrl+o")
        await settle(pilot)
        body = str(pilot.app.screen.query_one(CallBlock).query_one(".fold-body").render())
        assert "red  [bold]not markup[/bold]" in body
        for widget in pilot.app.screen.walk_children():
            for strip in widget.render_lines(widget.size.region) if widget.size else ():
                assert "\x1b" not in strip.text
                assert "\x07" not in strip.text


async def test_the_palette_runs_commands(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await settle(pilot)
        await pilot.press("ctrl+p")
        await pilot.pause(0.3)
        await pilot.press(*"status")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await settle(pilot)
        assert any("bubblewrap" in text for text in notices(pilot))


async def test_activity_says_what_happens(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "hello")
        line = pilot.app.screen.query_one(ActivityLine)
        runtime.prefill(512, 1300)
        await settle(pilot)
        assert "reading 512 of 1,300 tokens" in str(line.render())
        runtime.call("run_shell", command="sleep 1")
        await settle(pilot)
        assert "running run_shell" in str(line.render())


async def test_leaving_while_it_writes(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    app = make_app(runtime)
    async with app.run_test() as pilot:
        await send(pilot, settle, "hello")
        runtime.say("still ")
        app.leave()
        runtime.say("writing ")
        await asyncio.sleep(0.1)
    assert app.return_code == 0


async def test_a_failed_load_is_told_once(make_app: Make, settle: Settle) -> None:
    sentence = "The weights are damaged. `nightschool model pull` fetches them again."
    runtime = FakeRuntime(model_state="failed", model_error=sentence)
    runtime.fail["load_model"] = WeightsMissing(sentence)
    async with make_app(runtime).run_test() as pilot:
        await settle(pilot)
        assert notices(pilot) == [sentence]


async def test_without_a_workspace(make_app: Make, runtime: FakeRuntime, settle: Settle) -> None:
    async with make_app(runtime, workspace=None).run_test() as pilot:
        await settle(pilot)
        await pilot.press("@", "a")
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
    assert (runtime.requests[0].workspace, runtime.requests[0].attachments) == (None, ())


async def test_what_is_far_rests_and_keeps_its_place(
    make_app: Make, runtime: FakeRuntime, settle: Settle
) -> None:
    async with make_app(runtime).run_test() as pilot:
        await settle(pilot)
        transcript = pilot.app.screen.query_one(Transcript)
        for number in range(8):
            await send(pilot, settle, f"question {number}")
            runtime.answer_with(f"Answer {number}.\n\n" + "- a point\n" * 8)
            await settle(pilot)
        transcript.rest_far()
        await settle(pilot)
        chunks = list(transcript.query(Chunk))
        height = transcript.virtual_size.height
        assert chunks[0].resting
        assert not chunks[-1].resting
        transcript.scroll_home(animate=False)
        await settle(pilot)
        transcript.rest_far()
        await settle(pilot)
        assert not chunks[0].resting
        assert chunks[-1].resting
        assert transcript.virtual_size.height == height
        await pilot.resize_terminal(60, 30)
        await settle(pilot)
        assert [chunk for chunk in chunks if not chunk.resting]


async def test_a_long_answer_is_laid_out_in_stretches(
    make_app: Make, runtime: FakeRuntime, settle: Settle
) -> None:
    paragraphs = "\n\n".join(f"Paragraph {number} " + "word " * 60 for number in range(6))
    async with make_app(runtime).run_test() as pilot:
        await send(pilot, settle, "tell me")
        for start in range(0, len(paragraphs), 50):
            runtime.say(paragraphs[start : start + 50])
        await settle(pilot)
        part = pilot.app.screen.query(TextPart).first()
        assert part.written == paragraphs
        assert len(part.chunks) > 2
