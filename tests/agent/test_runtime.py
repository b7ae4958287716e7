"""The runtime with a scripted model: what a task does, leaves, and how it can end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.calls import TaskRequest
from agent.errors import UsageError
from agent.events import (
    ApprovalRequested,
    CallDecided,
    ContextCompacted,
    QuestionAsked,
    RunFinished,
    StepFinished,
    StepStarted,
    TokenGenerated,
)
from agent.runtime import Runtime
from tests.runtime_helpers import call, finished

MakeRuntime = Callable[..., Awaitable[Runtime]]


def request(where: Path, text: str = "Do it.", **fields: object) -> TaskRequest:
    return TaskRequest.model_validate({"text": text, "workspace": str(where)} | fields)


async def test_a_task_with_calls_becomes_an_episode(make_runtime: MakeRuntime, workspace: Path) -> None:
    runtime = await make_runtime(
        [
            call("write_file", path="a.txt", content="hi"),
            call("run_shell", command="cat a.txt"),
            "It says hi.",
        ]
    )
    end, events = await finished(runtime, request(workspace))
    assert (end.outcome, end.answer, end.steps) == ("success", "It says hi.", 3)
    assert (workspace / "a.txt").read_text() == "hi"
    kinds = [event.kind for event in events if event.seq]
    assert kinds[:2] == ["episode_started", "task_accepted"]
    assert kinds[-1] == "run_finished"
    episode = await runtime.episode(end.episode_id or "")
    assert [s.message.tool_calls[0].name for s in episode.steps[:2]] == ["write_file", "run_shell"]
    assert "hi" in episode.steps[1].results[0].content
    assert episode.uncertainty.tokens > 0
    assert [e.id for e in await runtime.episodes()] == [episode.id]
    assert end.tokens.generated == episode.usage.generated


async def test_calls_are_journalled_before_they_run(make_runtime: MakeRuntime, workspace: Path) -> None:
    runtime = await make_runtime([call("run_shell", command="true"), "done"])
    _, events = await finished(runtime, request(workspace))
    order = [type(e) for e in events if isinstance(e, StepStarted | CallDecided | StepFinished)]
    assert order[:3] == [StepStarted, CallDecided, StepFinished]


async def test_events_are_told_in_the_order_of_the_journal(
    make_runtime: MakeRuntime, workspace: Path
) -> None:
    runtime = await make_runtime([call("write_file", path="a", content="x"), "Made."])
    stream = runtime.events()
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    episode_id = await runtime.submit(request(workspace))
    seen = [await first]
    while seen[-1].kind != "episode_judged":
        seen.append(await anext(stream))
    await stream.aclose()
    places = [event.seq for event in seen if event.seq and event.episode_id == episode_id]
    assert places == sorted(set(places))
    assert seen[-2].kind == "run_finished"


async def test_a_wrong_call_gets_one_repair_turn(make_runtime: MakeRuntime, workspace: Path) -> None:
    runtime = await make_runtime([call("read_file"), call("list_files"), "fine"])
    end, events = await finished(runtime, request(workspace))
    assert end.outcome == "success"
    wrong = next(e for e in events if isinstance(e, StepFinished)).step.results[0]
    assert not wrong.ok and "path" in wrong.content

    runtime = await make_runtime([call("read_file"), call("reed_file", path="x")], home=workspace / "h2")
    end, _ = await finished(runtime, request(workspace))
    assert end.outcome == "failure" and "repair" in end.reason


async def test_a_call_that_fails_the_same_way_again_ends_the_task(
    make_runtime: MakeRuntime, workspace: Path
) -> None:
    runtime = await make_runtime([call("read_file", path="missing.txt")] * 10)
    end, _ = await finished(runtime, request(workspace))
    assert (end.outcome, end.steps) == ("failure", 3)
    assert "read_file" in end.reason


async def test_the_same_failure_twice_is_pointed_out(make_runtime: MakeRuntime, workspace: Path) -> None:
    missing = call("read_file", path="missing.txt")
    runtime = await make_runtime([missing, missing, "It is not there."])
    end, _ = await finished(runtime, request(workspace))
    steps = (await runtime.episode("last")).steps
    first, second = steps[0].results[0].content, steps[1].results[0].content
    assert end.outcome == "success"
    assert second.startswith(first) and "different" in second
    # greedy decoding would only repeat itself
    requests = runtime._parts.model._model.requests  # type: ignore[union-attr]
    assert [asked.temperature > 0 for asked in requests] == [False, False, True]


async def test_after_tools_an_empty_answer_is_asked_for_again(
    make_runtime: MakeRuntime, workspace: Path
) -> None:
    runtime = await make_runtime([call("list_files"), "", "There is nothing."])
    end, _ = await finished(runtime, request(workspace))
    assert (end.outcome, end.answer) == ("success", "There is nothing.")


async def test_a_call_whose_result_stands_is_answered_from_it(
    make_runtime: MakeRuntime, workspace: Path
) -> None:
    (workspace / "a.txt").write_text("seven")
    runtime = await make_runtime([call("read_file", path="a.txt")] * 2 + ["It says seven."])
    end, _ = await finished(runtime, request(workspace, "What does a.txt say?"))
    assert (end.outcome, end.answer, end.steps) == ("success", "It says seven.", 3)
    asked = runtime._parts.model._model.requests[-1]  # type: ignore[union-attr]
    assert not asked.tools and "seven" in asked.messages[-1].content


async def test_such_an_answer_knows_what_was_said_before(make_runtime: MakeRuntime, workspace: Path) -> None:
    (workspace / "a.txt").write_text("seven")
    look = call("read_file", path="a.txt")
    runtime = await make_runtime(["Hello, Ann.", look, look, "Seven, Ann."])
    said, _ = await finished(runtime, request(workspace, "I am Ann.", kind="conversation"))
    more = request(workspace, "What does a.txt say?", kind="conversation", continue_episode=said.episode_id)
    end, _ = await finished(runtime, more)
    assert end.answer == "Seven, Ann."
    asked = runtime._parts.model._model.requests[-1]  # type: ignore[union-attr]
    assert [message.role for message in asked.messages] == ["system", "user", "assistant", "user"]
    assert asked.messages[1].content == "I am Ann." and "seven" in asked.messages[-1].content


async def test_a_command_may_run_again_after_a_change(make_runtime: MakeRuntime, workspace: Path) -> None:
    look = call("run_shell", command="cat a.txt")
    change = call("write_file", path="a.txt", content="two")
    (workspace / "a.txt").write_text("one")
    runtime = await make_runtime([look, change, look, "done"])
    end, _ = await finished(runtime, request(workspace))
    results = [step.results[0].content for step in (await runtime.episode("last")).steps[:3]]
    assert end.outcome == "success" and "one" in results[0] and "two" in results[2]


@pytest.mark.parametrize(
    ("budgets", "word"),
    [({"max_steps": 2}, "steps"), ({"max_tokens": 10}, "tokens"), ({"max_seconds": 0.5}, "seconds")],
)
async def test_budgets(
    make_runtime: MakeRuntime, workspace: Path, budgets: dict[str, float], word: str
) -> None:
    script = [call("run_shell", command=f"sleep 0.2; echo {n}") for n in range(30)]
    runtime = await make_runtime(script, agent=budgets)
    end, _ = await finished(runtime, request(workspace))
    assert end.outcome == "out_of_budget" and word in end.reason


async def test_finish_says_how_it_went(make_runtime: MakeRuntime, workspace: Path) -> None:
    runtime = await make_runtime([call("finish", answer="cannot be done", success=False)])
    end, _ = await finished(runtime, request(workspace))
    assert (end.outcome, end.answer) == ("failure", "cannot be done")


async def test_nobody_there_means_no(make_runtime: MakeRuntime, workspace: Path) -> None:
    script = [call("run_shell", command="touch made"), "I could not."]
    runtime = await make_runtime(script, policy={"execute": "ask"})
    end, events = await finished(runtime, request(workspace))
    assert end.outcome == "refused"
    decided = next(e for e in events if isinstance(e, CallDecided))
    assert (decided.allowed, decided.by) == (False, "nobody")
    assert not (workspace / "made").exists()


async def test_approve_never_lifts_a_deny(make_runtime: MakeRuntime, workspace: Path) -> None:
    script = [call("run_shell", command="touch made"), "I could not."]
    runtime = await make_runtime(script, policy={"execute": "deny"})
    end, _ = await finished(runtime, request(workspace, approve="allow"))
    assert end.outcome == "refused"
    assert not (workspace / "made").exists()


async def test_refused_again_in_the_same_words_is_still_refused(
    make_runtime: MakeRuntime, workspace: Path
) -> None:
    # what succeeds in between makes the first refusal one that was got over
    denied = call("run_shell", command="touch made")
    runtime = await make_runtime(
        [denied, call("list_files"), denied, "I could not."], policy={"execute": "deny"}
    )
    end, _ = await finished(runtime, request(workspace))
    assert (end.outcome, end.answer) == ("refused", "I could not.")


async def test_a_person_approves_and_rejects_by_request_id(
    make_runtime: MakeRuntime, workspace: Path
) -> None:
    script = [call("run_shell", command="touch one"), call("run_shell", command="touch two"), "done"]
    runtime = await make_runtime(script, policy={"execute": "ask"})
    episode_id = await runtime.submit(request(workspace, approve="ask"))
    asked = 0
    async for event in runtime.events(episode_id):
        if isinstance(event, ApprovalRequested):
            asked += 1
            await runtime.decide(event.request_id, allow=asked == 1, reason="not that one")
            with pytest.raises(UsageError):
                await runtime.decide("req_nothing", allow=True)
        if isinstance(event, CallDecided) and not event.allowed:
            assert "not that one" in event.reason
        if isinstance(event, RunFinished):
            break
    assert asked == 2
    assert (workspace / "one").exists() and not (workspace / "two").exists()


async def test_asking_ends_when_the_last_listener_leaves(make_runtime: MakeRuntime, workspace: Path) -> None:
    runtime = await make_runtime(
        [call("run_shell", command="touch made"), "I could not."], policy={"execute": "ask"}
    )
    episode_id = await runtime.submit(request(workspace, approve="ask"))
    events = runtime.events(episode_id)
    async for event in events:
        if isinstance(event, ApprovalRequested):
            break
    await events.aclose()
    await runtime.drain()
    assert (await runtime.episode(episode_id)).outcome == "refused"


async def test_a_question_reaches_the_person(make_runtime: MakeRuntime, workspace: Path) -> None:
    runtime = await make_runtime([call("ask_user", question="Which colour?"), "Blue it is."])
    episode_id = await runtime.submit(request(workspace, approve="ask"))
    async for event in runtime.events(episode_id):
        if isinstance(event, QuestionAsked):
            await runtime.answer(event.request_id, "blue")
        if isinstance(event, RunFinished):
            break
    result = (await runtime.episode(episode_id)).steps[0].results[0]
    assert "blue" in result.content and result.provenance == "user"


async def test_an_interruption_keeps_what_was_done(make_runtime: MakeRuntime, workspace: Path) -> None:
    runtime = await make_runtime(
        [call("run_shell", command="echo kept"), call("run_shell", command="sleep 30")]
    )
    episode_id = await runtime.submit(request(workspace))
    async for event in runtime.events(episode_id):
        if isinstance(event, StepStarted) and event.index == 1:
            break
    assert await runtime.interrupt(episode_id)
    episode = await runtime.episode(episode_id)
    assert episode.outcome == "interrupted"
    assert "kept" in episode.steps[0].results[0].content
    assert "interrupted" in episode.steps[1].results[0].content
    assert not await runtime.interrupt(episode_id)


async def test_an_interruption_between_tokens_keeps_the_text(
    make_runtime: MakeRuntime, workspace: Path
) -> None:
    runtime = await make_runtime([" ".join(f"word{n}" for n in range(3000))])
    episode_id = await runtime.submit(request(workspace))
    async for event in runtime.events(episode_id):
        if isinstance(event, TokenGenerated):
            break
    await runtime.interrupt(episode_id)
    episode = await runtime.episode(episode_id)
    assert episode.outcome == "interrupted"
    assert episode.steps[0].message.content.startswith("word0")


async def ended(runtime: Runtime, episode_id: str) -> RunFinished:
    """The end of a turn as a listener hears it."""
    async with asyncio.timeout(30):
        async for event in runtime.events(episode_id):
            if isinstance(event, RunFinished):
                return event
    raise AssertionError("the stream ended")


async def test_a_waiting_task_is_interrupted_at_once(make_runtime: MakeRuntime, workspace: Path) -> None:
    runtime = await make_runtime([call("run_shell", command="sleep 30"), "never"])
    first = await runtime.submit(request(workspace, "first"))
    async for event in runtime.events(first):
        if isinstance(event, StepStarted):
            break
    second = await runtime.submit(request(workspace, "second"))
    heard = asyncio.create_task(ended(runtime, second))
    assert await asyncio.wait_for(runtime.interrupt(second), 10)
    assert (await heard).outcome == "interrupted"
    kept = await runtime.episode(second)
    assert (kept.task, kept.outcome) == ("second", "interrupted")
    assert (await runtime.status()).running == first
    assert await runtime.interrupt(first)


async def test_a_task_interrupted_before_it_takes_a_step_has_an_end(
    make_runtime: MakeRuntime, workspace: Path
) -> None:
    runtime = await make_runtime(["never"])
    for turns in range(4):
        episode_id = await runtime.submit(request(workspace, "kept"))
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(runtime.interrupt(episode_id), 30)
        assert (await ended(runtime, episode_id)).outcome == "interrupted"
        assert (await runtime.episode(episode_id)).task == "kept"


async def test_an_end_that_is_being_stored_cannot_be_interrupted(
    make_runtime: MakeRuntime, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = await make_runtime(["All done."])
    keep, storing, go_on = runtime._archive.keep, asyncio.Event(), asyncio.Event()

    async def slowly(episode_id: str) -> None:
        storing.set()
        await go_on.wait()
        await keep(episode_id)

    monkeypatch.setattr(runtime._archive, "keep", slowly)
    episode_id = await runtime.submit(request(workspace))
    heard = asyncio.create_task(ended(runtime, episode_id))
    await asyncio.wait_for(storing.wait(), 30)
    interrupting = asyncio.create_task(runtime.interrupt(episode_id))
    await asyncio.sleep(0.05)
    go_on.set()
    assert not await interrupting
    end = await heard
    assert (end.outcome, end.answer) == ("success", "All done.")


async def test_tables_that_cannot_be_used_do_not_make_a_task_fail(
    make_runtime: MakeRuntime, workspace: Path, tmp_path: Path
) -> None:
    runtime = await make_runtime(["All done."])
    (tmp_path / "home" / "lancedb").mkdir(exist_ok=True)
    (tmp_path / "home" / "lancedb" / "episodes.lance").write_text("no table")
    end, _ = await finished(runtime, request(workspace))
    assert (end.outcome, end.answer) == ("success", "All done.")
    assert (await runtime.episode("last")).answer == "All done."


async def test_a_conversation_goes_on(make_runtime: MakeRuntime, workspace: Path) -> None:
    runtime = await make_runtime(["one", "two"])
    first, _ = await finished(runtime, request(workspace, "first", kind="conversation"))
    second, _ = await finished(
        runtime, TaskRequest(text="second", continue_episode="last", kind="conversation")
    )
    assert first.episode_id == second.episode_id
    episode = await runtime.episode("last")
    assert [(t.user.content, t.answer) for t in episode.turns] == [("first", "one"), ("second", "two")]
    assert episode.workspace == str(workspace)


async def test_old_output_is_shortened_never_what_the_user_said(
    make_runtime: MakeRuntime, workspace: Path
) -> None:
    script = [call("run_shell", command=f"seq {n} {n + 900}") for n in range(8)] + ["done"]
    runtime = await make_runtime(script, agent={"turn_tokens": 64}, model={"context_tokens": 2048})
    end, events = await finished(runtime, request(workspace, "Count. Remember the word heron."))
    assert end.outcome == "success"
    compacted = [e for e in events if isinstance(e, ContextCompacted)]
    assert compacted and all(e.tokens_after < e.tokens_before for e in compacted)
    episode = await runtime.episode("last")
    assert all("left out" not in r.content or r.full_output for s in episode.steps for r in s.results)


async def test_long_output_is_kept_whole(make_runtime: MakeRuntime, workspace: Path) -> None:
    runtime = await make_runtime([call("run_shell", command="seq 5000"), "done"])
    await finished(runtime, request(workspace))
    result = (await runtime.episode("last")).steps[0].results[0]
    assert len(result.content) < 6000 and result.full_output is not None
    assert "4321" in Path(result.full_output).read_text()


async def test_undo_takes_back_tools_and_commands(make_runtime: MakeRuntime, workspace: Path) -> None:
    (workspace / "old.txt").write_text("old")
    runtime = await make_runtime(
        [
            call("write_file", path="old.txt", content="new"),
            call("run_shell", command="echo made > made.txt; mkdir d; echo x > d/x"),
            "done",
        ]
    )
    await finished(runtime, request(workspace))
    assert {c.path for c in await runtime.undo_preview("last")} >= {"old.txt", "made.txt"}
    await runtime.undo("last")
    assert (workspace / "old.txt").read_text() == "old"
    assert sorted(p.name for p in workspace.iterdir()) == ["old.txt"]
    assert (await runtime.episode("last")).undone
    with pytest.raises(UsageError):
        await runtime.undo("last")


async def test_feedback_and_notes_are_kept(make_runtime: MakeRuntime, workspace: Path) -> None:
    runtime = await make_runtime(["yes"])
    end, _ = await finished(runtime, request(workspace))
    await runtime.feedback("last", "bad", "It is no.")
    assert (await runtime.episode(end.episode_id or "")).feedback[0].text == "It is no."
    note = await runtime.remember("The deploy host is heron.")
    assert (await runtime.episode(note)).kind == "note"
    hits = await runtime.search("deploy host")
    assert hits[0].episode.id == note


async def test_a_note_is_recalled_for_a_task_and_kept_apart(
    make_runtime: MakeRuntime, workspace: Path
) -> None:
    runtime = await make_runtime(["heron"])
    await runtime.remember("The deploy host is called heron.")
    await finished(runtime, request(workspace, "What is the deploy host called?"))
    user = (await runtime.episode("last")).turns[0].user
    assert "heron" in user.context and "heron" not in user.content


async def test_ask_leaves_no_episode(make_runtime: MakeRuntime, workspace: Path) -> None:
    runtime = await make_runtime(["Paris."])
    answer = await runtime.ask("What is the capital of France?")
    assert answer.answer == "Paris." and answer.tokens.generated > 0
    assert await runtime.episodes() == []


async def test_questions_of_a_person_hold_a_night_while_the_model_works(
    make_runtime: MakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = await make_runtime(["Paris.", "Paris.", "Rome."])
    held: list[int] = []
    model = runtime._parts.model
    for name in ("stream", "generate_batch"):
        real = getattr(model, name)
        monkeypatch.setattr(
            model, name, lambda asked, real=real: (held.append(runtime._day_work), real(asked))[1]
        )
    await runtime.ask("What is the capital of France?")
    await runtime.ask_many(("What is the capital of France?", "And of Italy?"))
    assert held == [1, 1] and runtime._day_work == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "   "},
        {"text": "x" * 1_000_000},
        {"workspace": "/nowhere/at/all"},
        {"workspace": "/"},
        {"workspace": "/usr"},
        {"workspace": str(Path.home())},
        {"continue_episode": "ep_none"},
    ],
)
async def test_senseless_requests_are_one_sentence(
    make_runtime: MakeRuntime, workspace: Path, fields: dict[str, str]
) -> None:
    runtime = await make_runtime([])
    with pytest.raises(UsageError) as error:
        await runtime.submit(request(workspace, **({"text": "Do it."} | fields)))
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


async def test_its_own_home_is_no_workspace(make_runtime: MakeRuntime, tmp_path: Path) -> None:
    runtime = await make_runtime(["done"])
    home = tmp_path / "home"
    (home / "journal").mkdir(exist_ok=True)
    (tmp_path / "link").symlink_to(home)
    for place in (home, home / "journal", tmp_path / "link", tmp_path / "link" / "journal"):
        with pytest.raises(UsageError, match="own home"):
            await runtime.submit(request(place))
    # but for the folders made for tasks there
    end, _ = await finished(runtime, TaskRequest(text="Do it."))
    where = (await runtime.episode(end.episode_id or "")).workspace
    assert where is not None and Path(where).parent == home / "workspaces"
    await finished(runtime, request(Path(where)))


async def test_a_task_cut_off_by_a_crash_is_interrupted_with_its_steps(
    make_runtime: MakeRuntime, workspace: Path, tmp_path: Path
) -> None:
    runtime = await make_runtime(
        [call("run_shell", command="echo kept"), call("run_shell", command="sleep 9")]
    )
    episode_id = await runtime.submit(request(workspace))
    async for event in runtime.events(episode_id):
        if isinstance(event, StepStarted) and event.index == 1:
            break
    # another process would find exactly this on disk
    copied = tmp_path / "after"
    await asyncio.to_thread(_copy, tmp_path / "home" / "journal", copied / "journal")
    await runtime.interrupt(episode_id)
    later = await make_runtime([], home=copied)
    await later.recover()
    episode = await later.episode(episode_id)
    assert episode.outcome == "interrupted"
    assert "kept" in episode.steps[0].results[0].content
    assert [e.id for e in await later.episodes()] == [episode_id]


def _copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())


async def test_a_task_that_waits_for_nobody_puts_no_question_to_listeners(
    make_runtime: MakeRuntime, workspace: Path
) -> None:
    runtime = await make_runtime([call("ask_user", question="Which one?"), "I chose the first."])
    end, events = await finished(runtime, request(workspace, approve="deny"))
    assert (end.outcome, end.answer) == ("success", "I chose the first.")
    assert not any(event.kind == "question_asked" for event in events)


async def test_who_asks_nobody_twice_is_to_answer(make_runtime: MakeRuntime, workspace: Path) -> None:
    asks = [call("ask_user", question=f"Which one, {number}?") for number in range(2)]
    runtime = await make_runtime([*asks, "The first, then."])
    end, _ = await finished(runtime, request(workspace, approve="deny"))
    assert (end.outcome, end.answer, end.steps) == ("success", "The first, then.", 3)
    assert not runtime._parts.model._model.requests[-1].tools  # type: ignore[union-attr]
