"""One owner, many faces: the same calls in process and over the home's socket."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.calls import TaskRequest
from agent.client import RemoteRuntime
from agent.config import Settings
from agent.connect import attach, open_runtime
from agent.errors import HomeError, OwnerGone, UsageError
from agent.events import ApprovalRequested, RunFinished, StepStarted
from agent.home import Home, OwnerLock, owner_pid
from agent.host import Host
from agent.runtime import Runtime
from tests.runtime_helpers import call, finished

MakeRuntime = Callable[..., Awaitable[Runtime]]
Scripted = Callable[..., Settings]


async def served(make_runtime: MakeRuntime, home: Path, script: list[str], **settings: object) -> Host:
    runtime = await make_runtime(script, home=home, **settings)
    host = Host(runtime, Home(home))
    await host.start()
    return host


async def test_every_call_travels(make_runtime: MakeRuntime, workspace: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    host = await served(make_runtime, home, [call("write_file", path="a", content="x"), "made", "4"])
    remote = await RemoteRuntime.connect(Home(home).socket)
    end, events = await finished(remote, TaskRequest(text="Make a.", workspace=str(workspace)))
    assert (end.outcome, end.answer) == ("success", "made")
    assert {"token", "step_finished", "run_finished"} <= {event.kind for event in events}
    assert (await remote.ask("2+2?")).answer == "4"
    note = await remote.remember("The host is heron.")
    await remote.feedback(end.episode_id or "", "good")
    assert [e.id for e in await remote.episodes()] == [note, end.episode_id]
    assert (await remote.episode(end.episode_id or "")).feedback[0].rating == "good"
    assert (await remote.search("heron"))[0].episode.id == note
    assert [c.path for c in await remote.undo_preview(end.episode_id or "")] == ["a"]
    assert [c.path for c in await remote.undo(end.episode_id or "")] == ["a"]
    assert (await remote.status()).model == "fake"
    with pytest.raises(UsageError, match="no episode"):
        await remote.episode("ep_none")
    await remote.close()
    await host.stop()


async def test_only_the_user_can_reach_the_socket(make_runtime: MakeRuntime, tmp_path: Path) -> None:
    host = await served(make_runtime, tmp_path / "home", [])
    home = Home(tmp_path / "home")
    assert stat.S_IMODE(home.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
    await host.stop()
    assert not home.socket.exists()


async def test_a_person_decides_over_the_socket_and_leaving_means_no(
    make_runtime: MakeRuntime, workspace: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    script = [call("run_shell", command="touch one"), "ok", call("run_shell", command="touch two"), "no"]
    host = await served(make_runtime, home, script, policy={"execute": "ask"})
    remote = await RemoteRuntime.connect(Home(home).socket)
    request = TaskRequest(text="Touch.", workspace=str(workspace), approve="ask")
    episode_id = await remote.submit(request)
    async for event in remote.events(episode_id):
        if isinstance(event, ApprovalRequested):
            await remote.decide(event.request_id, allow=True)
        if isinstance(event, RunFinished):
            break
    assert (workspace / "one").exists()
    second = await remote.submit(request)
    async for event in remote.events(second):
        if isinstance(event, ApprovalRequested):
            break
    await remote.close()
    again = await RemoteRuntime.connect(Home(home).socket)
    for _ in range(200):
        if (await again.status()).running is None:
            break
        await asyncio.sleep(0.05)
    assert (await again.episode(second)).outcome == "refused"
    assert not (workspace / "two").exists()
    await again.close()
    await host.stop()


async def test_a_task_goes_on_when_its_client_leaves(
    make_runtime: MakeRuntime, workspace: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    host = await served(make_runtime, home, [call("run_shell", command="sleep 0.5; touch made"), "done"])
    remote = await RemoteRuntime.connect(Home(home).socket)
    episode_id = await remote.submit(TaskRequest(text="Make.", workspace=str(workspace)))
    async for event in remote.events(episode_id):
        if isinstance(event, StepStarted):
            break
    await remote.close()
    again = await RemoteRuntime.connect(Home(home).socket)
    async for event in again.events(episode_id):
        if isinstance(event, RunFinished):
            assert event.outcome == "success"
            break
    assert (workspace / "made").exists()
    await again.close()
    await host.stop()


async def test_the_end_of_the_owner_is_said(make_runtime: MakeRuntime, tmp_path: Path) -> None:
    host = await served(make_runtime, tmp_path / "home", [])
    remote = await RemoteRuntime.connect(Home(tmp_path / "home").socket)
    await remote.status()
    await host.stop()
    with pytest.raises(OwnerGone, match="has ended"):
        for _ in range(50):
            await remote.status()
            await asyncio.sleep(0.02)
    await remote.close()


@pytest.mark.parametrize("leaves", ["in a hurry", "at leisure"])
async def test_an_owner_waits_for_the_tasks_of_others_unless_told_to_end(
    scripted: Scripted, workspace: Path, tmp_path: Path, leaves: str
) -> None:
    settings = scripted([call("run_shell", command="sleep 2; touch made"), "done"])
    home, opened, asked, ended = tmp_path / "home", asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def own() -> None:
        async with open_runtime(home, settings):
            opened.set()
            await asked.wait()
            if leaves == "in a hurry":
                await ended.wait()

    owner = asyncio.create_task(own())
    await opened.wait()
    remote = await RemoteRuntime.connect(Home(home).socket)
    episode_id = await remote.submit(TaskRequest(text="Make.", workspace=str(workspace)))
    asked.set()
    end = None
    async for event in remote.events(episode_id):
        if isinstance(event, StepStarted) and leaves == "in a hurry":
            owner.cancel()
        if isinstance(event, RunFinished):
            end = event
            break
    assert end is not None
    assert end.outcome == ("interrupted" if leaves == "in a hurry" else "success")
    assert (workspace / "made").exists() == (leaves == "at leisure")
    await remote.close()
    await asyncio.wait({owner}, timeout=30)
    assert owner.done() and owner.cancelled() == (leaves == "in a hurry")
    lock = OwnerLock.acquire(Home(home))
    assert lock is not None
    lock.release()


async def test_nobody_waits_for_tasks_that_nobody_will_do(make_runtime: MakeRuntime, workspace: Path) -> None:
    runtime = await make_runtime([call("run_shell", command="sleep 30")])
    for _ in range(2):
        await runtime.submit(TaskRequest(text="Sleep.", workspace=str(workspace)))
    await asyncio.sleep(0.1)
    # as the end of an event loop does it
    runtime._tasks._worker.cancel()
    await asyncio.wait_for(runtime.drain(), 30)


async def test_a_stopped_owner_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.connect._PATIENCE_SECONDS", 30.0)
    remote = await attach(tmp_path / "home", Settings())
    assert isinstance(remote, RemoteRuntime)
    pid = owner_pid(Home(tmp_path / "home"))
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        monkeypatch.setattr("agent.connect._PATIENCE_SECONDS", 0.5)
        for reach in (attach(tmp_path / "home", Settings()), _opened(tmp_path / "home")):
            with pytest.raises(HomeError, match=f"process {pid}, which does not answer"):
                await reach
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await remote.answers(30)
    await remote.close()


async def _opened(home: Path) -> None:
    async with open_runtime(home, Settings()):
        pass


async def test_a_second_command_goes_through_the_owner(tmp_path: Path) -> None:
    async with open_runtime(tmp_path / "home", Settings()) as owner:
        note = await owner.remember("Kept by the owner.")
        async with open_runtime(tmp_path / "home", Settings()) as other:
            assert isinstance(other, RemoteRuntime)
            assert (await other.episode(note)).task == "Kept by the owner."
    async with open_runtime(tmp_path / "home", Settings()) as later:
        assert not isinstance(later, RemoteRuntime)
        assert [e.id for e in await later.episodes()] == [note]


async def test_the_app_starts_an_owner_in_the_background(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30) / "home"
    remote = await attach(home, Settings.model_validate({"agent": {"max_steps": 3}}))
    note = await remote.remember("From the app.")
    second = await attach(home, Settings())
    assert (await second.episode("last")).id == note
    assert OwnerLock.acquire(Home(home)) is None
    await second.close()
    await remote.close()


async def test_a_read_only_home_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="--home"):
        async with open_runtime(tmp_path / "file" / "home", Settings()):
            pass


async def test_a_newer_home_is_refused(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("99\n")
    with pytest.raises(HomeError, match="newer"):
        async with open_runtime(tmp_path, Settings()):
            pass
