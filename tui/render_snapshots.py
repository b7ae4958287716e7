"""Snapshots for a person: what one holds, what differs between two, what pruning takes away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.wording import clean, file_size, plural

if TYPE_CHECKING:
    from agent.keeping_calls import (
        KeptDocument,
        KeptEpisode,
        KeptLesson,
        Pruned,
        SnapshotContents,
        SnapshotDiff,
    )

_LINES = 20
_BASE = "the base model"


def contents_lines(shown: SnapshotContents) -> list[str]:
    """What a snapshot holds."""
    snapshot = shown.snapshot
    states = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in shown.lessons.items())
    lines = [
        f"{snapshot.id}  {snapshot.created_at.astimezone():%Y-%m-%d %H:%M}  {clean(snapshot.name)}",
        f"  episodes   {shown.episodes:,}",
        f"  lessons    {sum(shown.lessons.values()):,}{f' ({states})' if states else ''}",
        f"  documents  {shown.documents:,}",
        f"  serves     {_adapter(shown)}",
    ]
    if shown.adapter_problem:
        lines.append(f"             {shown.adapter_problem}")
    for key, value in shown.settings.items():
        lines.append(f"  settings   {clean(key)} = {clean(str(value))}")
    if shown.settings_problem:
        lines.append(f"  settings   {clean(shown.settings_problem)}")
    elif not shown.settings:
        lines.append("  settings   the defaults")
    if snapshot.purged:
        lines.append(f"  forgotten  {len(snapshot.purged)} since; a rollback does not bring them back")
    if shown.way_back_of:
        lines.append(f"  way back   from {', '.join(shown.way_back_of)}")
    return lines


def diff_lines(diff: SnapshotDiff) -> list[str]:
    """What differs between two, in the manner of a patch: `-` is lost, `+` comes back, `~` is another."""
    lines = [f"From {diff.first} to {diff.second}:"]
    for noun, lost, back, changed in (
        (
            "episode",
            _episodes(diff.episodes_lost),
            _episodes(diff.episodes_back),
            _episodes(diff.episodes_changed),
        ),
        (
            "lesson",
            _lessons(diff.lessons_lost),
            _lessons(diff.lessons_back),
            [
                f"{change.after.id}  {_lesson(change.before)} → {_lesson(change.after)}"
                for change in diff.lessons_changed
            ],
        ),
        (
            "document",
            _documents(diff.documents_lost),
            _documents(diff.documents_back),
            _documents(diff.documents_changed),
        ),
    ):
        for sign, what, found in (("-", "lost", lost), ("+", "back", back), ("~", "changed", changed)):
            if found:
                lines.append(f"{plural(len(found), noun)} {what}")
                lines += [f"  {sign} {line}" for line in found[:_LINES]]
                if len(found) > _LINES:
                    lines.append(f"    … {len(found) - _LINES:,} more; --json lists them all")
    if diff.adapter_first != diff.adapter_second:
        lines.append(f"serves: {diff.adapter_first or _BASE} → {diff.adapter_second or _BASE}")
    if diff.settings:
        lines += [clean(line) for line in diff.settings.split("\n")]
    if len(lines) == 1:
        lines.append("nothing differs")
    return lines


def pruned_lines(pruned: Pruned, done: bool) -> list[str]:
    """What pruning takes away, or took away."""
    lines = []
    for gone in pruned.snapshots:
        made = f"{gone.created_at.astimezone():%Y-%m-%d %H:%M}"
        lines.append(f"- {gone.id}  {made}  {clean(gone.name)}")
    for adapter in pruned.adapters:
        lines.append(f"- adapter {adapter}, which nothing else goes back to")
    for snapshot in pruned.staying[:_LINES]:
        lines.append(f"  {snapshot.id}  {clean(snapshot.name)}  stays: {snapshot.reason}")
    if len(pruned.staying) > _LINES:
        lines.append(f"    … {len(pruned.staying) - _LINES:,} more stay; --json lists them all")
    if not pruned.snapshots:
        lines.append("No snapshot goes.")
    freed = pruned.adapter_bytes + pruned.table_bytes
    if done:
        lines.append(f"{file_size(freed)} freed, {plural(pruned.remaining, 'snapshot')} left.")
    elif pruned.snapshots:
        lines.append(f"That frees {file_size(freed)} and leaves {plural(pruned.remaining, 'snapshot')}.")
    return lines


def _adapter(shown: SnapshotContents) -> str:
    if shown.snapshot.adapter is None:
        return f"{_BASE} alone"
    return f"{shown.snapshot.adapter}, with {plural(shown.adapter_lessons, 'lesson')} learned"


def _episodes(episodes: Sequence[KeptEpisode]) -> list[str]:
    return [f"{episode.id}  {clean(episode.task)}" for episode in episodes]


def _lessons(lessons: Sequence[KeptLesson]) -> list[str]:
    return [f"{lesson.id}  {_lesson(lesson)}" for lesson in lessons]


def _lesson(lesson: KeptLesson) -> str:
    return f"{clean(lesson.statement)} ({lesson.state.replace('_', ' ')})"


def _documents(documents: Sequence[KeptDocument]) -> list[str]:
    return [f"{document.id}  {clean(document.path)} in {clean(document.domain)}" for document in documents]
