"""Forgetting an episode or a lesson for good, with everything that was made from it.

What goes: the journal's text, rows of the tables with every older version, whole outputs and pre-images,
the workspace that was made for the episode, what nights keep, lessons, and every adapter that was ever
trained on one of them or descends from one that was. Quotations of a forgotten episode in later ones go
too; what an answer repeats in its own words is that answer's and stays. Files outside the home, such as a
workspace the user named, are the user's.

What is to go is noted (ids only) before anything does, and each step can be repeated: after a crash the next
start finishes the work.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from agent.errors import HomeError, UsageError
from agent.events import (
    EpisodeJudged,
    EpisodeStarted,
    Event,
    Forgotten,
    LessonKept,
    NightFinished,
    TaskAccepted,
)
from agent.forget_nights import FORGOTTEN, card_without_lessons, lessons_in, nights_with, scrub_night
from agent.home import Home
from agent.journal import Journal
from agent.learning_calls import Forgetting
from agent.lesson_log import lessons as lessons_of
from agent.tables import Tables
from memory.adapters import AdapterRegistry
from memory.episode_text import shorten
from memory.learning import AdapterCard, Lesson
from memory.recall import without_quotations
from memory.state import Intent, State
from memory.verdict import Verdict

_KIND = "forget"
_TEXT_CHARS = 400
# shorter answers, such as a name, stand in texts that have nothing to do with the lesson
_TELLING_CHARS = 12


@dataclass(frozen=True)
class _Plan:
    """What goes, by id."""

    episodes: tuple[str, ...]
    lessons: tuple[Lesson, ...]
    adapters: tuple[str, ...]
    serving_after: str | None
    touched: tuple[str, ...]
    """Episodes and lessons that stay and mention what goes."""
    workspaces: tuple[str, ...]
    """Episodes whose workspace in the home goes too: no other task worked in it."""
    nights: tuple[str, ...]
    """Nights that keep something of them."""
    text: str


class Forget:
    """Forgetting in one home; each call in a thread of its own."""

    def __init__(self, work: ForgetWork) -> None:
        self._work = work

    async def preview(self, name: str) -> Forgetting:
        """What `forget` would take away; changes nothing. Raises UsageError for an unknown id."""
        return await asyncio.to_thread(self._work.preview, name)

    async def forget(self, name: str) -> Forgetting:
        """Forget. Nothing may be working on a task or a night meanwhile. Raises UsageError, HomeError and
        StoreError; after the last two the next start finishes the work."""
        return await asyncio.to_thread(self._work.forget, name)


class ForgetWork:
    """What `Forget` does, in the calling thread."""

    def __init__(
        self,
        home: Home,
        journal: Journal,
        state: State,
        registry: AdapterRegistry,
        tables: Tables,
        drop_caches: Callable[[], None] = lambda: None,
        deliver: Callable[[Event], None] = lambda event: None,
        taking_away: threading.RLock | None = None,
    ) -> None:
        """`drop_caches` removes what was computed from lessons and kept elsewhere; `deliver` hands on what
        was journalled, from any thread; `taking_away` is held while anything goes for good."""
        self._home = home
        self._journal = journal
        self._state = state
        self._registry = registry
        self._tables = tables
        self._drop_caches = drop_caches
        self._deliver = deliver
        self._lock = taking_away or threading.RLock()

    def preview(self, name: str) -> Forgetting:
        """What would go."""
        with self._lock:
            return _shown(self._plan(name), self._home)

    def forget(self, name: str) -> Forgetting:
        """Take it away; returns what went."""
        with self._lock:
            self.redo()
            plan = self._plan(name)
            intent = self._state.intend(
                _KIND,
                {
                    "episodes": list(plan.episodes),
                    "lessons": [lesson.id for lesson in plan.lessons],
                    "adapters": list(plan.adapters),
                    "touched": list(plan.touched),
                    "workspaces": list(plan.workspaces),
                    "nights": list(plan.nights),
                    "after": self._journal.last_seq,
                },
            )
            self._finish(intent)
            return _shown(plan, self._home)

    def redo(self) -> bool:
        """Finish what a crash cut off; True when there was anything. To be called before anything else
        uses the home, and after a rollback was redone."""
        with self._lock:
            found = self._state.intents(_KIND)
            for intent in found:
                self._finish(intent)
            return bool(found)

    def _plan(self, name: str) -> _Plan:
        episodes, only_lesson = self._resolve(name)
        mentioned = list(self._journal.mentioning([*episodes, *only_lesson]))
        gone: dict[str, Lesson] = {}
        for event in mentioned:
            if isinstance(event, LessonKept) and (
                event.lesson.episode_id in episodes or event.lesson.id in only_lesson
            ):
                gone[event.lesson.id] = event.lesson
        ids = set(gone)
        if episodes:
            # what mentions the lessons alone
            mentioned += self._journal.mentioning(sorted(ids)) if ids else []
        touched = {event.lesson.id for event in mentioned if isinstance(event, LessonKept)} - ids
        touched |= {event.episode_id for event in mentioned if event.episode_id} - set(episodes)
        workspaces = {name for name in episodes if (self._home.workspaces / name).is_dir()}
        for event in mentioned:
            if isinstance(event, EpisodeStarted) and event.episode_id not in episodes:
                workspaces = {name for name in workspaces if name not in (event.workspace or "")}
        adapters = self._adapters_with(ids)
        said = [
            event.message.content
            for event in mentioned
            if isinstance(event, TaskAccepted) and event.episode_id in episodes
        ]
        said = said or [lesson.statement for lesson in gone.values()]
        return _Plan(
            episodes=episodes,
            lessons=tuple(gone.values()),
            adapters=adapters,
            serving_after=self._successor(self._state.active, adapters, set(self._journal.lesson_seqs) - ids),
            touched=tuple(sorted(touched)),
            workspaces=tuple(sorted(workspaces)),
            nights=tuple(
                nights_with(self._home.nights, {*episodes, *ids}, _telling(mentioned, episodes, ids))
            ),
            text=shorten("\n".join(said), _TEXT_CHARS),
        )

    def _resolve(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The episode or the lesson meant, those that a rollback hid included."""
        everything = self._journal.view_at([(1, self._journal.last_seq)])
        if name == "last":
            ids = self._journal.episode_ids()[-1:]
        elif name in everything.newest or name in everything.lessons:
            ids = [name]
        else:
            known = [*everything.newest, *everything.lessons]
            ids = [known_id for known_id in known if name and known_id.startswith(name)]
        if not ids:
            raise UsageError(
                f"There is no episode or lesson `{name}`. `nightschool episodes list` and "
                "`nightschool review list` show them."
            )
        if len(ids) > 1:
            raise UsageError(f"`{name}` fits {len(ids)} episodes and lessons. Give more of the id.")
        if ids[0] in self._journal.running():
            raise UsageError(f"Episode {ids[0]} is still running. Interrupt it first, then forget it.")
        return (tuple(ids), ()) if ids[0] in everything.newest else ((), tuple(ids))

    def _adapters_with(self, lessons: Collection[str]) -> tuple[str, ...]:
        """Every adapter that was trained on one of them or descends from one that was, and those whose
        card cannot be read but mentions one."""
        cards, _ = self._registry.read()
        found = {card.id for card in cards if not lessons_in(card).isdisjoint(lessons)}
        for name in list(found):
            found |= {card.id for card in self._registry.descendants(name)}
        for name in set(self._registry.ids()) - {card.id for card in cards}:
            found |= {name} if self._mentions(name, lessons) else set()
        return tuple(sorted(found))

    def _mentions(self, adapter: str, lessons: Collection[str]) -> bool:
        try:
            content = (self._registry.folder / adapter / "card.json").read_bytes()
        except OSError:
            return False
        return any(name.encode() in content for name in lessons)

    def _successor(
        self, adapter: str | None, doomed: Collection[str], staying: Collection[str]
    ) -> str | None:
        """What serves instead of an adapter that is doomed: the nearest ancestor that is not, else the
        newest earlier adapter that was trained on nothing but lessons that stay, else the base (None)."""
        if adapter is None or adapter not in doomed:
            return adapter
        cards = self._registry.list()
        own = next((card for card in cards if card.id == adapter), None)
        if own is None:
            return None
        earlier = [card for card in cards if card.created_at < own.created_at]
        others = [card for card in earlier if lessons_in(card) <= set(staying)]
        for card in [*self._registry.ancestors(adapter), *others]:
            if card.id not in doomed and card.base_digest == own.base_digest and _passed(card):
                return card.id
        return None

    def _finish(self, intent: Intent) -> None:
        going = intent.payload
        episodes, lessons = tuple(going["episodes"]), tuple(going["lessons"])
        try:
            self._out_of_service(going["adapters"], episodes, lessons)
            self._tell(intent, episodes, lessons, going["adapters"])
            staying = {
                lesson.id: lesson for lesson, _ in lessons_of(self._journal) if lesson.id not in lessons
            }
            for night in going["nights"]:
                scrub_night(self._home.nights / night, {*episodes, *lessons}, staying)
            self._scrub_adapters(going["adapters"], lessons)
            self._drop_caches()
            self._remove_folders(episodes, going["workspaces"])
            self._journal.purge(
                [*episodes, *lessons, *going["nights"]],
                lambda event: purged(event, episodes, lessons, going["nights"]),
            )
            self._tables.purge(episodes, lessons, going["touched"])
        except OSError as error:
            raise HomeError(
                f"Cannot remove {error.filename or self._home.root}: {error.strerror}. "
                "Mend that and start again: forgetting is finished then."
            ) from error
        self._state.fulfil(intent)
        self._state.empty_log()

    def _out_of_service(
        self, adapters: Sequence[str], episodes: Sequence[str], lessons: Sequence[str]
    ) -> None:
        gone = {*episodes, *lessons}
        active = self._state.active
        after = self._successor(active, adapters, set(self._journal.lesson_seqs) - gone)
        if after != active:
            self._state.activate(after, self._registry.get(after).digest if after is not None else "")
        for snapshot in self._state.snapshots():
            there = self._journal.view_at(snapshot.history)
            held = gone & {*there.newest, *there.lessons}
            changed = snapshot.model_copy(
                update={
                    "purged": tuple(dict.fromkeys([*snapshot.purged, *sorted(held)])),
                    "adapter": self._successor(snapshot.adapter, adapters, set(there.lessons) - gone),
                }
            )
            if changed != snapshot:
                self._state.replace_snapshot(changed)

    def _tell(
        self, intent: Intent, episodes: Sequence[str], lessons: Sequence[str], adapters: Sequence[str]
    ) -> None:
        """Journal what is forgotten, once. Being the newest event, it keeps the numbers of purged ones
        from being given again."""
        after = self._journal.read(after=intent.payload["after"])
        if any(isinstance(event, Forgotten) and event.lessons == lessons for event in after):
            return
        if not episodes:
            # else the next night would make the same lesson again
            for event in list(self._journal.mentioning(lessons)):
                if isinstance(event, LessonKept) and event.lesson.id in lessons:
                    self._journalled(_left_to_memory(event.lesson))
                    break
        self._journalled(
            Forgotten(episodes=tuple(episodes), lessons=tuple(lessons), adapters=tuple(adapters))
        )

    def _scrub_adapters(self, doomed: Sequence[str], lessons: Sequence[str]) -> None:
        for name in doomed:
            self._registry.remove(name)
        self._registry.sweep()
        for card in self._registry.list():
            changed = card_without_lessons(card, lessons)
            if changed is not card:
                self._registry.rewrite_card(changed)

    def _remove_folders(self, episodes: Sequence[str], workspaces: Sequence[str]) -> None:
        for name in episodes:
            folders = [self._home.outputs / name, self._home.preimages / name]
            if name in workspaces:
                folders.append(self._home.workspaces / name)
            for folder in folders:
                if folder.is_dir():
                    shutil.rmtree(folder)

    def _journalled(self, event: Event) -> None:
        self._deliver(self._journal.append(event))


def purged(
    event: Event, episodes: Collection[str], lessons: Collection[str], nights: Collection[str] = ()
) -> Event | None:
    """What stays of a journalled event; None when all of it goes. `nights` had to do with the lessons."""
    if event.episode_id is not None and event.episode_id in episodes:
        return None
    if isinstance(event, LessonKept):
        if event.lesson.id in lessons:
            return None
        lesson = event.lesson.model_copy(
            update={
                "contradicts": tuple(name for name in event.lesson.contradicts if name not in lessons),
                "supersedes": tuple(name for name in event.lesson.supersedes if name not in lessons),
            }
        )
        return event.model_copy(update={"lesson": lesson})
    if isinstance(event, TaskAccepted):
        context = without_quotations(event.message.context, episodes)
        return event.model_copy(update={"message": event.message.model_copy(update={"context": context})})
    if isinstance(event, NightFinished) and event.night in nights and event.reason:
        return event.model_copy(update={"reason": FORGOTTEN})
    return event


def _telling(events: Iterable[Event], episodes: Collection[str], lessons: Collection[str]) -> set[str]:
    """What was said and taught, as far as it is long enough to be known by."""
    texts: set[str] = set()
    for event in events:
        if isinstance(event, LessonKept) and event.lesson.id in lessons:
            texts |= {event.lesson.statement, event.lesson.span}
            for phrasing in event.lesson.phrasings:
                texts |= {phrasing.question, phrasing.answer}
        elif isinstance(event, TaskAccepted) and event.episode_id in episodes:
            texts.add(event.message.content)
    return {text for text in texts if len(text) >= _TELLING_CHARS}


def _passed(card: AdapterCard) -> bool:
    return card.exam is not None and card.exam.passed


def _left_to_memory(lesson: Lesson) -> EpisodeJudged:
    verdict = Verdict(
        kind="remember",
        score=0.0,
        reasons=("you had a lesson from it forgotten",),
        stage="scored",
        by="user",
    )
    return EpisodeJudged(episode_id=lesson.episode_id, verdict=verdict)


def _shown(plan: _Plan, home: Home) -> Forgetting:
    return Forgetting(
        episodes=plan.episodes,
        lessons=plan.lessons,
        adapters=plan.adapters,
        serving_after=plan.serving_after,
        text=plan.text,
        workspaces=tuple(str(home.workspaces / name) for name in plan.workspaces),
    )
