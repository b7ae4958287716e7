"""From one episode to lessons with verdicts: found, checked, put into phrasings, measured, judged.

Each lesson leaves in the state in which the night may use it. What must not be learned is kept only as the
fact that something was withheld, never as its text.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from agent.config import LearningSettings
from agent.gate import scored_verdict
from agent.model.base import Model
from agent.sleep.contradictions import Contradiction, contradictions
from agent.sleep.extract import Candidate, candidates
from agent.sleep.regenerate import phrasings
from agent.sleep.scoring import measure
from agent.vetoes import is_proven, provenance_of, vetoes
from memory.embed import Embedder
from memory.learning import Lesson, LessonState
from memory.record import Record, now
from memory.types import Episode
from memory.verdict import GateSignals, Verdict
from skills.tool import ToolSpec

_WITHHELD = "(withheld)"


class Made(Record):
    """What became of one episode."""

    verdict: Verdict
    """The episode's, after scoring."""
    lessons: tuple[Lesson, ...]
    """Made from it, and those that one of them replaces."""


def draft_lessons(
    model: Model,
    episode: Episode,
    *,
    specs: Sequence[ToolSpec],
    settings: LearningSettings,
    seed: int,
) -> list[Lesson]:
    """Everything an episode has to teach, judged by itself. Needs nothing of other episodes, so that several
    may be worked on side by side. Raises ModelError."""
    first = _first(episode)
    drafts: list[Lesson] = []
    for found in candidates(model, episode, seed):
        if found.statement.casefold() not in {draft.statement.casefold() for draft in drafts}:
            drafts.append(_lesson(model, episode, found, first, specs, settings, seed))
    return drafts


def settle_lessons(
    episode: Episode,
    drafts: Sequence[Lesson],
    known: Sequence[Lesson],
    embedder: Embedder | None,
) -> Made:
    """What becomes of drafts beside the lessons there are already (`known`, from any episode)."""
    said = {lesson.statement.casefold() for lesson in known if lesson.state != "retired"}
    made: list[Lesson] = []
    for draft in drafts:
        if draft.statement.casefold() in said:
            continue
        lesson = draft
        if lesson.state == "approved":
            against = [other for other in (*known, *made) if other.state in ("approved", "pending")]
            lesson, replaced = _weigh(lesson, contradictions(lesson, against, embedder))
            made += replaced
        made.append(lesson)
    own = [lesson for lesson in made if lesson.episode_id == episode.id and lesson.state != "retired"]
    nothing = (
        "It says only what is known already." if drafts else "Nothing was found in it that could be taught."
    )
    return Made(verdict=_overall(_first(episode), own, nothing), lessons=tuple(made))


def phrase(model: Model, lesson: Lesson, specs: Sequence[ToolSpec], count: int, seed: int) -> Lesson:
    """A lesson whose words the user changed, with phrasings made anew from them."""
    from agent.sleep.extract import restated

    found = restated(model, lesson.statement, lesson.kind, seed)
    return lesson.model_copy(
        update={
            "subject": found.subject,
            "phrasings": phrasings(model, found, count, seed, specs),
        }
    )


def _first(episode: Episode) -> Verdict:
    return episode.verdict or Verdict(kind="remember", score=0.0, reasons=())


def _lesson(
    model: Model,
    episode: Episode,
    found: Candidate,
    first: Verdict,
    specs: Sequence[ToolSpec],
    settings: LearningSettings,
    seed: int,
) -> Lesson:
    proven = found.kind == "procedure" and is_proven(episode)
    source = "model" if found.kind == "procedure" else provenance_of(found.span, episode)
    forbidden = vetoes(f"{found.statement}\n{found.span}", source, proven_procedure=proven)
    if forbidden:
        verdict = scored_verdict(GateSignals(), first.signals, forbidden, settings.threshold)
        return _new(episode, found, verdict, "vetoed")
    ways = phrasings(model, found, settings.phrasings, seed, specs)
    if found.kind == "procedure":
        signals = GateSignals()
    else:
        asked = next((way for way in ways if way.held_out and way.form != "reverse"), None)
        question = asked.question if asked is not None else found.statement
        signals = measure(model, found.statement, question, found.answer, seed)
    verdict = scored_verdict(signals, first.signals, (), settings.threshold)
    if first.by == "user":
        kept: LessonState = "approved" if first.kind == "write" else "rejected"
        verdict = verdict.model_copy(update={"kind": first.kind, "by": "user", "reasons": first.reasons})
        return _new(episode, found, verdict, kept).model_copy(update={"phrasings": ways})
    state: LessonState = "passed_over"
    if verdict.kind == "write":
        state = "approved" if settings.review == "auto" else "pending"
    return _new(episode, found, verdict, state).model_copy(update={"phrasings": ways})


def _new(episode: Episode, found: Candidate, verdict: Verdict, state: LessonState) -> Lesson:
    secret = any(veto.startswith("secret") for veto in verdict.vetoes)
    return Lesson(
        id=f"le_{now():%Y%m%dT%H%M%S}_{uuid.uuid4().hex[:6]}",
        episode_id=episode.id,
        kind=found.kind,
        statement=_WITHHELD if secret else found.statement,
        subject="" if secret else found.subject,
        span=_WITHHELD if secret else found.span,
        verdict=verdict,
        state=state,
    )


def _weigh(lesson: Lesson, against: Sequence[Contradiction]) -> tuple[Lesson, list[Lesson]]:
    """What contradictions make of an approved lesson: sure ones retire what was said earlier, unsure ones
    leave the lesson to the user."""
    if not against:
        return lesson, []
    named = tuple(found.lesson.id for found in against)
    if all(found.sure for found in against):
        replaced = [found.lesson.model_copy(update={"state": "retired"}) for found in against]
        return lesson.model_copy(update={"supersedes": named}), replaced
    why = "It may contradict what was said earlier; approve it if it is right now."
    verdict = lesson.verdict.model_copy(update={"reasons": (why, *lesson.verdict.reasons)})
    return lesson.model_copy(update={"contradicts": named, "state": "pending", "verdict": verdict}), []


def _overall(first: Verdict, lessons: Sequence[Lesson], nothing: str) -> Verdict:
    """The episode's verdict: its best lesson's; `nothing` says why there is none."""
    if not lessons:
        return first.model_copy(
            update={"kind": "remember", "stage": "scored", "reasons": (nothing, *first.reasons), "at": now()}
        )
    best = max(lessons, key=lambda lesson: (lesson.state in ("approved", "pending"), lesson.verdict.score))
    return best.verdict.model_copy(update={"stage": "scored", "by": first.by, "at": now()})
