"""What nights keep of a lesson, taken out: training items, checkpoints, exam questions, reports.

A night that is over keeps its report without the forgotten lessons; what it was made from goes whole, since
weights and cached activations cannot be taken apart. A night that was cut off is discarded.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from agent.disk import replace_file
from agent.learning_calls import NightReport
from memory.learning import AdapterCard, ExamResult, Lesson

_REPORT, _TEXT, _BEGUN = "report.json", "report.md", "begun.json"
_CHUNK = 1024**2


def scrub_nights(
    folder: Path, gone: Collection[str], texts: Iterable[str], lessons: Mapping[str, Lesson]
) -> None:
    """Take the lessons `gone`, and whatever repeats these texts, out of every night below `folder`.
    `lessons` are those that stay, for the reports. May be repeated. Raises OSError."""
    if not folder.is_dir():
        return
    needles = [name.encode() for name in gone]
    # as they stand in JSON, too
    for text in texts:
        needles += [text.encode("utf-8", "replace"), _in_json(text)]
    for night in sorted(path for path in folder.iterdir() if path.is_dir()):
        if any(_holds(path, needles) for path in night.rglob("*") if path.is_file()):
            _scrub_night(night, gone, lessons)


def without_lessons(exam: ExamResult, gone: Collection[str]) -> ExamResult:
    """An exam without what it asked about these lessons; its figures stay."""
    kept = tuple(result for result in exam.lessons if result.lesson_id not in gone)
    return exam if kept == exam.lessons else exam.model_copy(update={"lessons": kept})


def card_without_lessons(card: AdapterCard, gone: Collection[str]) -> AdapterCard:
    """A card whose exam asks nothing about these lessons."""
    if card.exam is None:
        return card
    exam = without_lessons(card.exam, gone)
    return card if exam is card.exam else card.model_copy(update={"exam": exam})


def _scrub_night(night: Path, gone: Collection[str], lessons: Mapping[str, Lesson]) -> None:
    report = _read_report(night / _REPORT)
    if report is None:
        shutil.rmtree(night)
        return
    report = report.model_copy(
        update={
            "learned": tuple(name for name in report.learned if name not in gone),
            "exam": None if report.exam is None else without_lessons(report.exam, gone),
            "adapter": None if report.adapter is None else card_without_lessons(report.adapter, gone),
        }
    )
    from agent.sleep.report import render

    report = report.model_copy(update={"markdown": render(report, lessons)})
    replace_file(night / _REPORT, report.model_dump_json(indent=1).encode())
    replace_file(night / _TEXT, report.markdown.encode("utf-8", "replace"))
    for path in night.iterdir():
        if path.name in (_REPORT, _TEXT, _BEGUN):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _read_report(path: Path) -> NightReport | None:
    try:
        return NightReport.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _in_json(text: str) -> bytes:
    import json

    return json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "replace")


def _holds(path: Path, needles: Collection[bytes]) -> bool:
    """Whether a file holds any of these; read in pieces, for checkpoints are large."""
    overlap = max(len(needle) for needle in needles) - 1
    rest = b""
    with path.open("rb") as content:
        while piece := content.read(_CHUNK):
            window = rest + piece
            if any(needle in window for needle in needles):
                return True
            rest = window[len(window) - overlap :] if overlap else b""
    return False
