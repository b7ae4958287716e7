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
FORGOTTEN = "some of it was forgotten since"
"""Stands where words of the forgotten may have stood."""


def nights_with(folder: Path, gone: Collection[str], texts: Iterable[str]) -> list[str]:
    """The nights below `folder` that keep anything of these episodes or lessons, by id or by what they say.
    Raises OSError."""
    if not folder.is_dir():
        return []
    needles = [name.encode() for name in gone]
    for text in texts:
        needles += [text.encode("utf-8", "replace"), _in_json(text)]
    nights = sorted(path for path in folder.iterdir() if path.is_dir())
    return [
        night.name
        for night in nights
        if any(_holds(path, needles) for path in night.rglob("*") if path.is_file())
    ]


def scrub_night(night: Path, gone: Collection[str], lessons: Mapping[str, Lesson]) -> None:
    """Take the lessons `gone` out of one night's folder. `lessons` are those that stay, for the report. May
    be repeated. Raises OSError."""
    if not night.is_dir():
        return
    report = _read_report(night / _REPORT)
    if report is None:
        shutil.rmtree(night)
        return
    report = report.model_copy(
        update={
            "reason": FORGOTTEN if report.reason else "",
            "learned": tuple(name for name in report.learned if name not in gone),
            "exam": None if report.exam is None else _without_lessons(report.exam, gone),
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


def card_without_lessons(card: AdapterCard, gone: Collection[str]) -> AdapterCard:
    """A card whose exam says nothing about these lessons; the same card when it does not now."""
    exam = card.exam
    named = exam is not None and any(result.lesson_id in gone for result in exam.lessons)
    if exam is None or not (named or not lessons_in(card).isdisjoint(gone)):
        return card
    return card.model_copy(update={"exam": _without_lessons(exam, gone)})


def lessons_in(card: AdapterCard) -> set[str]:
    """Every lesson that left a trace in an adapter's weights."""
    return {*card.trained, *card.lessons}


def _without_lessons(exam: ExamResult, gone: Collection[str]) -> ExamResult:
    """Its figures stay. Its reasons go: they may name what turned up in unrelated answers."""
    kept = tuple(result for result in exam.lessons if result.lesson_id not in gone)
    return exam.model_copy(update={"lessons": kept, "reasons": (FORGOTTEN,) if exam.reasons else ()})


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
