"""The report card of a night, as Markdown that reads well in a terminal too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.learning_calls import NightReport
from memory.learning import ExamResult, Guard, Lesson, LessonResult, Rate

_OUTCOMES = {
    "promoted": "Promoted: the new adapter serves.",
    "nothing": "Nothing to learn.",
    "failed": "Not promoted: the exam was not passed.",
    "stopped": "Stopped before it was over.",
    "error": "Something broke; nothing was changed.",
}
_GUARDS = {
    "text": "general text (nats per token, lower is better)",
    "instructions": "instructions with checkable answers",
    "tools": "right tool calls",
    "unrelated": "unrelated prompts without intrusion",
    "unknown": "unknown neighbours: says it does not know",
}
_PLOT_WIDTH, _PLOT_HEIGHT = 60, 8
_CELL = 60


def render(report: NightReport, lessons: Mapping[str, Lesson]) -> str:
    """The whole card; `lessons` by id, for their statements."""
    parts = [f"# Night {report.night}", "", f"**{_OUTCOMES[report.outcome]}**"]
    if report.reason:
        parts.append(f"\n{report.reason[0].upper()}{report.reason[1:]}.")
    parts += ["", *_costs(report)]
    if report.loss:
        parts += ["", "## Loss", "", "```", *_plot([loss for _, loss in report.loss]), "```"]
    if report.exam is not None:
        parts += ["", *_exam(report.exam, lessons)]
    return "\n".join(parts) + "\n"


def _costs(report: NightReport) -> list[str]:
    stages = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in report.stages.items())
    tokens = ", ".join(f"{count:,} {kind}" for kind, count in report.tokens.items() if count)
    lines = [f"- began {report.started_at:%Y-%m-%d %H:%M} UTC, took {report.seconds:.0f} s"]
    if stages:
        lines.append(f"- stages: {stages}")
    if tokens:
        lines.append(f"- tokens: {tokens}")
    if report.adapter is not None:
        card = report.adapter
        lines.append(f"- adapter {card.id} ({card.kind}), from {card.parent or 'the base model'}")
        lines.append(f"- digest {card.digest}")
    return lines


def _exam(exam: ExamResult, lessons: Mapping[str, Lesson]) -> list[str]:
    lines = [
        "## Exam",
        "",
        f"{'Passed' if exam.passed else 'Not passed'}"
        + (f" at {exam.scale:.0%} of its strength" if exam.scale != 1 else "")
        + "".join(f"; {reason}" for reason in exam.reasons)
        + ".",
        "",
        "| what | before | after | 95% interval | limit | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    before = _rate_before(exam)
    lines.append(_rate_row("new lessons, unseen phrasings", before, exam.new))
    if exam.reverse.total:
        lines.append(_rate_row("new lessons, asked in reverse", None, exam.reverse))
    if exam.old.total:
        lines.append(_rate_row("old lessons", exam.old_before.value, exam.old))
    lines += [_guard_row(guard) for guard in exam.guards]
    for title, wanted in (("New lessons", True), ("Old lessons", False)):
        rows = [result for result in exam.lessons if result.is_new is wanted]
        if rows:
            lines += ["", f"## {title}", "", *_lessons(rows, lessons)]
    return lines


def _rate_before(exam: ExamResult) -> float | None:
    asked = [a for result in exam.lessons if result.is_new for a in result.asked if a.form != "reverse"]
    return sum(a.right_before for a in asked) / len(asked) if asked else None


def _rate_row(what: str, before: float | None, after: Rate) -> str:
    was = "" if before is None else f"{before:.2f}"
    return f"| {what} | {was} | {after.value:.2f} | {after.low:.2f} to {after.high:.2f} | | |"


def _guard_row(guard: Guard) -> str:
    digits = 3 if guard.name == "text" else 2
    interval = f"{guard.low:.{digits}f} to {guard.high:.{digits}f}" if guard.high else ""
    return (
        f"| {_GUARDS.get(guard.name, guard.name)} | {guard.before:.{digits}f} | {guard.after:.{digits}f} "
        f"| {interval} | {guard.limit:.{digits}f} | {'ok' if guard.passed else 'failed'} |"
    )


def _lessons(results: Sequence[LessonResult], lessons: Mapping[str, Lesson]) -> list[str]:
    lines = []
    for result in results:
        known = lessons.get(result.lesson_id)
        statement = known.statement if known is not None else "(forgotten)"
        left = " (left to retrieval)" if result.outcome == "retrieval" else ""
        lines += [f"**{statement}** {result.lesson_id}: {result.outcome}{left}", ""]
        lines += ["| asked | expected | before | after | |", "| --- | --- | --- | --- | --- |"]
        lines += [
            f"| {_cell(asked.question)} | {_cell(asked.expected)} | {_cell(asked.before)} "
            f"| {_cell(asked.after)} | {'right' if asked.right_after else 'wrong'} |"
            for asked in result.asked
        ]
        lines.append("")
    return lines


def _cell(text: str) -> str:
    flat = " ".join(text.split()).replace("|", "\\|")
    return flat if len(flat) <= _CELL else f"{flat[: _CELL - 1]}…"


def _plot(values: Sequence[float]) -> list[str]:
    """A curve in characters: the mean of each of at most sixty stretches of steps."""
    width = min(_PLOT_WIDTH, len(values))
    means = []
    for column in range(width):
        piece = values[column * len(values) // width : (column + 1) * len(values) // width]
        means.append(sum(piece) / len(piece))
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    rows = [round((value - low) / span * (_PLOT_HEIGHT - 1)) for value in means]
    lines = []
    for level in range(_PLOT_HEIGHT - 1, -1, -1):
        label = f"{low + span * level / (_PLOT_HEIGHT - 1):8.3f}"
        lines.append(f"{label} │{''.join('•' if row == level else ' ' for row in rows).rstrip()}")
    lines.append(f"{'':8} └{'─' * width} {len(values)} steps")
    return lines
