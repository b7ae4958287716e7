"""Pictures of every state of the app, compared with the ones that were looked at and found good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fake_runtime import FakeRuntime, past_episode
from textual.pilot import Pilot

from agent.events import ApprovalRequested, QuestionAsked
from tui.screens.work import WorkScreen

SMALL, USUAL, LARGE = (80, 24), (100, 32), (200, 60)
Snap = Callable[..., bool]
Make = Callable[..., Any]
Scene = Callable[[Pilot[Any]], Awaitable[None]]

ANSWER = """## Done

`fib.py` prints the first ten **Fibonacci numbers**:

```python
def fib(n):
    a, b = 0, 1
    for _ in range(n):
        yield a
        a, b = b, a + b
```

- it needs *constant* memory
- 日本語 and 🦉 are fine too

| n | fib |
|---|-----|
| 1 | 1   |
| 10 | 34 |

Say so if you want more of them."""


@pytest.fixture
def picture(snap_compare: Snap, settle: Scene) -> Callable[..., bool]:
    """Runs a scene on an app and compares what it shows."""

    def compare(app: Any, scene: Scene | None = None, size: tuple[int, int] = USUAL) -> bool:
        async def before(pilot: Pilot[Any]) -> None:
            await settle(pilot)
            if scene is not None:
                await scene(pilot)
                await settle(pilot)

        return snap_compare(app, run_before=before, terminal_size=size)

    return compare


async def say(pilot: Pilot[Any], settle: Scene, text: str) -> None:
    pilot.app.screen.query_one("Prompt").fill(text)
    await pilot.press("enter")
    await settle(pilot)


def work_on_files(runtime: FakeRuntime) -> None:
    """Two steps with calls, and text between them."""
    runtime.say("<think>", "A file ", "first, ", "then ", "a run.", "</think>")
    runtime.say("I'll write ", "`fib.py` ", "first, ", "then ", "run it.\n\n", '<tool_call>{"name": ')
    runtime.call("write_file", path="fib.py", content="def fib(n):\n    ...\n\nprint(*fib(10))\n")
    runtime.finish_step("Wrote fib.py.", seconds=0.02)
    runtime.call("run_shell", command="python fib.py && python -m pytest --quiet tests/")
    runtime.finish_step("0 1 1 2 3 5 8 13 21 34\n3 passed in 0.02s", seconds=1.31)
    runtime.call("edit_file", path="fib.py", old="print(*fib(10))", new="if True:\n    print(*fib(10))")
    runtime.finish_step("Edited fib.py.", seconds=0.01)
    runtime.call("read_file", path="missing.txt")
    runtime.finish_step("There is no file missing.txt.\nFiles here: fib.py", ok=False, seconds=0.01)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_first_frame(picture: Any, make_app: Make, runtime: FakeRuntime, size: tuple[int, int]) -> None:
    assert picture(make_app(runtime, before_connect=asyncio.Event().wait), size=size)


def test_empty_by_day(picture: Any, make_app: Make, runtime: FakeRuntime) -> None:
    assert picture(make_app(runtime, theme="day-school"))


def test_queued_while_loading(picture: Any, make_app: Make, settle: Scene) -> None:
    runtime = FakeRuntime(model_state="loading")

    async def scene(pilot: Pilot[Any]) -> None:
        runtime.loading(42, 100)
        await say(pilot, settle, "Write fib.py and run it")
        await say(pilot, settle, "Then explain it")

    assert picture(make_app(runtime), scene)


def test_streaming(picture: Any, make_app: Make, runtime: FakeRuntime, settle: Scene) -> None:
    async def scene(pilot: Pilot[Any]) -> None:
        await say(pilot, settle, "What is a fixpoint?")
        runtime.say("A ", "**fixpoint** ", "of ", "`f` ", "is an ", "x ", "with ", "f(x) ", "= x. ", "For ")

    assert picture(make_app(runtime), scene, size=SMALL)


def test_preparing_a_call(picture: Any, make_app: Make, runtime: FakeRuntime, settle: Scene) -> None:
    async def scene(pilot: Pilot[Any]) -> None:
        await say(pilot, settle, "Write fib.py")
        runtime.say("Sure.", "\n", "<tool_call>", '{"name": "write_file", "arguments": {"path"')
        await settle(pilot)
        await say(pilot, settle, "and a test for it")

    assert picture(make_app(runtime), scene, size=SMALL)


@pytest.mark.parametrize("theme", ["night-school", "day-school", "ansi-dark"])
def test_calls(picture: Any, make_app: Make, runtime: FakeRuntime, settle: Scene, theme: str) -> None:
    async def scene(pilot: Pilot[Any]) -> None:
        await say(pilot, settle, "Write fib.py and run it")
        work_on_files(runtime)

    assert picture(make_app(runtime, theme=theme), scene)


def test_calls_opened(picture: Any, make_app: Make, runtime: FakeRuntime, settle: Scene) -> None:
    async def scene(pilot: Pilot[Any]) -> None:
        await say(pilot, settle, "Write fib.py and run it")
        work_on_files(runtime)
        await settle(pilot)
        await pilot.press("ctrl+o")

    assert picture(make_app(runtime), scene, size=(100, 48))


@pytest.mark.parametrize(("theme", "size"), [("night-school", SMALL), ("day-school", USUAL)])
def test_approval(
    picture: Any, make_app: Make, runtime: FakeRuntime, settle: Scene, theme: str, size: tuple[int, int]
) -> None:
    async def scene(pilot: Pilot[Any]) -> None:
        await say(pilot, settle, "Fetch the sequence")
        call = runtime.call("fetch_url", decided=False, url="https://oeis.org/A000045")
        runtime.emit(
            ApprovalRequested(
                episode_id=runtime.episode_id,
                request_id="r1",
                call=call,
                risk="network",
                reason="policy.network asks before anything reaches the network",
                preview="GET https://oeis.org/A000045",
            )
        )

    assert picture(make_app(runtime, theme=theme), scene, size=size)


def test_question(picture: Any, make_app: Make, runtime: FakeRuntime, settle: Scene) -> None:
    async def scene(pilot: Pilot[Any]) -> None:
        await say(pilot, settle, "Write fib.py")
        runtime.call("ask_user", question="How many numbers?")
        runtime.emit(
            QuestionAsked(episode_id=runtime.episode_id, request_id="q1", question="How many numbers?")
        )

    assert picture(make_app(runtime), scene, size=SMALL)


def test_model_missing(picture: Any, make_app: Make, settle: Scene) -> None:
    runtime = FakeRuntime(
        model_state="failed",
        model_error="The weights of qwen2.5-coder-0.5b-instruct are not here yet. "
        "`nightschool model pull` fetches them (469 MB).",
        sandbox_error="bubblewrap cannot make a mount here (AppArmor). `nightschool doctor` says what to do.",
    )

    async def scene(pilot: Pilot[Any]) -> None:
        await say(pilot, settle, "Write fib.py")

    assert picture(make_app(runtime), scene)


def test_failed(picture: Any, make_app: Make, runtime: FakeRuntime, settle: Scene) -> None:
    async def scene(pilot: Pilot[Any]) -> None:
        await say(pilot, settle, "Run the tests")
        runtime.call("run_shell", command="pytest")
        runtime.finish_step("pytest: command not found", ok=False)
        runtime.end("failure", reason="`run_shell` was called 3 times in a row with the same arguments")

    assert picture(make_app(runtime), scene, size=SMALL)


@pytest.mark.parametrize("size", [USUAL, LARGE])
def test_finished(
    picture: Any, make_app: Make, runtime: FakeRuntime, settle: Scene, size: tuple[int, int]
) -> None:
    async def scene(pilot: Pilot[Any]) -> None:
        await say(pilot, settle, "Write fib.py, run it,\nand explain it in a few words 🙂")
        work_on_files(runtime)
        runtime.answer_with(ANSWER)

    assert picture(make_app(runtime), scene, size=size)


@pytest.mark.parametrize("theme", ["night-school", "day-school"])
def test_tinted(picture: Any, make_app: Make, runtime: FakeRuntime, settle: Scene, theme: str) -> None:
    async def scene(pilot: Pilot[Any]) -> None:
        await say(pilot, settle, "Who wrote the Kalevala?")
        runtime.answer_with("The Kalevala was compiled by Elias Lönnrot and first published in 1835.")
        await pilot.press("ctrl+t")

    assert picture(make_app(runtime, theme=theme), scene, size=SMALL)


def test_connection_lost(picture: Any, make_app: Make, runtime: FakeRuntime, settle: Scene) -> None:
    async def scene(pilot: Pilot[Any]) -> None:
        await say(pilot, settle, "Write fib.py")
        runtime.die()

    assert picture(make_app(runtime), scene, size=SMALL)


def test_commands(picture: Any, make_app: Make, runtime: FakeRuntime) -> None:
    async def scene(pilot: Pilot[Any]) -> None:
        await pilot.press("/", "e")

    assert picture(make_app(runtime), scene, size=SMALL)


def test_undo_and_notices(picture: Any, make_app: Make, runtime: FakeRuntime, settle: Scene) -> None:
    async def scene(pilot: Pilot[Any]) -> None:
        await say(pilot, settle, "Write fib.py")
        runtime.answer_with("Done.")
        await settle(pilot)
        await say(pilot, settle, "/bad it should print twenty")
        await say(pilot, settle, "/status")
        await say(pilot, settle, "/undo")

    assert picture(make_app(runtime), scene, size=(100, 40))


@pytest.mark.parametrize("size", [SMALL, (100, 44)])
def test_help(picture: Any, make_app: Make, runtime: FakeRuntime, size: tuple[int, int]) -> None:
    async def scene(pilot: Pilot[Any]) -> None:
        await pilot.press("f1")

    assert picture(make_app(runtime), scene, size=size)


def test_episodes(picture: Any, make_app: Make, runtime: FakeRuntime, settle: Scene) -> None:
    runtime.past = [
        past_episode(1, "Write fib.py and run it"),
        past_episode(2, "Rename every .jpeg to .jpg", "failure"),
        past_episode(3, "日本語のREADMEを書いて", "interrupted"),
    ]

    async def scene(pilot: Pilot[Any]) -> None:
        await say(pilot, settle, "/episodes")
        assert not isinstance(pilot.app.screen, WorkScreen)

    assert picture(make_app(runtime), scene, size=SMALL)
