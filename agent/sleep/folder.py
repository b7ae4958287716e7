"""One night's folder, `nights/<id>/`: what each stage left, so that an interrupted night can go on.

A stage is finished when its file is there; files are written whole or not at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from agent.disk import sync, sync_folder, write_all
from agent.errors import HomeError, LearningError
from agent.learning_calls import NightReport, NightRequest
from memory.learning import ExamResult, Lesson
from memory.record import Record
from memory.verdict import Verdict

_R = TypeVar("_R", bound=Record)


class Begun(Record):
    """What a night began with."""

    request: NightRequest
    """As it was asked for."""
    started_at: datetime
    """UTC."""
    base_digest: str
    """Digest of the base model's weights; a night does not go on with another base."""
    serving: str | None
    """The adapter in service when it began."""


class Chosen(Record):
    """Which lessons a night works with, settled before training."""

    new: tuple[str, ...]
    """To be learned."""
    old: tuple[str, ...]
    """In the weights, to be rehearsed."""
    untaught: tuple[str, ...]
    """In the weights, to be taken out: retired or rejected since."""
    digest: str = ""
    """Of the lessons as they were then; a night does not go on with what was changed since."""
    tries: dict[str, int] = Field(default_factory=dict)
    """How often each new one had been tried before this night."""


class Settled(Record):
    """What becomes of one episode, written before any of it is kept."""

    episode_id: str
    """The episode."""
    turns: int
    """How many it had; with more it is looked at again."""
    verdict: Verdict
    """Its own, after scoring."""
    lessons: tuple[Lesson, ...]
    """Made from it, and those that one of them replaces."""


class Spent(Record):
    """Tokens and seconds of the stages that are over."""

    stages: dict[str, float] = Field(default_factory=dict)
    """Seconds of each stage."""
    tokens: dict[str, int] = Field(default_factory=dict)
    """`generated`, `teacher`, `trained`."""


class NightFolder:
    """Reads and writes the files of one night."""

    def __init__(self, nights: Path, night: str) -> None:
        self.night = night
        self.path = nights / night
        self.train = self.path / "train"
        """The training job, its checkpoints and the candidate."""

    def begin(self, begun: Begun) -> None:
        """Make the folder."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write("begun.json", begun)

    @property
    def begun(self) -> Begun | None:
        """None when it never began, or its file is damaged."""
        return self._read("begun.json", Begun)

    @property
    def chosen(self) -> Chosen | None:
        """None while lessons are still being made."""
        return self._read("chosen.json", Chosen)

    def choose(self, chosen: Chosen) -> None:
        """Settle what is trained."""
        self._write("chosen.json", chosen)

    def choose_again(self) -> None:
        """Take back the choice, with everything that came of it. Raises LearningError."""
        try:
            (self.path / "exam.json").unlink(missing_ok=True)
            if self.train.is_dir():
                shutil.rmtree(self.train)
            # last, so that a crash leaves nothing of it to another choice
            sync_folder(self.path)
            (self.path / "chosen.json").unlink(missing_ok=True)
            sync_folder(self.path)
        except OSError as error:
            raise LearningError(f"Cannot begin {self.path} again: {error.strerror}.") from error

    @property
    def settled(self) -> Settled | None:
        """Of the latest episode; None while there was none."""
        return self._read("settled.json", Settled)

    def settle(self, settled: Settled) -> None:
        """Note what becomes of an episode."""
        self._write("settled.json", settled)

    @property
    def exam(self) -> ExamResult | None:
        """None while no exam was sat."""
        return self._read("exam.json", ExamResult)

    def sat(self, exam: ExamResult) -> None:
        """Keep the exam's result."""
        self._write("exam.json", exam)

    @property
    def spent(self) -> Spent:
        """What finished stages cost."""
        return self._read("spent.json", Spent) or Spent()

    def spend(self, spent: Spent) -> None:
        """Keep what finished stages cost."""
        self._write("spent.json", spent)

    @property
    def is_over(self) -> bool:
        """Whether it has a report, readable or not."""
        return (self.path / "report.json").exists()

    @property
    def report(self) -> NightReport | None:
        """The card; None while the night is not over."""
        return self._read("report.json", NightReport)

    def close(self, report: NightReport) -> None:
        """The night is over."""
        self._write_text("report.md", report.markdown)
        self._write("report.json", report)

    def _read(self, name: str, kind: type[_R]) -> _R | None:
        try:
            return kind.model_validate_json((self.path / name).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            # a damaged file counts as a stage that was not finished: it is done again
            return None
        except OSError as error:
            raise HomeError(f"Cannot read {self.path / name}: {error.strerror}.") from error

    def _write(self, name: str, record: Record) -> None:
        self._write_text(name, record.model_dump_json(indent=1))

    def _write_text(self, name: str, text: str) -> None:
        target = self.path / name
        temporary = target.with_suffix(".new")
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                write_all(handle, text.encode("utf-8", "replace"))
                sync(handle)
            finally:
                os.close(handle)
            temporary.replace(target)
            sync_folder(self.path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise LearningError(
                f"Cannot write {target}: {error.strerror}. Free some space, then sleep again."
            ) from error


def nights(folder: Path) -> Sequence[str]:
    """Ids of every night that began, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if (path / "begun.json").is_file())
