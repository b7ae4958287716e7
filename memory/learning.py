"""The values of learning: lessons, adapters' cards, exams, snapshots.

Like all values here they are frozen and refuse unknown fields. Whether a lesson is learned is nowhere a
flag: it follows from the card of the serving adapter.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from memory.record import Record, now
from memory.types import Message
from memory.verdict import Verdict

LessonKind = Literal["fact", "correction", "rule", "procedure"]
LessonState = Literal["pending", "approved", "passed_over", "rejected", "vetoed", "retired"]
Form = Literal["question", "paraphrase", "cloze", "reverse", "statement", "structured", "call"]
Outcome = Literal["learned", "retry", "retrieval"]


class Phrasing(Record):
    """One way to ask for a lesson, with the answer that is to come."""

    messages: tuple[Message, ...]
    """The prompt as it would be served, system message first, without the helping context."""
    with_tools: bool = False
    """Whether the agent's tools stand in the prompt."""
    answer: str
    """The target: what the assistant is to say (for a procedure the call's markup)."""
    expected: str
    """What must be in a right answer: the answer's core, such as the object of a fact. For a procedure
    the call as canonical JSON."""
    form: Form
    """How it asks."""
    held_out: bool = False
    """Never trained on; the exam asks it."""

    @property
    def question(self) -> str:
        """The user's words."""
        return self.messages[-1].content


class Lesson(Record):
    """One trainable item made from an episode."""

    id: str
    """Unique and sortable by time, for example `le_20260101T120000_3f9a2c`."""
    episode_id: str
    """Where it comes from."""
    kind: LessonKind
    """A fact, a correction, a rule or a procedure."""
    statement: str
    """What is to be known, as one sentence that stands by itself."""
    subject: str = ""
    """What the statement is about, as it is named in it; empty when nothing stands out."""
    span: str
    """The user's (or tool's) very words it was made from."""
    phrasings: tuple[Phrasing, ...] = ()
    """Ways to ask for it; those to be trained and those held out."""
    verdict: Verdict
    """The gate's."""
    state: LessonState
    """`approved` lessons are trained; `pending` ones wait for the user; `passed_over` ones the gate left to
    memory (the user may overrule); `rejected` ones the user refused; `retired` ones were superseded and are
    un-taught; `vetoed` ones are never trained."""
    contradicts: tuple[str, ...] = ()
    """Ids of lessons it may contradict: to be shown, never merged."""
    supersedes: tuple[str, ...] = ()
    """Ids of the lessons it replaced."""
    tries: int = 0
    """Nights in which it was trained and not learned."""
    created_at: datetime = Field(default_factory=now)
    """UTC."""

    @property
    def trained(self) -> tuple[Phrasing, ...]:
        """Phrasings that may be trained on."""
        return tuple(phrasing for phrasing in self.phrasings if not phrasing.held_out)

    @property
    def examined(self) -> tuple[Phrasing, ...]:
        """Phrasings set aside for the exam."""
        return tuple(phrasing for phrasing in self.phrasings if phrasing.held_out)


class Asked(Record):
    """One exam question with both answers."""

    question: str
    """The user's words."""
    expected: str
    """What a right answer contains."""
    form: Form
    """How it asks."""
    before: str
    """The serving model's answer."""
    after: str
    """The candidate's answer."""
    right_before: bool
    """Whether the first is right."""
    right_after: bool
    """Whether the second is right."""


class LessonResult(Record):
    """How one lesson fared in one exam."""

    lesson_id: str
    """The lesson."""
    outcome: Outcome
    """`learned`, `retry` in a later night, or leave to `retrieval`."""
    is_new: bool
    """Trained for the first time by this candidate."""
    asked: tuple[Asked, ...]
    """Its questions."""


class Rate(Record):
    """A share with its 95% interval (Wilson score)."""

    right: int
    """How many."""
    total: int
    """Of how many."""
    low: float
    """Lower bound."""
    high: float
    """Upper bound."""

    @property
    def value(self) -> float:
        """The share; 0 of nothing is 1: nothing went wrong."""
        return self.right / self.total if self.total else 1.0


class Guard(Record):
    """One check of general ability, before and after."""

    name: str
    """`text`, `instructions`, `tools`, `unrelated` or `unknown`."""
    before: float
    """The serving model's figure: nats a token for `text`, else a share of right answers."""
    after: float
    """The candidate's."""
    limit: float
    """The worst `after` that passes."""
    passed: bool
    """Whether it does."""
    low: float = 0.0
    """Lower end of the 95% interval of `after`; 0 where there is none."""
    high: float = 0.0
    """Upper end."""


class ExamResult(Record):
    """One exam of one candidate against the adapter in service."""

    passed: bool
    """Whether it may be promoted."""
    reasons: tuple[str, ...]
    """Why not, or what was remarkable."""
    scale: float = 1.0
    """Share of the adapter's full strength that was examined."""
    new: Rate
    """New lessons, questions on unseen phrasings."""
    reverse: Rate
    """Questions in the reverse direction, of new lessons."""
    old: Rate
    """A sample of old lessons after training."""
    old_before: Rate
    """The same questions before."""
    guards: tuple[Guard, ...]
    """General ability."""
    lessons: tuple[LessonResult, ...]
    """Lesson by lesson."""
    seconds: float = 0.0
    """Wall-clock time."""


class AdapterCard(Record):
    """What an adapter is, kept beside its weights as `card.json`."""

    id: str
    """Unique and sortable, for example `ad_20260101T023000_7d`."""
    kind: Literal["night", "core"]
    """Made by one night, or distilled from everything learned."""
    domain: str = "core"
    """The area it serves."""
    parent: str | None
    """The adapter it was trained on from; None from the base."""
    base: str
    """Catalogue name of the base model."""
    base_digest: str
    """Digest of the base's weights; another base refuses it."""
    night: str
    """The night that made it."""
    lessons: tuple[str, ...]
    """Every lesson that is in it, the parent's included: those it was trained on and learned."""
    trained: tuple[str, ...] = ()
    """Every lesson whose tokens were ever trained into it or its ancestors back to the base."""
    settings: dict[str, float | int | str | bool]
    """Hyper-parameters."""
    seed: int
    """Of the training."""
    digest: str
    """SHA-256 over canonical tensors and scaling; the served weights must give the same."""
    exam: ExamResult | None = None
    """The exam it sat; None while it has not."""
    trained_tokens: int = 0
    """Tokens trained, all passes."""
    seconds: float = 0.0
    """Seconds of training."""
    created_at: datetime = Field(default_factory=now)
    """UTC."""


class Snapshot(Record):
    """A named, restorable state of memory, adapters, skills and settings together."""

    id: str
    """Unique and sortable, for example `sn_20260101T023000_7d`."""
    name: str
    """Given by the user, or why it was taken."""
    history: tuple[tuple[int, int], ...]
    """Ranges of journal positions, both ends included, that made the state."""
    adapter: str | None
    """The adapter in service."""
    settings: str
    """The home's config.toml; empty when there was none."""
    purged: tuple[str, ...] = ()
    """Episodes and lessons since forgotten, which a rollback does not bring back."""
    created_at: datetime = Field(default_factory=now)
    """UTC."""
