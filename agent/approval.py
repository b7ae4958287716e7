"""Who decides about a call: policy, then the mode of the task, then a person, then nobody, which is no.

A deny of the policy is final: no mode and no person lifts it. Nothing here waits for ever: the person's
answer comes through a callback that returns None once nobody is there, and the wait can be cancelled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

from agent.calls import ApprovalMode
from memory.types import Record, ToolCall
from sandbox.policy import Policy
from skills.preview import preview
from skills.tool import ToolSpec


class Decision(Record):
    """What happens to a call."""

    allow: bool
    """Whether it may run, this once."""
    by: Literal["policy", "user", "nobody"]
    """Who decided. A mode given with the task counts as the user."""
    reason: str
    """The rule, the mode or the person's words."""


class Request(Record):
    """A call that waits for a decision."""

    episode_id: str
    """Its episode."""
    call: ToolCall
    """What would be done."""
    spec: ToolSpec
    """The tool's own description, with its risk."""
    workspace: Path
    """Absolute, resolved."""
    reason: str = ""
    """Which rule asks; empty before a policy spoke."""


class Says(Protocol):
    """A person's answer."""

    @property
    def allow(self) -> bool:
        """Yes or no."""

    @property
    def reason(self) -> str:
        """In their words; may be empty."""


AskPerson = Callable[[str, ToolCall, str, str, str], Awaitable[Says | None]]
"""(episode_id, call, risk, reason, preview) to their answer; None when nobody is there (any more)."""


class Link(Protocol):
    """One who may decide."""

    async def consider(self, request: Request) -> Decision | Request:
        """The decision, or the request for the next link (perhaps with a reason why it asks)."""


class Approver(Protocol):
    """Whoever the loop asks before it runs a call."""

    async def decide(self, episode_id: str, call: ToolCall, spec: ToolSpec, workspace: Path) -> Decision:
        """Always decides; a refusal is a decision too."""


class ByPolicy:
    """Allows and denies by rule; passes on what a rule asks about."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    async def consider(self, request: Request) -> Decision | Request:
        call, spec = request.call, request.spec
        said = self._policy.decide(spec.risk, call.name, call.arguments, request.workspace)
        if said.decision == "ask":
            return request.model_copy(update={"reason": said.rule})
        return Decision(allow=said.decision == "allow", by="policy", reason=said.rule)


class ByMode:
    """Answers what is asked as the user said beforehand; `ask` passes on to a person."""

    def __init__(self, mode: ApprovalMode | None) -> None:
        self._mode = mode

    async def consider(self, request: Request) -> Decision | Request:
        if self._mode == "ask":
            return request
        if self._mode is None:
            return _nobody(request)
        return Decision(
            allow=self._mode == "allow", by="user", reason=f"the task was given with --approve {self._mode}"
        )


class ByPerson:
    """Asks a person; passes on when nobody is there."""

    def __init__(self, ask: AskPerson) -> None:
        self._ask = ask

    async def consider(self, request: Request) -> Decision | Request:
        call = request.call
        shown = preview(call.name, call.arguments, request.workspace)
        said = await self._ask(request.episode_id, call, request.spec.risk, request.reason, shown)
        if said is None:
            return request
        reason = said.reason.strip() or ("approved by the user" if said.allow else "the user said no")
        return Decision(allow=said.allow, by="user", reason=reason)


class Chain:
    """Links in order; what none of them decided is rejected."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = tuple(links)

    async def decide(self, episode_id: str, call: ToolCall, spec: ToolSpec, workspace: Path) -> Decision:
        request = Request(episode_id=episode_id, call=call, spec=spec, workspace=workspace)
        for link in self._links:
            said = await link.consider(request)
            if isinstance(said, Decision):
                return said
            request = said
        return _nobody(request)


def approval_chain(policy: Policy, mode: ApprovalMode | None, ask: AskPerson) -> Chain:
    """The chain for one task."""
    return Chain((ByPolicy(policy), ByMode(mode), ByPerson(ask)))


def _nobody(request: Request) -> Decision:
    why = f"{request.reason}, and " if request.reason else ""
    return Decision(allow=False, by="nobody", reason=f"{why}nobody is there to approve it")
