"""The waking loop: one user message, as many steps as it takes, one explicit outcome.

A step is a model turn and its tool results. Calls are in the journal before they run, the step before
anyone sees it. A turn of the loop ends by the model's answer, by `finish`, or by a guard: steps, tokens,
wall-clock time, identical calls in a row, or a second wrong call after its one repair turn. A call whose
result still stands (nothing was changed since) is not made again: the model is asked to answer instead.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent.acting import Acting, Done, Workplace, failed
from agent.bus import Bus
from agent.config import AgentSettings, ModelSettings
from agent.context import answer_prompt, shorten_oldest
from agent.errors import ModelError
from agent.events import ContextCompacted, Progress, RunFinished, StepFinished, StepStarted, TokenGenerated
from agent.model.base import GenerateRequest, PrefillProgress, TokenDelta, TurnEnd
from agent.model.thread import ModelThread
from agent.model.tool_calls import parse_calls
from memory.types import (
    Message,
    Outcome,
    SignalSummary,
    Step,
    TokenSignal,
    TokenUsage,
    ToolCall,
    ToolResult,
)
from skills.tool import ToolSpec

# stands for a call that could not be read, so that its error is answered like any other result
UNREADABLE = "unreadable_call"


# a small model that has what it needs often fetches it again instead of answering
_REPEATED = "This call was made before and its result still holds, so it was not made again."
_SAME_AGAIN = "\n[The same call led to the same before. Make a different one.]"
_IN_CIRCLES = "The same was written over and over, so the turn was stopped."
# greedy decoding would make the same mistake again
_SECOND_TRY_TEMPERATURE, _SECOND_TRY_TOP_P = 0.7, 0.9


@dataclass(frozen=True)
class TurnInput:
    """What one turn of the loop starts from."""

    messages: Sequence[Message]
    """The conversation, system prompt first, ending in the new user message."""
    first_step: int
    """Index of the turn's first step within the episode."""
    max_steps: int
    """Most model turns."""
    place: Workplace
    """Where its calls are carried out."""
    specs: tuple[ToolSpec, ...]
    """Tools offered."""
    talk: bool = False
    """The message plainly needs no tool: it is answered in a prompt without them."""


class Loop:
    """Runs turns of the loop, one at a time: the model has one owner."""

    def __init__(
        self, model: ModelThread, acting: Acting, bus: Bus, budgets: AgentSettings, decoding: ModelSettings
    ) -> None:
        self.model = model
        self.acting = acting
        self.bus = bus
        self.budgets = budgets
        self.decoding = decoding

    async def run(self, turn: TurnInput) -> RunFinished:
        """Work until the turn ends; returns its closing event, not yet published.

        What the model, a tool or an interruption did is the outcome, never an exception; a journal that
        cannot be written raises HomeError.
        """
        return await _Run(self, turn).run()


@dataclass(frozen=True)
class _Ending:
    outcome: Outcome
    answer: str = ""
    reason: str = ""


@dataclass
class _OpenStep:
    """A step under way; what is in it when it is cut off is still recorded."""

    index: int
    text: str = ""
    signals: list[TokenSignal] = field(default_factory=list)
    usage: TokenUsage | None = None
    calls: tuple[ToolCall, ...] = ()
    results: list[ToolResult] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def close(self) -> Step:
        missing = [
            failed(call, "[interrupted before it finished]") for call in self.calls[len(self.results) :]
        ]
        return Step(
            index=self.index,
            message=Message(role="assistant", content=self.text, provenance="model", tool_calls=self.calls),
            results=(*self.results, *missing),
            usage=self.usage or TokenUsage(generated=len(self.signals)),
            signals=tuple(self.signals),
            seconds=time.monotonic() - self.started,
        )


class _Run:
    """One turn under way."""

    def __init__(self, loop: Loop, turn: TurnInput) -> None:
        self._loop = loop
        self._turn = turn
        self._messages = list(turn.messages)
        self._done: list[Step] = []
        self._open: _OpenStep | None = None
        self._malformed_in_a_row = 0
        self._same_calls: list[str] = []
        self._standing: set[str] = set()
        self._failures: dict[str, str] = {}
        self._unheard = False
        self._answers_next = turn.talk
        self._temperature = 0.0
        self._refusal = ""

    async def run(self) -> RunFinished:
        started = time.monotonic()
        seconds = self._loop.budgets.max_seconds
        try:
            async with asyncio.timeout(seconds):
                ending = await self._until_the_end()
        except TimeoutError:
            ending = _Ending("out_of_budget", reason=f"the time budget of {seconds:g} seconds is used up")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            ending = _Ending("interrupted", reason="interrupted")
        except ModelError as error:
            ending = _Ending("failure", reason=str(error))
        if self._open is not None and (self._open.text or self._open.calls):
            await self._close_step()
        return RunFinished(
            episode_id=self._turn.place.episode_id,
            outcome=ending.outcome,
            answer=ending.answer,
            reason=ending.reason,
            steps=len(self._done),
            tokens=sum((step.usage for step in self._done), TokenUsage()),
            seconds=time.monotonic() - started,
            signals=SignalSummary.of([s for step in self._done for s in step.signals]),
        )

    async def _until_the_end(self) -> _Ending:
        ending: _Ending | None = None
        while ending is None:
            spent = sum(step.usage.generated for step in self._done)
            budgets = self._loop.budgets
            if len(self._done) >= self._turn.max_steps:
                return _Ending(
                    "out_of_budget", reason=f"the budget of {self._turn.max_steps} steps is used up"
                )
            if spent >= budgets.max_tokens:
                return _Ending(
                    "out_of_budget", reason=f"the budget of {budgets.max_tokens} tokens is used up"
                )
            ending = await self._step(min(budgets.turn_tokens, budgets.max_tokens - spent))
        return ending

    async def _step(self, max_tokens: int) -> _Ending | None:
        await self._make_room(max_tokens)
        step = self._open = _OpenStep(index=self._turn.first_step + len(self._done))
        end = await self._generate(step, max_tokens)
        if self._answers_next:
            await self._close_step()
            return self._answered(end.text.strip(), end.finish_reason)
        parsed = parse_calls(end.text, self._turn.specs, id_prefix=f"call_{step.index}")
        in_circles = end.finish_reason == "circles"
        error = _IN_CIRCLES if in_circles else " ".join(parsed.errors)
        if in_circles or (error and not parsed.calls):
            step.calls = (ToolCall(id=f"call_{step.index}_0", name=UNREADABLE, arguments={}),)
            step.results.append(failed(step.calls[0], error))
            # what went in circles is not shown again: it would draw the model back in
            return self._after_calls(await self._close_step(shown=not in_circles), malformed=True)
        if not parsed.calls:
            await self._close_step()
            if not parsed.text.strip() and self._done[:-1]:
                # done, but without a word to the user
                self._answers_next = True
                return None
            return self._answered(parsed.text.strip(), end.finish_reason)
        step.calls = parsed.calls
        await self._loop.bus.publish(
            StepStarted(episode_id=self._turn.place.episode_id, index=step.index, calls=step.calls)
        )
        malformed = False
        for call in step.calls:
            done = await self._act(call)
            step.results.append(done.result)
            malformed = malformed or done.malformed
            if done.ends_task is not None:
                step.calls = step.calls[: len(step.results)]
                await self._close_step()
                return _Ending(done.ends_task, done.result.content)
        return self._after_calls(await self._close_step(), malformed)

    async def _act(self, call: ToolCall) -> Done:
        if _key(call) in self._standing:
            self._answers_next = True
            return Done(failed(call, _REPEATED))
        offered = {spec.name: spec.risk for spec in self._turn.specs}
        done = await self._loop.acting.carry_out(call, self._turn.place, list(offered))
        if offered.get(call.name) == "none" and not done.result.ok:
            # nobody is there to be asked: the second time it is to answer with what it has
            self._answers_next, self._unheard = self._unheard, True
        if done.result.refused:
            self._refusal = done.result.content
        elif done.result.ok:
            self._refusal = ""
        if self._failures.get(_key(call)) == done.result.content:
            told = done.result.content + _SAME_AGAIN
            return replace(done, result=done.result.model_copy(update={"content": told}))
        if not done.result.ok:
            self._failures[_key(call)] = done.result.content
        else:
            if offered[call.name] != "read":
                self._standing.clear()
            self._standing.add(_key(call))
        return done

    def _answered(self, answer: str, finish_reason: str) -> _Ending:
        """The model spoke without calling anything: that is its answer."""
        if finish_reason == "length":
            return _Ending("out_of_budget", answer, "the answer was cut off at the token budget")
        if finish_reason == "circles":
            return _Ending("failure", answer, "the model wrote the same over and over")
        if self._refusal:
            return _Ending("refused", answer, self._refusal)
        if not answer:
            return _Ending("failure", reason="the model gave an empty answer")
        return _Ending("success", answer)

    def _after_calls(self, step: Step, malformed: bool) -> _Ending | None:
        """Stops a loop that goes nowhere."""
        again = any(_key(call) in self._same_calls for call in step.message.tool_calls)
        self._temperature = _SECOND_TRY_TEMPERATURE if malformed or again else 0.0
        self._malformed_in_a_row = self._malformed_in_a_row + 1 if malformed else 0
        if self._malformed_in_a_row >= 2:
            return _Ending(
                "failure", reason=f"a wrong call again after its repair turn: {step.results[-1].content}"
            )
        for call in step.message.tool_calls:
            if _key(call) not in self._same_calls:
                self._same_calls.clear()
            self._same_calls.append(_key(call))
        limit = self._loop.budgets.repeat_limit
        if len(self._same_calls) >= limit:
            name = step.message.tool_calls[-1].name
            return _Ending(
                "failure", reason=f"`{name}` was called {limit} times in a row with the same arguments"
            )
        return None

    async def _generate(self, step: _OpenStep, max_tokens: int) -> TurnEnd:
        episode_id = self._turn.place.episode_id
        messages, tools = tuple(self._messages), self._turn.specs
        if self._answers_next:
            messages, tools = answer_prompt(self._turn.messages, self._done), ()
        request = GenerateRequest(
            messages=messages,
            tools=tools,
            max_tokens=max_tokens,
            max_calls=self._loop.budgets.calls_per_turn,
            temperature=max(self._temperature, self._loop.decoding.temperature),
            top_p=_SECOND_TRY_TOP_P if self._temperature else 1.0,
            seed=step.index if self._temperature else None,
            constrain=self._loop.decoding.constrain,
        )
        async for delta in self._loop.model.stream(request):
            if isinstance(delta, TokenDelta):
                step.text += delta.text
                step.signals.append(delta.signal)
                self._loop.bus.deliver(
                    TokenGenerated(episode_id=episode_id, text=delta.text, signal=delta.signal)
                )
            elif isinstance(delta, PrefillProgress):
                self._loop.bus.deliver(
                    Progress(episode_id=episode_id, stage="prefill", done=delta.done, total=delta.total)
                )
            else:
                step.text = delta.text
                step.usage = delta.usage
                return delta
        raise ModelError("The model stopped without ending its turn. Run the task again.")

    async def _close_step(self, shown: bool = True) -> Step:
        """Record the step; `shown`: the model sees it in its next turns."""
        assert self._open is not None
        step, self._open = self._open.close(), None
        self._done.append(step)
        if shown:
            self._messages.extend(step.messages)
        await self._loop.bus.publish(StepFinished(episode_id=self._turn.place.episode_id, step=step))
        return step

    async def _make_room(self, max_tokens: int) -> None:
        """Shorten old tool results when the prompt and the next turn would not fit the context."""
        model = self._loop.model
        room = model.capabilities.context_tokens if model.capabilities else self._loop.decoding.context_tokens
        budget = room - max_tokens
        before = tokens = await model.count_tokens(self._messages, self._turn.specs)
        shortened: list[str] = []
        while tokens > budget:
            self._messages, ids = shorten_oldest(self._messages, tokens - budget)
            if not ids:
                break
            shortened += ids
            tokens = await model.count_tokens(self._messages, self._turn.specs)
        if shortened:
            await self._loop.bus.publish(
                ContextCompacted(
                    episode_id=self._turn.place.episode_id,
                    shortened=tuple(shortened),
                    tokens_before=before,
                    tokens_after=tokens,
                )
            )


def _key(call: ToolCall) -> str:
    return json.dumps([call.name, call.arguments], sort_keys=True)
