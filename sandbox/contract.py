"""The contract: what a sandbox must hold against, proved by really trying.

A backend declares in `holds` which kinds of checks it promises; `none` promises no isolation. The same list
serves the tests, `nightschool sandbox check` and whoever writes a backend. About fifteen seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.attacks import basics, isolation, limits
from sandbox.attacks.stage import Broken, Check, Kind, stage_for
from sandbox.base import Sandbox

CHECKS: list[Check] = [*basics.CHECKS, *limits.CHECKS, *isolation.CHECKS]
"""Every clause, the plain ones first."""


@dataclass(frozen=True)
class CheckResult:
    """How one check ended."""

    name: str
    """The check's name."""
    kind: Kind
    """`basics`, `limits` or `isolation`."""
    passed: bool
    """True when the sandbox held."""
    detail: str
    """What got through; empty when nothing did."""
    seconds: float
    """Wall-clock time."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


async def run_check(sandbox: Sandbox, check: Check) -> CheckResult:
    """Runs one check on a fresh stage. Raises SandboxUnavailable when nothing can be run at all."""
    started = time.monotonic()
    detail = ""
    with stage_for(sandbox) as stage:
        try:
            await check.function(stage)
        except Broken as error:
            detail = str(error) or "it did not hold"
    return CheckResult(check.name, check.kind, not detail, detail, time.monotonic() - started)


async def run_contract(
    sandbox: Sandbox, on_result: Callable[[CheckResult], None] | None = None
) -> list[CheckResult]:
    """Runs every check, one after the other, telling `on_result` about each as it ends."""
    await sandbox.probe()
    results: list[CheckResult] = []
    for check in CHECKS:
        result = await run_check(sandbox, check)
        results.append(result)
        if on_result is not None:
            on_result(result)
    return results
