"""The reading process: a file that kills or stalls it costs that file alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from agent.reading.errors import Unreadable
from agent.reading.process import ReadingProcess
from memory.knowledge import DocumentText, Part


def test_it_reads_and_cuts_and_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "夜.md").write_text("# Owl\nIt sees.\n")
    (tmp_path / "bad.txt").write_bytes(b"\0\1\2")
    with ReadingProcess() as process:
        assert process.read(tmp_path / "夜.md", 1000).pieces[0].heading == "Owl"
        with pytest.raises(Unreadable, match="binary"):
            process.read(tmp_path / "bad.txt", 1000)
        text = DocumentText(kind="text", parts=(Part(text="It sees.\n"),))
        assert process.cut(text)[0].text == "It sees."
        assert process.read(tmp_path / "夜.md", 1000).size == 15


def test_one_that_dies_or_stalls_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("It sees.\n")
    with ReadingProcess(patience=1.0) as process:
        for number, said in ((signal.SIGKILL, "ended over it"), (signal.SIGSTOP, "longer than 1 seconds")):
            with pytest.raises(Unreadable, match=said):
                os.kill(process._started().pid, number)
                process.read(tmp_path / "a.md", 1000)
        process._patience = 60
        assert process.read(tmp_path / "a.md", 1000).pieces


def test_stopping_ends_it(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop() -> None:
        raise Enough

    (tmp_path / "a.md").write_text("It sees.\n")
    with ReadingProcess() as process:
        with pytest.raises(Enough):
            process.read(tmp_path / "a.md", 1000, stop)
        assert process._process is None
