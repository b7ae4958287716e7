"""Episodes on a terminal: a table of many, and one in full, as rich renderables.

Whatever a tool or a model wrote is shown as text: no markup, no escape sequences.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent.calls import EpisodeHit
from memory.types import Episode, Feedback, SignalSummary, Step, ToolResult, Turn
from tui.wording import clean, duration, one_line, plural, short_count, short_path, summary

OUTCOME_STYLES = {
    "success": "green",
    "failure": "red",
    "interrupted": "yellow",
    "out_of_budget": "yellow",
    "refused": "yellow",
}
_RESULT_LINES = 6
_LINE_CHARS = 200
_CALL_OPENS = ("<tool_call>", "<tools>", "<function=", "```json")


def episode_panel(episode: Episode) -> RenderableType:
    """One episode in full: the conversation step by step, then what is known about it."""
    blocks: list[RenderableType] = []
    for turn in episode.turns:
        blocks += _turn(turn, note=episode.kind == "note")
    blocks += [_feedback(given) for given in episode.feedback]
    blocks += [Text(), _facts(episode)]
    title = Text.assemble((f" {episode.id} ", "bold"), (f"{_outcome_words(episode)} ", _style(episode)))
    return Panel(
        Group(*blocks), title=title, title_align="left", box=box.ROUNDED, border_style="dim", padding=(1, 2)
    )


def episode_table(episodes: Iterable[Episode]) -> RenderableType:
    """Several episodes, one line each."""
    table = _table()
    table.add_column("episode", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("task", no_wrap=True, overflow="ellipsis", ratio=1)
    for episode in episodes:
        table.add_row(
            episode.id,
            Text(_outcome_words(episode), style=_style(episode)),
            _task(episode),
        )
    return table


def hit_table(hits: Sequence[EpisodeHit]) -> RenderableType:
    """What a search found, with the reasons."""
    table = _table()
    table.add_column("episode", no_wrap=True)
    table.add_column("found", ratio=1)
    for hit in hits:
        found = Text.assemble(_task(hit.episode), "\n")
        if hit.episode.answer:
            found.append(one_line(hit.episode.answer) + "\n")
        found.append(clean(hit.reason), style="dim")
        table.add_row(hit.episode.id, found)
    return table


def diff_text(diff: str) -> Text:
    """A unified diff in colours."""
    text = Text()
    for line in clean(diff).splitlines():
        style = "dim"
        if line.startswith(("+++", "---")):
            style = "bold"
        elif line.startswith("+"):
            style = "green"
        elif line.startswith("-"):
            style = "red"
        elif line.startswith("@@"):
            style = "cyan"
        text.append(line + "\n", style=style)
    text.rstrip()
    return text


def _turn(turn: Turn, note: bool) -> list[RenderableType]:
    blocks: list[RenderableType] = [Text.assemble(("❯ ", "bold cyan"), (clean(turn.user.content), "bold"))]
    if turn.user.context:
        blocks.append(Text(f"  with {plural(len(turn.user.context.splitlines()), 'line')} of context", "dim"))
    for step in turn.steps:
        blocks += _step(step)
    said_last = turn.steps[-1].message.content.strip() if turn.steps else ""
    if turn.answer and turn.answer.strip() != said_last:
        blocks += [Text(), Text(clean(turn.answer))]
    if turn.outcome != "success" and not note:
        blocks += [Text(), Text(turn.outcome.replace("_", " "), style=OUTCOME_STYLES[turn.outcome])]
    return blocks


def _step(step: Step) -> list[RenderableType]:
    blocks: list[RenderableType] = [Text()]
    said = clean(step.message.content if not step.message.tool_calls else _before_calls(step.message.content))
    if said.strip():
        blocks.append(Text(said.strip()))
    results = {result.call_id: result for result in step.results}
    for call in step.message.tool_calls:
        result = results.get(call.id)
        mark = "green" if result and result.ok else "red"
        line = Text.assemble(("● ", mark), (call.name, "bold"), " ", summary(call.arguments))
        line.truncate(_LINE_CHARS, overflow="ellipsis")
        blocks.append(line)
        if result is not None:
            blocks.append(_result(result))
    return blocks


def _result(result: ToolResult) -> Text:
    lines = clean(result.content).strip().splitlines()
    shown = [line[:_LINE_CHARS] + ("…" if len(line) > _LINE_CHARS else "") for line in lines[:_RESULT_LINES]]
    if len(lines) > _RESULT_LINES:
        shown.append(f"… {plural(len(lines) - _RESULT_LINES, 'more line')}")
    if result.full_output:
        shown.append(f"(whole output: {short_path(result.full_output, 60)})")
    if not lines:
        shown.append("(no output)")
    style = "yellow" if result.refused else "dim" if result.ok else "red"
    return Text("\n".join(f"  {line}" for line in shown), style=style)


def _before_calls(content: str) -> str:
    """What was said before the calls, without their markup."""
    ends = [found for opens in _CALL_OPENS if (found := content.find(opens)) >= 0]
    if content.lstrip().startswith(("{", "[")):
        return ""
    return content[: min(ends)] if ends else content


def _feedback(given: Feedback) -> RenderableType:
    mark, style = ("▲ good", "green") if given.rating == "good" else ("▼ bad", "red")
    text = Text.assemble("\n", (mark, style))
    if given.text:
        text.append(f"  {clean(given.text)}")
    return text


def _facts(episode: Episode) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    took = (episode.ended_at - episode.started_at).total_seconds()
    grid.add_row("when", f"{episode.started_at.astimezone():%Y-%m-%d %H:%M}, {duration(max(0.0, took))}")
    if episode.kind != "note":
        served = f" with {episode.adapter}" if episode.adapter else ""
        grid.add_row("model", f"{episode.model}{served}")
    if episode.workspace:
        undone = " (changes undone)" if episode.undone else ""
        grid.add_row("workspace", f"{short_path(episode.workspace, 60)}{undone}")
    if episode.steps:
        usage = episode.usage
        grid.add_row(
            "tokens",
            f"{plural(len(episode.steps), 'step')}: {short_count(usage.generated)} generated, "
            f"{short_count(usage.prefilled)} of {short_count(usage.prompt)} prompt tokens computed",
        )
    if episode.uncertainty.tokens:
        grid.add_row("uncertainty", _uncertainty(episode.uncertainty))
    return grid


def _uncertainty(signals: SignalSummary) -> str:
    return (
        f"entropy {signals.mean_entropy:.2f} nats (highest {signals.max_entropy:.2f}), "
        f"log-probability {signals.mean_logprob:.2f} (lowest {signals.min_logprob:.2f})"
    )


def _task(episode: Episode) -> Text:
    more = f" (+{plural(len(episode.turns) - 1, 'message')})" if len(episode.turns) > 1 else ""
    return Text(one_line(episode.task) + more)


def _outcome_words(episode: Episode) -> str:
    words = "note" if episode.kind == "note" else episode.outcome.replace("_", " ")
    ratings = [given.rating for given in episode.feedback]
    if ratings:
        words += " ▲" if ratings[-1] == "good" else " ▼"
    return words


def _style(episode: Episode) -> str:
    return "cyan" if episode.kind == "note" else OUTCOME_STYLES[episode.outcome]


def _table() -> Table:
    return Table(
        box=box.SIMPLE_HEAD,
        expand=True,
        padding=(0, 1),
        collapse_padding=True,
        pad_edge=False,
        header_style="dim",
    )
