"""What a long benchmark has done so far, as JSON lines: a run that was killed goes on from here.

A line is written when something is done; one that was cut off counts as not written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.errors import HomeError


class RunLog:
    """Answers, nights and figures of one run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.answers: dict[tuple[int, str], str] = {}
        """By night and question."""
        self.nights: dict[int, str] = {}
        """Id of the night after each day, written when it began."""
        self.figures: dict[str, Any] = {}
        """Whatever else was measured."""
        self.asking_seconds = 0.0
        """Spent on questions."""
        for record in self._read():
            self._take(record)

    def answered(self, night: int, answers: Mapping[str, str], seconds: float) -> None:
        """Keep the answers given after a night (0: before the first)."""
        self._write({"kind": "answers", "night": night, "answers": dict(answers), "seconds": seconds})

    def begun(self, day: int, night: str) -> None:
        """Keep which night follows a day."""
        self._write({"kind": "night", "day": day, "night": night})

    def measured(self, name: str, value: Any) -> None:
        """Keep a figure."""
        self._write({"kind": "figure", "name": name, "value": value})

    def _take(self, record: dict[str, Any]) -> None:
        match record["kind"]:
            case "answers":
                self.asking_seconds += record["seconds"]
                for question, answer in record["answers"].items():
                    self.answers[record["night"], question] = answer
            case "night":
                self.nights[record["day"]] = record["night"]
            case "figure":
                self.figures[record["name"]] = record["value"]

    def _write(self, record: dict[str, Any]) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        except OSError as error:
            raise HomeError(
                f"Cannot write {self._path}: {(error.strerror or str(error)).lower()}. Free some space and "
                "run the same command again; it goes on from here."
            ) from error
        self._take(record)

    def _read(self) -> list[dict[str, Any]]:
        try:
            text = self._path.read_bytes().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return []
        # not splitlines: answers may hold other characters that count as line ends
        *lines, torn = text.split("\n")
        if torn:
            # what follows must begin on a line of its own
            self._path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return [json.loads(line) for line in lines]
