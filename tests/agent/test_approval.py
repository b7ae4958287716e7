"""Approval: policy, mode, person, and in the end no."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.approval import Decision, approval_chain
from agent.calls import ApprovalMode
from memory.types import Record, ToolCall
from sandbox.policy import default_policy
from skills.tool import Risk, ToolSpec


class Said(Record):
    allow: bool
    reason: str = ""


class Person:
    """Answers with what it was given, or with None: nobody is there."""

    def __init__(self, answer: Said | None) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    async def __call__(self, *request: Any) -> Said | None:
        self.asked.append(request)
        return self.answer


async def decided(
    person: Any, mode: ApprovalMode | None, risk: Risk, workspace: Path, **arguments: str
) -> Decision:
    name = "write_file" if risk == "write" else "run_shell"
    chain = approval_chain(default_policy(write="ask", execute="deny"), mode, person)
    call = ToolCall(id="call_0_0", name=name, arguments=arguments)
    spec = ToolSpec(name=name, description="", parameters={}, risk=risk)
    return await chain.decide("ep_1", call, spec, workspace)


@pytest.mark.parametrize("mode", ["allow", "ask", "deny", None])
async def test_policy_decides_alone_when_it_does_not_ask(tmp_path: Path, mode: ApprovalMode | None) -> None:
    person = Person(Said(allow=True))
    allowed = await decided(person, mode, "read", tmp_path)
    denied = await decided(person, mode, "execute", tmp_path, command="ls")
    outside = await decided(person, mode, "write", tmp_path, path="../x", content="")
    assert (allowed.allow, allowed.by) == (True, "policy")
    assert (denied.allow, denied.by) == (False, "policy")
    assert (outside.allow, outside.by) == (False, "policy")
    assert person.asked == []


@pytest.mark.parametrize(
    ("mode", "allow", "by"), [("allow", True, "user"), ("deny", False, "user"), (None, False, "nobody")]
)
async def test_the_mode_answers_what_is_asked(
    tmp_path: Path, mode: ApprovalMode | None, allow: bool, by: str
) -> None:
    person = Person(Said(allow=not allow))
    said = await decided(person, mode, "write", tmp_path, path="a.txt", content="x")
    assert (said.allow, said.by) == (allow, by)
    assert said.reason
    assert person.asked == []


@pytest.mark.parametrize("allow", [True, False])
async def test_a_person_is_asked_with_the_reason_and_a_preview(tmp_path: Path, allow: bool) -> None:
    (tmp_path / "a.txt").write_text("old\n")
    person = Person(Said(allow=allow, reason="because I say so"))
    said = await decided(person, "ask", "write", tmp_path, path="a.txt", content="new\n")
    assert said == Decision(allow=allow, by="user", reason="because I say so")
    ((episode, call, risk, reason, preview),) = person.asked
    assert (episode, call.id, risk) == ("ep_1", "call_0_0", "write")
    assert "write needs approval" in reason
    assert "-old" in preview
    assert "+new" in preview


async def test_nobody_there_means_no(tmp_path: Path) -> None:
    said = await decided(Person(None), "ask", "write", tmp_path, path="a.txt", content="x")
    assert (said.allow, said.by) == (False, "nobody")
    assert "nobody is there" in said.reason


async def test_waiting_for_a_person_can_be_cancelled(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def never(*request: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    waiting = asyncio.create_task(decided(never, "ask", "write", tmp_path, path="a.txt", content="x"))
    await asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_hostile_call_can_be_previewed(tmp_path: Path) -> None:
    person = Person(Said(allow=False))
    (tmp_path / "binary").write_bytes(b"\0\1")
    for content in ("\x1b[2Jnew", "x" * 100_000):
        await decided(person, "ask", "write", tmp_path, path="binary", content=content)
        await decided(person, "ask", "write", tmp_path, path="new", content=content)
    for request in person.asked:
        assert "\x1b" not in request[4]
        assert len(request[4]) < 25_000
