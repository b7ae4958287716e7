"""Running commands, whichever backend: bytes, paths, limits reported, cancellation, many at once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.base import Command, Limits, Sandbox, SandboxUnavailable
from sandbox.cgroups import find_cgroups

LIMITS = Limits(wall_seconds=30)


async def test_output_need_not_be_text(backend: Sandbox, workspace: Path) -> None:
    result = await backend.run(Command(("printf", r"\377\376\000\n"), workspace), LIMITS)
    assert result.stdout == b"\xff\xfe\x00\n"
    assert (result.exit_code, result.limit, result.truncated) == (0, None, False)


@pytest.mark.parametrize("name", ["with spaces", "Ünïcödé 学校", "-rf", "quo'te\"s", "new\nline", "a=b"])
async def test_workspaces_of_any_name(backend: Sandbox, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    result = await backend.run(Command(("sh", "-c", "pwd; echo there > file"), folder), LIMITS)
    assert result.stdout.decode() == f"{folder}\n"
    assert (folder / "file").read_text() == "there\n"


@given(name=st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=40))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_name_survives(probed: Sandbox, tmp_path: Path, name: str) -> None:
    if name in (".", "..") or len(name.encode()) > 255:
        return
    result = asyncio.run(probed.run(Command(("touch", "--", f"./{name}"), tmp_path), LIMITS))
    assert result.exit_code == 0, result.stderr
    (tmp_path / name).unlink()


async def test_a_non_utf8_folder(backend: Sandbox, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    folder.mkdir()
    result = await backend.run(Command(("pwd",), folder), LIMITS)
    assert result.stdout == os.fsencode(folder) + b"\n"


async def test_many_at_once_do_not_mix(backend: Sandbox, tmp_path: Path) -> None:
    async def one(number: int) -> bytes:
        folder = tmp_path / str(number)
        folder.mkdir()
        code = f"sleep 0.1; echo {number} > here; cat here; ls | wc -l"
        return (await backend.run(Command(("sh", "-c", code), folder), LIMITS)).stdout

    found = await asyncio.gather(*(one(number) for number in range(12)))
    assert [output.split() for output in found] == [[b"%d" % n, b"1"] for n in range(12)]


async def test_cancelling_one_leaves_the_others(backend: Sandbox, workspace: Path) -> None:
    doomed = asyncio.ensure_future(backend.run(Command(("sleep", "60"), workspace), LIMITS))
    other = asyncio.ensure_future(
        backend.run(Command(("sh", "-c", "sleep 0.5; echo done"), workspace), LIMITS)
    )
    await asyncio.sleep(0.2)
    doomed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doomed
    assert (await other).stdout == b"done\n"


async def test_cancelled_twice_still_cleans_up(backend: Sandbox, workspace: Path) -> None:
    task = asyncio.ensure_future(backend.run(Command(("sleep", "61.7"), workspace), LIMITS))
    await asyncio.sleep(0.3)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _running("61.7")


async def test_no_cgroup_is_left_behind(backend: Sandbox, workspace: Path) -> None:
    cgroups = find_cgroups()
    if cgroups is None:
        pytest.skip("no cgroup can be made here")
    await backend.run(Command(("sh", "-c", "sleep 60 & exit 1"), workspace), LIMITS)
    await backend.run(Command(("sleep", "60"), workspace), Limits(wall_seconds=0.3))
    for place in (cgroups.memory, cgroups.pids):
        assert not list(place.folder.glob(f"nightschool-{os.getpid()}-*"))


async def test_output_arrives_while_it_runs(backend: Sandbox, workspace: Path) -> None:
    seen: list[tuple[str, bytes]] = []
    arrived = asyncio.Event()

    def notice(stream: str, piece: bytes) -> None:
        seen.append((stream, piece))
        arrived.set()

    code = "echo first; read line; echo $line >&2"
    readable, writable = os.pipe()
    command = Command(("sh", "-c", code), workspace, stdin=readable, on_output=notice)
    task = asyncio.ensure_future(backend.run(command, LIMITS))
    await asyncio.wait_for(arrived.wait(), 20)
    os.write(writable, b"second\n")
    os.close(writable)
    result = await task
    os.close(readable)
    assert seen == [("stdout", b"first\n"), ("stderr", b"second\n")]
    assert (result.stdout, result.stderr) == (b"first\n", b"second\n")


async def test_output_is_cut_at_the_limit(backend: Sandbox, workspace: Path) -> None:
    limits = Limits(output_bytes=1000)
    result = await backend.run(Command(("sh", "-c", "yes | head -c 100000; echo e >&2"), workspace), limits)
    assert (len(result.stdout), result.stderr, result.truncated) == (1000, b"e\n", True)
    assert result.limit == "output"


async def test_the_limit_that_ended_it_is_named(backend: Sandbox, workspace: Path) -> None:
    if find_cgroups() is None:
        pytest.skip("no cgroup can be made here")
    hog = Command(("python", "-S", "-c", "x = 'x' * 10**9"), workspace)
    assert (await backend.run(hog, Limits(memory_bytes=64 * 1024**2))).limit == "memory"
    bomb = Command(("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 3 & done; wait"), workspace)
    assert (await backend.run(bomb, Limits(processes=4))).limit == "processes"
    big = Command(("sh", "-c", "exec head -c 3000000 /dev/zero > big"), workspace)
    assert (await backend.run(big, Limits(file_bytes=1024**2))).limit == "file"


@pytest.mark.parametrize("argv", [(), ("echo", "a\0b"), ("echo", "\ud800"), ("echo", "x" * 300_000)])
async def test_impossible_arguments_are_a_failed_command(
    backend: Sandbox, workspace: Path, argv: tuple[str, ...]
) -> None:
    result = await backend.run(Command(argv, workspace), LIMITS)
    assert result.exit_code == 126
    assert b"cannot be started" in result.stderr


async def test_a_missing_workspace_is_no_failed_command(backend: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="workspace"):
        await backend.run(Command(("true",), tmp_path / "missing"), LIMITS)


def _running(argument: str) -> bool:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if argument.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False
