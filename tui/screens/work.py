"""The mode where people talk with the agent and watch it work."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen

from tui import files
from tui.actions import Actions
from tui.conversation import Conversation
from tui.slash import matching
from tui.state import EpisodeView, settled, tokens_per_second
from tui.widgets.activity_line import ActivityLine
from tui.widgets.ask_card import ApprovalCard, AskCard, QuestionCard, UndoCard
from tui.widgets.completion_list import Completion, CompletionList
from tui.widgets.fold_block import FoldBlock
from tui.widgets.legend_line import LegendLine
from tui.widgets.notice import Level
from tui.widgets.prompt import Prompt
from tui.widgets.queue_list import QueueList
from tui.widgets.status_line import Standing, StatusLine
from tui.widgets.transcript import Transcript
from tui.wording import short_path

if TYPE_CHECKING:
    from tui.app import NightSchoolApp, Refreshed


class WorkScreen(Screen[None]):
    """One conversation, its prompt, and what waits for the user."""

    AUTO_FOCUS = "Prompt"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "interrupt", "Interrupt the task"),
        Binding("ctrl+t", "tint", "Tint tokens by uncertainty"),
        Binding("ctrl+o", "outputs", "Open or close the outputs"),
        Binding("pageup", "scroll_pages(-1)", "Scroll up", show=False),
        Binding("pagedown", "scroll_pages(1)", "Scroll down", show=False),
    ]

    app: NightSchoolApp

    def __init__(self) -> None:
        super().__init__()
        self.tint = False
        """Whether tokens are coloured by uncertainty."""
        self._files: list[str] | None = None
        self._card: AskCard | None = None

    def compose(self) -> ComposeResult:
        app = self.app
        app.work_screen = self
        self.tint = app.settings.tui.show_signals
        self.conversation = Conversation(app.workspace)
        self.actions = Actions(app, self)
        yield Transcript(self.workspace_words)
        with Vertical(id="dock"):
            yield LegendLine()
            yield CompletionList()
            yield QueueList()
            yield ActivityLine(app.clock)
            yield Prompt()
            yield StatusLine(self._standing(None))

    def on_mount(self) -> None:
        self.query_one(LegendLine).display = self.tint
        prompt = self.query_one(Prompt)
        if self.app.animation_level == "none":
            prompt.cursor_blink = False

    @property
    def workspace_words(self) -> str:
        """The folder it works in, for a person."""
        workspace = self.app.workspace
        return short_path(workspace, 60) if workspace is not None else "a fresh folder"

    @property
    def episode(self) -> EpisodeView | None:
        """The conversation's episode, as far as it is known."""
        return self.conversation.seen(self.app.view)

    async def on_refreshed(self, event: Refreshed) -> None:
        """Something changed: bring the whole screen up to date."""
        if not self.is_attached:
            return
        await self.bring_up_to_date()
        self._send_if_possible()

    async def bring_up_to_date(self) -> None:
        """Show the newest view. Parts that did not change cost nothing."""
        episode = self.episode
        await self.query_one(Transcript).show(episode, self.tint)
        sent = self.conversation.sent
        if self.app.link == "up":
            self.query_one(ActivityLine).show(episode, starting=sent is not None)
        else:
            self.query_one(ActivityLine).show(None, starting=False)
        waiting = self.conversation.waiting + ([sent] if sent and not self.app.ready else [])
        self.query_one(QueueList).show(waiting, self._waits_for())
        self.query_one(StatusLine).show(self._standing(episode))
        self._mind_the_cards()

    def _mind_the_cards(self) -> None:
        card, before = self.query_one(Transcript).waiting_card(), self._card
        prompt = self.query_one(Prompt)
        if card is not None and card is not before:
            if not prompt.text and self.app.screen is self:
                card.listen_soon()
            else:
                self.flash("It waits for an answer: shift+tab goes there")
            if not self.app.app_focus:
                self.app.bell()
        elif card is None and before is not None:
            prompt.focus()
        self._card = card

    def _waits_for(self) -> str:
        if self.app.link == "lost":
            return "until you reconnect"
        if self.app.status is not None and self.app.status.model_state == "failed":
            return "until the model is there"
        if not self.app.ready:
            return "until the model is loaded"
        return "until this is done"

    def _standing(self, episode: EpisodeView | None) -> Standing:
        app, status = self.app, self.app.status
        loading = app.view.loading
        last = episode.turns[-1].steps[-1] if episode and episode.turns and episode.turns[-1].steps else None
        return Standing(
            model=app.model_name,
            state=app.state_word,
            loaded=loading.fraction if loading else None,
            context_used=episode.context_used if episode else 0,
            context_total=status.context_tokens if status else app.settings.model.context_tokens,
            speed=tokens_per_second(last) if last and last.writing and app.link == "up" else None,
            sandbox=status.sandbox if status else app.settings.sandbox.backend,
            sandbox_error=status.sandbox_error if status else "",
            workspace=self.workspace_words,
            queued=len(self.conversation.waiting),
            tinted=self.tint,
        )

    async def say(self, text: str, level: Level = "info", title: str = "") -> None:
        """A notice at the end of the conversation."""
        await self.query_one(Transcript).say(text, level, title)

    def flash(self, text: str) -> None:
        """A word in the status line."""
        self.query_one(StatusLine).flash(text)

    @on(Prompt.Sent)
    async def _sent(self, event: Prompt.Sent) -> None:
        self.query_one(CompletionList).offer([])
        self.query_one(Transcript).anchor()
        if event.text.startswith("/") and not event.text.startswith("//"):
            await self.actions.run_line(event.text)
            return
        self.conversation.waiting.append(event.text)
        await self.bring_up_to_date()
        if self.app.link == "lost":
            await self.say("There is no connection; it is kept. `/reconnect` connects again.", "warning")
        elif self.app.status is not None and self.app.status.model_state == "failed":
            self.app.load_again()
        self._send_if_possible()

    def _send_if_possible(self) -> None:
        ready = self.app.ready and self.app.bridge.calls is not None
        if ready and self.conversation.waiting and not self.conversation.running(self.app.view):
            self._send()

    @work(exclusive=True, group="send")
    async def _send(self) -> None:
        if not self.conversation.waiting or self.conversation.running(self.app.view):
            return
        text = self.conversation.waiting[0]
        sent = await self.app.call(lambda calls: self.conversation.send_next(calls, self.app.view))
        if not sent.ok and self.app.link == "up" and self.conversation.waiting[:1] == [text]:
            # the runtime will not take it: back to the user, who can change it
            self.conversation.waiting.pop(0)
            prompt = self.query_one(Prompt)
            if not prompt.text:
                prompt.fill(text)
        await self.bring_up_to_date()

    @on(Prompt.TakeBack)
    async def _take_back(self) -> None:
        text = self.conversation.take_back()
        prompt = self.query_one(Prompt)
        if text is None:
            prompt.recall(-1)
        else:
            prompt.fill(text)
            await self.bring_up_to_date()

    @on(Prompt.Changed)
    def _complete(self) -> None:
        prompt = self.query_one(Prompt)
        row, column = prompt.cursor_location
        before = prompt.document.get_line(row)[:column]
        offers: list[Completion] = []
        if row == 0 and before.startswith("/") and " " not in before:
            offers = [
                Completion(
                    f"/{command.name} {command.arguments}".strip(),
                    command.summary,
                    f"/{command.name}" + (" " if command.takes_text else ""),
                    0,
                    not command.takes_text,
                )
                for command in matching(before[1:])
            ]
        elif (at := _mention_start(before)) is not None:
            if self._files is None:
                self._list_files()
            found = files.match(self._files or [], before[at + 1 :])
            offers = [
                Completion(f"@{name}", "", f'@"{name}" ' if " " in name else f"@{name} ", at, False)
                for name in found
            ]
        else:
            self._files = None
        self._offer(offers)

    def _offer(self, offers: list[Completion]) -> None:
        self.query_one(CompletionList).offer(offers)
        self.query_one(Prompt).completing = bool(offers)

    @work(thread=True, exclusive=True, group="files")
    def _list_files(self) -> None:
        workspace = self.app.workspace
        found = files.list_files(workspace) if workspace is not None else []
        self.app.call_from_thread(self._files_listed, found)

    def _files_listed(self, found: list[str]) -> None:
        self._files = found
        self._complete()

    @on(Prompt.CompletionMoved)
    def _completion_moved(self, event: Prompt.CompletionMoved) -> None:
        self.query_one(CompletionList).move(event.by)

    @on(Prompt.CompletionClosed)
    def _completion_closed(self) -> None:
        self._offer([])

    @on(CompletionList.Clicked)
    def _completion_clicked(self) -> None:
        self._take_completion()

    @on(Prompt.CompletionTaken)
    def _completion_taken(self, event: Prompt.CompletionTaken) -> None:
        chosen = self.query_one(CompletionList).chosen
        prompt = self.query_one(Prompt)
        typed_whole = chosen is not None and prompt.text.endswith(chosen.replacement.strip())
        self._take_completion()
        if event.send and chosen is not None and (chosen.complete or typed_whole):
            prompt.send()

    def _take_completion(self) -> None:
        chosen = self.query_one(CompletionList).chosen
        prompt = self.query_one(Prompt)
        if chosen is not None:
            row, column = prompt.cursor_location
            prompt.replace(chosen.replacement, (row, chosen.start), (row, column))
        self._offer([])
        prompt.focus()

    @on(ApprovalCard.Decided)
    async def _decided(self, event: ApprovalCard.Decided) -> None:
        await self._answered(
            event.request_id,
            await self.app.call(lambda c: c.decide(event.request_id, event.allow, event.reason)),
        )

    @on(QuestionCard.Answered)
    async def _question_answered(self, event: QuestionCard.Answered) -> None:
        await self._answered(
            event.request_id, await self.app.call(lambda c: c.answer(event.request_id, event.text))
        )

    async def _answered(self, request_id: str, sent: object) -> None:
        episode_id = self.conversation.episode_id
        if episode_id is not None and self.app.link == "up":
            self.app.view = settled(self.app.view, episode_id, request_id)
        await self.bring_up_to_date()

    @on(UndoCard.Confirmed)
    async def _undo_confirmed(self, event: UndoCard.Confirmed) -> None:
        await self.actions.undo_confirmed(event)

    def on_key(self, event: events.Key) -> None:
        # typing while a block has the focus is meant for the prompt
        focused = self.focused
        prompt = self.query_one(Prompt)
        typed = event.character if event.is_printable else None
        if typed and typed not in " ?" and (focused is None or isinstance(focused, FoldBlock)):
            event.stop()
            prompt.focus()
            prompt.insert(typed)

    @on(Prompt.Scrolled)
    def _scrolled(self, event: Prompt.Scrolled) -> None:
        self.action_scroll_pages(event.pages)

    @on(Prompt.HelpAsked)
    async def _help_asked(self) -> None:
        self.app.action_help()

    def action_scroll_pages(self, pages: int) -> None:
        """Scroll the conversation."""
        transcript = self.query_one(Transcript)
        if pages < 0:
            transcript.scroll_page_up(animate=False)
        else:
            transcript.scroll_page_down(animate=False)

    async def action_interrupt(self) -> None:
        """Stop what runs; without anything running, back to the prompt."""
        episode_id = self.conversation.episode_id
        if episode_id is not None and self.conversation.running(self.app.view):
            done = await self.app.call(lambda calls: calls.interrupt(episode_id))
            if done.ok:
                self.flash("Interrupting …")
        self.query_one(Prompt).focus()

    async def action_tint(self) -> None:
        """Colour tokens by uncertainty, or stop it."""
        self.tint = not self.tint
        self.query_one(LegendLine).display = self.tint
        await self.bring_up_to_date()

    def action_outputs(self) -> None:
        """Open or close the calls of the last turn."""
        self.query_one(Transcript).toggle_outputs()


def _mention_start(before: str) -> int | None:
    """Column of the `@` that the cursor is in, if any."""
    at = before.rfind("@")
    if at < 0 or (at and not before[at - 1].isspace()):
        return None
    typed = before[at + 1 :]
    if typed.startswith('"'):
        return at if '"' not in typed[1:] else None
    return at if not any(letter.isspace() for letter in typed) else None
