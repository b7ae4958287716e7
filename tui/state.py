"""What the app shows, as values: the event stream folded into a view, without Textual.

`fold(view, event)` is pure and never raises, whatever order events come in: the faces must survive a
dropped token, a replay after a reconnect and an episode they join in the middle. Folding a durable
event twice changes nothing. Parts that an event does not touch keep their identity, so a screen can
skip them with `is`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    # only for the types: pydantic models are not needed for the first frame
    from agent import events as ev
    from agent.events import Event
    from memory.types import (
        EpisodeKind,
        Message,
        Outcome,
        SignalSummary,
        Step,
        TokenSignal,
        TokenUsage,
        ToolCall,
        ToolResult,
    )

CallStatus = Literal["planned", "waiting", "running", "done", "failed", "refused"]

# tokens whose times make the speed shown; about a second's worth on a laptop
_SPEED_WINDOW = 24


@dataclass(frozen=True)
class CallView:
    """One tool call."""

    call: ToolCall
    """What the model wants."""
    status: CallStatus = "planned"
    """`waiting` is for a person."""
    result: ToolResult | None = None
    """What came back."""
    preview: str = ""
    """The diff or command a person was asked about."""
    since: datetime | None = None
    """When it began to run."""
    note: str = ""
    """Why it was refused."""


@dataclass(frozen=True)
class StepView:
    """One model turn: its text so far and the calls it led to."""

    index: int | None = None
    """The step's number, once known."""
    text: str = ""
    """Raw text, markup included."""
    tokens: tuple[TokenSignal, ...] = ()
    """Signals of the tokens that made the text."""
    calls: tuple[CallView, ...] = ()
    """In order."""
    finished: bool = False
    """No more text and no more results will come."""
    cut: bool = False
    """It was ended from outside, in the middle."""
    compacted: tuple[int, int] | None = None
    """Prompt tokens before and after older results were shortened for this step."""
    times: tuple[float, ...] = ()
    """When the newest tokens came, seconds."""

    @property
    def writing(self) -> bool:
        """Whether the model is still producing text here."""
        return not self.finished and not self.calls


@dataclass(frozen=True)
class TurnView:
    """One user message and all it led to."""

    user: Message | None = None
    """The message; None when the turn was joined in the middle."""
    steps: tuple[StepView, ...] = ()
    """In order."""
    started: datetime | None = None
    """When it was taken on."""
    outcome: Outcome | None = None
    """How it ended; None while it runs."""
    answer: str = ""
    """The final text."""
    reason: str = ""
    """Why it did not succeed."""
    seconds: float = 0.0
    """Wall-clock time."""
    usage: TokenUsage | None = None
    """Tokens."""
    signals: SignalSummary | None = None
    """Uncertainty."""


@dataclass(frozen=True)
class ApprovalAsk:
    """A call that waits for a person."""

    request_id: str
    call: ToolCall
    risk: str
    reason: str
    preview: str


@dataclass(frozen=True)
class QuestionAsk:
    """A question that waits for a person."""

    request_id: str
    question: str


Ask = ApprovalAsk | QuestionAsk


@dataclass(frozen=True)
class Activity:
    """Something long that is under way."""

    stage: str
    text: str = ""
    done: float = 0.0
    total: float = 0.0

    @property
    def fraction(self) -> float | None:
        """How much of it is done, in [0, 1]; None when unknown."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total > 0 else None


@dataclass(frozen=True)
class EpisodeView:
    """One episode."""

    id: str
    kind: EpisodeKind | None = None
    workspace: str | None = None
    model: str = ""
    turns: tuple[TurnView, ...] = ()
    """In order."""
    asks: tuple[Ask, ...] = ()
    """What waits for a person, oldest first."""
    activity: Activity | None = None
    """What is being done right now."""
    undone: bool = False
    """Its changes to the workspace were taken back."""
    last_seq: int = 0
    """Newest journal position folded in."""
    context_used: int = 0
    """Tokens that the conversation takes in the model's context, answers included."""

    @property
    def running(self) -> bool:
        """Whether a turn is under way."""
        return bool(self.turns) and self.turns[-1].outcome is None


@dataclass(frozen=True)
class View:
    """Everything folded so far."""

    episodes: Mapping[str, EpisodeView] = field(default_factory=dict)
    """By id."""
    loading: Activity | None = None
    """Loading of the model."""

    def episode(self, episode_id: str | None) -> EpisodeView | None:
        """One episode, if anything is known about it."""
        return self.episodes.get(episode_id) if episode_id else None


def fold_all(view: View, events: Iterable[Event]) -> View:
    """Several events, oldest first."""
    for event in events:
        view = fold(view, event)
    return view


def fold(view: View, event: Event) -> View:
    """The view after one more event."""
    if event.kind == "progress" and event.stage == "loading":
        return replace(view, loading=_activity(event))
    if event.episode_id is None:
        return view
    before = view.episodes.get(event.episode_id) or EpisodeView(event.episode_id)
    if 0 < event.seq <= before.last_seq:
        return view
    after = _fold_episode(before, event)
    if event.seq:
        after = replace(after, last_seq=event.seq)
    if after is before:
        return view
    return replace(view, episodes={**view.episodes, event.episode_id: after})


def loaded(view: View) -> View:
    """The view once the model is ready or has failed: nothing is loading."""
    return replace(view, loading=None) if view.loading else view


def settled(view: View, episode_id: str, request_id: str) -> View:
    """The view once a person answered: a question has no event that says so."""
    episode = view.episode(episode_id)
    if episode is None or all(ask.request_id != request_id for ask in episode.asks):
        return view
    asks = tuple(ask for ask in episode.asks if ask.request_id != request_id)
    return replace(view, episodes={**view.episodes, episode_id: replace(episode, asks=asks)})


def tokens_per_second(step: StepView) -> float | None:
    """Decoding speed over the newest tokens; None before there are enough."""
    if len(step.times) < 4 or step.times[-1] <= step.times[0]:
        return None
    return (len(step.times) - 1) / (step.times[-1] - step.times[0])


def _fold_episode(episode: EpisodeView, event: Event) -> EpisodeView:
    match event.kind:
        case "token":
            return _token(episode, event)
        case "progress":
            return replace(episode, activity=_activity(event))
        case "episode_started":
            return replace(episode, kind=event.episode_kind, workspace=event.workspace, model=event.model)
        case "task_accepted":
            turn = TurnView(user=event.message, started=event.at)
            return replace(episode, turns=(*episode.turns, turn), asks=(), activity=None)
        case "step_started":
            return _step_started(episode, event)
        case "step_finished":
            return _step_finished(episode, event.step)
        case "context_compacted":
            note = (event.tokens_before, event.tokens_after)
            shortened = replace(episode, context_used=event.tokens_after)
            return _in_open_step(shortened, lambda step: replace(step, compacted=note))
        case "approval_requested":
            ask = ApprovalAsk(event.request_id, event.call, event.risk, event.reason, event.preview)
            asked = replace(episode, asks=(*episode.asks, ask), activity=None)
            return _with_call(
                asked, event.call.id, lambda call: replace(call, status="waiting", preview=event.preview)
            )
        case "question_asked":
            return _asked(episode, QuestionAsk(event.request_id, event.question))
        case "call_decided":
            return _decided(episode, event)
        case "run_finished":
            return _run_finished(episode, event)
        case "episode_undone":
            return replace(episode, undone=True)
        case _:
            return episode


def _activity(event: ev.Progress) -> Activity:
    return Activity(event.stage, event.text, event.done, event.total)


def _token(episode: EpisodeView, event: ev.TokenGenerated) -> EpisodeView:
    if not episode.running and episode.turns:
        # a straggler of a turn that is over would start a ghost of a new one
        return episode
    at = event.at.timestamp()

    def grow(step: StepView) -> StepView:
        return replace(
            step,
            text=step.text + event.text,
            tokens=(*step.tokens, event.signal),
            times=(*step.times[-_SPEED_WINDOW + 1 :], at),
        )

    return _in_open_step(replace(episode, activity=None), grow)


def _step_started(episode: EpisodeView, event: ev.StepStarted) -> EpisodeView:
    calls = tuple(CallView(call, since=event.at) for call in event.calls)
    return _in_open_step(
        replace(episode, activity=None), lambda step: replace(step, index=event.index, calls=calls)
    )


def _step_finished(episode: EpisodeView, done: Step) -> EpisodeView:
    turn = _last_turn(episode)
    results = {result.call_id: result for result in done.results}
    place = next((n for n, step in enumerate(turn.steps) if step.index == done.index), None)
    if place is None and turn.steps and not turn.steps[-1].finished:
        place = len(turn.steps) - 1
    old = turn.steps[place] if place is not None else StepView()
    known = {call.call.id: call for call in old.calls}
    step = replace(
        old,
        index=done.index,
        text=done.message.content,
        tokens=done.signals,
        calls=tuple(
            _returned(known.get(call.id) or CallView(call), results.get(call.id))
            for call in done.message.tool_calls
        ),
        finished=True,
        times=(),
    )
    at = len(turn.steps) if place is None else place
    steps = (*turn.steps[:at], step, *turn.steps[at + 1 :])
    used = done.usage.prompt + done.usage.generated
    return replace(
        _with_turn(episode, replace(turn, steps=steps)),
        asks=(),
        activity=None,
        # a step may be prompted with less than the conversation, which only shortening makes smaller
        context_used=max(used, episode.context_used),
    )


def _returned(call: CallView, result: ToolResult | None) -> CallView:
    if result is None:
        return replace(call, status="failed" if call.status != "refused" else "refused")
    status: CallStatus = "done" if result.ok else "refused" if result.refused else "failed"
    return replace(call, result=result, status=status)


def _asked(episode: EpisodeView, question: QuestionAsk) -> EpisodeView:
    asked = replace(episode, asks=(*episode.asks, question), activity=None)
    for call in [call for step in _last_turn(episode).steps[-1:] for call in step.calls]:
        if call.status == "running":
            return _with_call(asked, call.call.id, lambda call: replace(call, status="waiting"))
    return asked


def _decided(episode: EpisodeView, event: ev.CallDecided) -> EpisodeView:
    asks = tuple(
        ask for ask in episode.asks if not (isinstance(ask, ApprovalAsk) and ask.call.id == event.call_id)
    )
    if event.allowed:
        decided = _with_call(
            episode, event.call_id, lambda call: replace(call, status="running", since=event.at)
        )
    else:
        decided = _with_call(
            episode, event.call_id, lambda call: replace(call, status="refused", note=event.reason)
        )
    return replace(decided, asks=asks) if asks != decided.asks else decided


def _run_finished(episode: EpisodeView, event: ev.RunFinished) -> EpisodeView:
    turn = _last_turn(episode)
    steps = tuple(step if step.finished else _cut_off(step) for step in turn.steps)
    over = replace(
        turn,
        steps=steps,
        outcome=event.outcome,
        answer=event.answer,
        reason=event.reason,
        seconds=event.seconds,
        usage=event.tokens,
        signals=event.signals,
    )
    return replace(_with_turn(episode, over), asks=(), activity=None)


def _cut_off(step: StepView) -> StepView:
    calls = tuple(
        call if call.status in ("done", "failed", "refused") else replace(call, status="failed")
        for call in step.calls
    )
    return replace(step, finished=True, cut=True, calls=calls, times=())


def _last_turn(episode: EpisodeView) -> TurnView:
    return episode.turns[-1] if episode.turns else TurnView()


def _with_turn(episode: EpisodeView, turn: TurnView) -> EpisodeView:
    return replace(episode, turns=(*episode.turns[:-1], turn))


def _in_open_step(episode: EpisodeView, change: _StepChange) -> EpisodeView:
    """Apply to the step the model is writing, begun if there is none."""
    turn = _last_turn(episode)
    if turn.steps and turn.steps[-1].writing:
        steps = (*turn.steps[:-1], change(turn.steps[-1]))
    else:
        steps = (*turn.steps, change(StepView()))
    return _with_turn(episode, replace(turn, steps=steps))


def _with_call(episode: EpisodeView, call_id: str, change: _CallChange) -> EpisodeView:
    turn = _last_turn(episode)
    for place, step in enumerate(turn.steps):
        if any(call.call.id == call_id for call in step.calls):
            calls = tuple(change(call) if call.call.id == call_id else call for call in step.calls)
            steps = (*turn.steps[:place], replace(step, calls=calls), *turn.steps[place + 1 :])
            return _with_turn(episode, replace(turn, steps=steps))
    return episode


if TYPE_CHECKING:
    from collections.abc import Callable

    _StepChange = Callable[[StepView], StepView]
    _CallChange = Callable[[CallView], CallView]
