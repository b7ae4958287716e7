"""Crashes on purpose: the process is taken to end before any call that changes the disk."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import agent.forget_nights
import agent.journal_purge
import agent.rollback
import memory.adapters
from agent.journal import Journal
from memory.state import State
from memory.table import Table

_CHANGES: list[tuple[Any, str]] = [
    (Journal, "append"),
    (State, "intend"),
    (State, "add_snapshot"),
    (State, "remove_snapshot"),
    (State, "replace_snapshot"),
    (State, "activate"),
    (State, "fulfil"),
    (State, "fulfil_and_activate"),
    (Table, "upsert"),
    (Table, "delete"),
    (Table, "purge"),
    (Table, "_create"),
    # overwritten, with every older version still there
    (Table, "_index_text"),
    (warnings, "catch_warnings"),
    (agent.rollback, "replace_file"),
    (agent.forget_nights, "replace_file"),
    (agent.journal_purge, "replace_file"),
    (memory.adapters, "replace_file"),
    (shutil, "rmtree"),
    (Path, "unlink"),
    (Path, "rename"),
]


class Crash(BaseException):
    """The end of the process; nothing may catch it."""


def crashes(monkeypatch: pytest.MonkeyPatch, work: Callable[[int], Callable[[], object]]) -> Iterator[int]:
    """Do `work(n)()` once for each n, the process ending at its n-th change of the disk. Yields n after each
    crash and stops at the first n that is never reached; `work(n)` itself is not disturbed."""
    number = 0
    while True:
        doing = work(number)
        with monkeypatch.context() as patch:
            if not _crashed(patch, doing, number):
                return
        yield number
        number += 1


def _crashed(patch: pytest.MonkeyPatch, work: Callable[[], object], number: int) -> bool:
    left = number
    over = False

    def tick() -> None:
        nonlocal left, over
        if over or left == 0:
            over = True
            raise Crash
        left -= 1

    for owner, name in _CHANGES:
        real = getattr(owner, name)

        def watched(*args: Any, _real: Any = real, **kwargs: Any) -> Any:
            tick()
            return _real(*args, **kwargs)

        patch.setattr(owner, name, watched)
    try:
        work()
    except Crash:
        return True
    return False
