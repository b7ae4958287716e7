"""Every backend against the contract: what it promises holds, and what it does not is not claimed."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from sandbox.attacks.stage import Check
from sandbox.base import Command, ExecResult, Limits
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.cgroups import find_cgroups
from sandbox.contract import CHECKS, run_check
from sandbox.none import NoSandbox

NEEDS_CGROUP = {"limits_processes", "limits_memory_of_all", "ends_background_children"}
# an ordinary user without isolation may be stopped by the system alone
MAY_HOLD_ANYWAY = {"cannot_mount", "cannot_nest_namespaces", "cannot_change_the_kernel"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
async def test_bubblewrap_holds(bubblewrap: BubblewrapSandbox, check: Check) -> None:
    if check.name == "limits_memory_of_all" and find_cgroups() is None:
        pytest.skip("without a cgroup memory is limited per process")
    result = await run_check(bubblewrap, check)
    assert result.passed, result.detail


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
async def test_none_limits_and_does_not_isolate(check: Check) -> None:
    if check.name in NEEDS_CGROUP and find_cgroups() is None:
        pytest.skip("no cgroup can be made here")
    if check.name in MAY_HOLD_ANYWAY and os.getuid() != 0:
        pytest.skip("depends on the user's rights")
    result = await run_check(NoSandbox(), check)
    assert result.passed == (check.kind in NoSandbox.holds), result.detail


def test_checks_are_named_and_described() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    assert all(check.description.endswith((".", "anywhere.")) for check in CHECKS)


class _Altered:
    """A sandbox that runs something else than asked, to see that the contract notices."""

    name = "altered"

    def __init__(self, inner: BubblewrapSandbox, memory_times: int = 1, argv: tuple[str, ...] = ()) -> None:
        self._inner = inner
        self._memory_times = memory_times
        self._argv = argv

    async def probe(self) -> None:
        await self._inner.probe()

    async def run(self, command: Command, limits: Limits) -> ExecResult:
        more = replace(limits, memory_bytes=limits.memory_bytes * self._memory_times)
        return await self._inner.run(replace(command, argv=self._argv or command.argv), more)


@pytest.mark.parametrize("altered", [{"memory_times": 8}, {"argv": ("false",)}], ids=["generous", "lazy"])
async def test_memory_of_all_notices(bubblewrap: BubblewrapSandbox, altered: dict[str, Any]) -> None:
    check = next(check for check in CHECKS if check.name == "limits_memory_of_all")
    assert not (await run_check(_Altered(bubblewrap, **altered), check)).passed
