"""What the `/` commands do. The palette runs the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tui.screens.episodes import EpisodesScreen
from tui.slash import NoSuchCommand, SlashCommand, parse
from tui.widgets.ask_card import UndoCard
from tui.widgets.prompt import Prompt
from tui.widgets.transcript import Transcript
from tui.wording import plural, short_path

if TYPE_CHECKING:
    from tui.app import NightSchoolApp
    from tui.screens.work import WorkScreen


class Actions:
    """Bound to the screen whose conversation they act on."""

    def __init__(self, app: NightSchoolApp, screen: WorkScreen) -> None:
        self._app = app
        self._screen = screen

    async def run_line(self, line: str) -> None:
        """Do what a typed `/` line says; what it cannot be is explained."""
        try:
            command, text = parse(line)
        except NoSuchCommand as error:
            await self._screen.say(str(error), "warning")
            return
        await self.run(command, text)

    async def run(self, command: SlashCommand, text: str = "") -> None:
        """Do one command."""
        match command.name:
            case "new":
                await self.new()
            case "good":
                await self.feedback("good", text)
            case "bad":
                await self.feedback("bad", text)
            case "undo":
                await self.undo()
            case "remember":
                await self.remember(text)
            case "episodes":
                await self.episodes()
            case "copy":
                self.copy()
            case "status":
                await self.status()
            case "reconnect":
                self._app.reconnect()
            case "help":
                self._app.action_help()
            case "quit":
                self._app.leave()

    async def new(self) -> None:
        """An empty conversation; the old one stays an episode."""
        conversation = self._screen.conversation
        if conversation.running(self._app.view):
            await self._screen.say("It is still working. `esc` interrupts it; then `/new`.", "warning")
            return
        conversation.episode_id = None
        await self._screen.query_one(Transcript).clear()
        await self._screen.bring_up_to_date()

    async def feedback(self, rating: Literal["good", "bad"], text: str) -> None:
        """Keep the user's judgement."""
        episode_id = await self._current("judge")
        if episode_id is None:
            return
        kept = await self._app.call(lambda calls: calls.feedback(episode_id, rating, text))
        if kept.ok:
            words = f"Kept: {rating}" + (f" — {text}" if text else "") + "."
            await self._screen.say(words)

    async def undo(self) -> None:
        """Show what would be taken back, and ask."""
        episode_id = await self._current("undo")
        if episode_id is None:
            return
        preview = await self._app.call(lambda calls: calls.undo_preview(episode_id))
        if preview.value is None:
            return
        if not preview.value:
            await self._screen.say("This conversation changed no files.")
            return
        card = UndoCard(episode_id, [(c.path, c.action, c.diff) for c in preview.value])
        await self._screen.query_one(Transcript).add(card)
        card.focus()
        card.scroll_visible(animate=False)

    async def undo_confirmed(self, event: UndoCard.Confirmed) -> None:
        """Take it back, or leave it."""
        await event.card.remove()
        self._screen.query_one(Prompt).focus()
        if not event.undo:
            await self._screen.say("Nothing was taken back.")
            return
        done = await self._app.call(lambda calls: calls.undo(event.episode_id))
        if done.value is not None:
            names = ", ".join(change.path for change in done.value[:6])
            more = f" and {len(done.value) - 6} more" if len(done.value) > 6 else ""
            await self._screen.say(f"Took back {plural(len(done.value), 'file')}: {names}{more}.")

    async def remember(self, text: str) -> None:
        """Keep a note."""
        kept = await self._app.call(lambda calls: calls.remember(text))
        if kept.value is not None:
            await self._screen.say(f"It will remember that, as `{kept.value}`.")

    async def episodes(self) -> None:
        """Choose a past episode to go on with."""
        found = await self._app.call(lambda calls: calls.episodes(50))
        if found.value is not None:
            self._app.push_screen(EpisodesScreen(found.value), self._open)

    async def _open(self, episode_id: str | None) -> None:
        if episode_id is None or episode_id == self._screen.conversation.episode_id:
            return
        if self._screen.conversation.running(self._app.view):
            await self._screen.say("It is still working. `esc` interrupts it first.", "warning")
            return
        self._screen.conversation.episode_id = episode_id
        await self._screen.query_one(Transcript).clear()
        known = self._app.view.episode(episode_id)
        self._app.bridge.follow(episode_id, known.last_seq if known and known.kind else 0)
        await self._screen.bring_up_to_date()

    def copy(self) -> None:
        """The last answer, to the clipboard."""
        episode = self._screen.episode
        answers = [turn.answer for turn in episode.turns if turn.answer] if episode else []
        if answers:
            self._app.copy_to_clipboard(answers[-1])
            self._screen.flash("Copied the last answer")
        else:
            self._screen.flash("There is no answer to copy yet")

    async def status(self) -> None:
        """How things stand."""
        found = await self._app.call(lambda calls: calls.status())
        status = found.value
        if status is None:
            return
        lines = [
            ("model", f"{status.model}, {status.model_state.replace('_', ' ')}"),
            ("adapter", status.adapter or "none, the base model"),
            ("sandbox", status.sandbox_error or status.sandbox),
            ("context", f"{status.context_tokens:,} tokens"),
            ("home", short_path(status.home, 60)),
            ("working in", self._screen.workspace_words),
            ("running", status.running or "nothing"),
            ("queued", str(status.queued)),
            ("episode", self._screen.conversation.episode_id or "none yet"),
        ]
        await self._screen.say("\n".join(f"{name:<11} {value}" for name, value in lines), title="Status")

    async def _current(self, what: str) -> str | None:
        episode_id = self._screen.conversation.episode_id
        if episode_id is None:
            await self._screen.say(f"There is nothing to {what} yet: say something first.", "warning")
        return episode_id
