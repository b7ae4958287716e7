"""A scripted model that plays the parts extraction and regeneration ask of one, told apart by their task."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from agent.model.base import GenerateRequest
from agent.model.fake import FakeModel
from memory.types import Episode, EpisodeKind, Feedback, Message, Outcome, Step, ToolCall, ToolResult, Turn

Part = Callable[[str], str]
"""From the text that is put to what is written."""
AT = datetime(2026, 1, 1, tzinfo=UTC)


class Teacher(FakeModel):
    """Keeps every sentence and leaves it as it is, unless a part is replaced."""

    def __init__(
        self,
        *,
        sort: Part = lambda text: "keep",
        refer: Part = lambda text: "",
        split: Part = lambda text: text,
        mend: Part = lambda text: text.rsplit("Correction: ", 1)[-1],
        parts: Part = lambda text: "",
        rule: Part = lambda text: "rule",
        ask: Callable[[str, int], str] = lambda text, seed: "",
        judge: Part = lambda text: "yes",
        keep: Part = lambda text: "",
        answer: Callable[[GenerateRequest], str] = lambda request: "",
        reword: Callable[[str, int], str] = lambda text, seed: "",
    ) -> None:
        super().__init__()
        self._plays: list[tuple[str, Callable[[GenerateRequest], str]]] = [
            (
                "Sort what",
                lambda r: "tell" if "tell:" in r.messages[0].content else sort(r.messages[-1].content),
            ),
            ("Would this", lambda r: "yes"),
            ("Sort sentences", lambda r: rule(r.messages[-1].content)),
            ("Say who", lambda r: refer(r.messages[-1].content)),
            ("Break the", lambda r: split(r.messages[-1].content)),
            ("Put the correction", lambda r: mend(r.messages[-1].content)),
            ("Name the subject", lambda r: parts(r.messages[-1].content)),
            ("Answer the request", lambda r: keep(r.messages[-1].content)),
            ("Ask for the words", lambda r: ask(r.messages[-1].content, r.seed or 0)),
            ("Is the question", lambda r: judge(r.messages[-1].content)),
            ("Write one", lambda r: ask(r.messages[-1].content, r.seed or 0)),
            ("Say the request", lambda r: reword(r.messages[-1].content, r.seed or 0)),
            ("", answer),
        ]

    def _next(self, request: GenerateRequest) -> str:
        self.requests.append(request)
        task = request.messages[0].content
        return next(play(request) for begin, play in self._plays if task.startswith(begin))


def user(text: str, context: str = "") -> Message:
    """What the user says."""
    return Message(role="user", content=text, context=context, provenance="user")


def turn(
    text: str,
    answer: str = "",
    *,
    calls: tuple[tuple[str, dict[str, object], bool, str], ...] = (),
    context: str = "",
    outcome: Outcome = "success",
) -> Turn:
    """One turn; each call is its tool's name, arguments, whether it succeeded, and what came back."""
    steps = []
    for number, (name, arguments, ok, content) in enumerate(calls):
        call = ToolCall(id=f"call_{number}_0", name=name, arguments=arguments)
        steps.append(
            Step(
                index=number,
                message=Message(role="assistant", content="", provenance="model", tool_calls=(call,)),
                results=(ToolResult(call_id=call.id, name=name, ok=ok, content=content),),
            )
        )
    closing = Message(role="assistant", content=answer, provenance="model")
    steps.append(Step(index=len(calls), message=closing))
    return Turn(user=user(text, context), steps=tuple(steps), outcome=outcome, answer=answer)


def episode(
    *turns: Turn | str,
    kind: EpisodeKind = "conversation",
    feedback: tuple[tuple[Literal["good", "bad"], str], ...] = (),
) -> Episode:
    """An episode of these turns."""
    return Episode(
        id="ep_1",
        kind=kind,
        turns=tuple(turn(one) if isinstance(one, str) else one for one in turns),
        workspace="/tmp/w",
        model="fake",
        system="You are an agent.",
        started_at=AT,
        ended_at=AT,
        feedback=tuple(Feedback(rating=rating, text=text, at=AT) for rating, text in feedback),
    )
