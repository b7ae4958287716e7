"""Files of every kind become text and pieces; bad ones are named in a sentence."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.reading.errors import Unreadable
from agent.reading.pieces import Reading
from agent.reading.splitting import PIECE_TOKENS, count_tokens, pieces_of, sentences
from agent.reading.worker import read
from memory.knowledge import DocumentKind, DocumentText, Part
from tests.agent.reading.samples import write_pdf, write_sparse

MIB = 1024**2


def reading(path: Path, content: bytes | str, limit: int = 8 * MIB) -> Reading:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path, limit)


def complaint(path: Path, content: bytes | None = None) -> str:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unreadable) as failed:
        read(path, MIB)
    return str(failed.value)


def test_markdown_comes_in_sections_with_their_headings_and_lines(tmp_path: Path) -> None:
    found = reading(
        tmp_path / "a.md",
        "Before.\n\n# Top\n\nIntro.\n\n##   Ports\nThe port is 8443.\n\n```\n# no heading\n```\n\n"
        "# Other\nEnd.\n",
    )
    assert [(piece.heading, piece.first_line, piece.last_line) for piece in found.pieces] == [
        ("", 1, 1),
        ("Top", 3, 5),
        ("Top › Ports", 7, 12),
        ("Other", 14, 15),
    ]
    assert "# no heading" in found.pieces[2].text


def test_html_keeps_what_a_person_reads(tmp_path: Path) -> None:
    found = reading(
        tmp_path / "a.html",
        "<html><head><title>T</title><style>p{}</style><body><nav>Menu</nav><h1>Owls &amp; night</h1>"
        "<p>They <b>see</b>\nwell.<script>evil()</script></p><ul><li>barn</li><li>tawny</li></ul>"
        "<table><tr><th>name</th><td>3</td></tr></table>"
        "<pre># no heading\nmake owls</pre></body></html>",
    )
    text = found.text.parts[0].text
    assert "# Owls & night" in text and "They see well." in text and "- barn" in text and "| name | 3" in text
    assert not any(word in text for word in ("Menu", "evil", "p{}"))
    assert "\\# no heading\nmake owls" in text
    assert {piece.heading for piece in found.pieces} == {"Owls & night"}
    assert found.pieces[0].first_line is None


def test_a_pdf_comes_page_by_page(tmp_path: Path) -> None:
    found = read(write_pdf(tmp_path / "a.pdf", ["The owl sees.", "", "The port is 8443."]), MIB)
    assert [(piece.page, piece.text) for piece in found.pieces] == [
        (1, "The owl sees."),
        (3, "The port is 8443."),
    ]
    assert found.left_out == "1 page without text"
    cut = read(tmp_path / "a.pdf", 5)
    assert [piece.page for piece in cut.pieces] == [1] and cut.left_out == "pages 2 to 3"


def test_pdfs_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    from pypdf import PdfWriter

    write_pdf(tmp_path / "scan.pdf", ["", ""])
    assert "OCR" in complaint(tmp_path / "scan.pdf")
    write_pdf(tmp_path / "plain.pdf", ["secret"])
    writer = PdfWriter(clone_from=tmp_path / "plain.pdf")
    writer.encrypt("word", algorithm="RC4-128")
    writer.write(tmp_path / "locked.pdf")
    assert "password" in complaint(tmp_path / "locked.pdf")
    assert "damaged or no PDF" in complaint(tmp_path / "text.pdf", b"just text")
    assert "damaged or no PDF" in complaint(
        tmp_path / "half.pdf", (tmp_path / "plain.pdf").read_bytes()[:200]
    )
    assert "damaged or no PDF" in complaint(tmp_path / "none.pdf", b"")


def test_code_is_cut_between_definitions_and_named_by_them(tmp_path: Path) -> None:
    methods = "\n".join(
        f"    def method_{number}(self) -> int:\n        # {'what it does ' * 12}\n        return {number}\n"
        for number in range(12)
    )
    found = reading(tmp_path / "owl.py", f'"""About."""\n\nimport os\n\n\nclass Owl:\n{methods}')
    starts = [piece.text.lstrip().split("(")[0] for piece in found.pieces[2:]]
    assert len(found.pieces) > 3 and all(start.startswith("def method_") for start in starts)
    assert {piece.heading for piece in found.pieces[2:]} == {"class Owl"}


def test_rows_of_a_table_carry_its_first_row(tmp_path: Path) -> None:
    rows = "".join(f"owl {number},{number * 3} mice\n" for number in range(400))
    found = reading(tmp_path / "a.csv", f"name,eats\n{rows}")
    assert len(found.pieces) > 5
    assert all(piece.text.startswith("name,eats\nowl ") for piece in found.pieces)
    assert (found.pieces[0].first_line, found.pieces[-1].last_line) == (2, 401)


def test_json_on_one_line_is_laid_out(tmp_path: Path) -> None:
    found = reading(
        tmp_path / "a.json", json.dumps([{"name": "owl", "eats": number} for number in range(300)])
    )
    assert len(found.pieces) > 3 and '"name": "owl"' in found.pieces[0].text
    nested = "[" * 100_000 + "]" * 100_000
    assert reading(tmp_path / "deep.json", nested).pieces


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "koi8-r"])
def test_text_in_many_encodings(tmp_path: Path, encoding: str) -> None:
    text = {
        "cp1252": "Der Käuzchenruf hallt über den größten Wald, süß und schön, früh am Tag.\r\n" * 5,
        "koi8-r": "Ночью в школе тихо, и только сова смотрит в окно и слушает лес.\r\n" * 5,
    }.get(encoding, "梟 Käuzchen сова\r\n")
    found = reading(tmp_path / "a.txt", text.encode(encoding))
    assert found.text.parts[0].text == text.replace("\r\n", "\n")


def test_a_gigabyte_is_read_up_to_the_bound_and_that_is_said(tmp_path: Path) -> None:
    path = write_sparse(tmp_path / "big.log", b"The owl sees.\n" * 100_000, 1024 * MIB)
    found = read(path, MIB)
    assert found.left_out == "everything after the first 1 of 1,024 MiB"
    assert found.size == 1024 * MIB
    assert len(found.text.parts[0].text) <= MIB and found.text.parts[0].text.endswith("sees.\n")


def test_what_is_no_text_says_so(tmp_path: Path) -> None:
    assert "binary" in complaint(tmp_path / "a.txt", gzip.compress(b"x" * 1000))
    assert "binary" in complaint(tmp_path / "b.md", bytes(range(1, 256)) * 4)
    assert "binary" in complaint(tmp_path / "c.py", b"\x7fELF\x02\x01\x01\0\0\0")
    assert "empty" in complaint(tmp_path / "d.txt", b"")
    assert "no text in it" in complaint(tmp_path / "e.txt", b" \n\t\n")
    assert "no such file" in complaint(tmp_path / "f.txt")


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", ["one", "two"])

    def change() -> None:
        # again and again, as a log that is being written
        with path.open("ab") as file:
            file.write(b"%" * 2 * MIB)

    with pytest.raises(Unreadable, match="changed while it was read"):
        read(path, MIB, change)


TEXTS = st.text(st.sampled_from("ab Ω。！\n#`|-(){}:.,\t1夜🦉"), max_size=4000) | st.text(max_size=500)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, kind=st.sampled_from(["text", "markdown", "html", "pdf", "code", "json", "csv"]))
def test_no_word_is_lost_and_no_piece_is_too_long(text: str, kind: DocumentKind) -> None:
    pieces = pieces_of(DocumentText(kind=kind, parts=(Part(text=text),)))
    if kind not in ("csv", "markdown", "html"):
        assert "".join("".join(piece.text for piece in pieces).split()) == "".join(text.split())
    lines = text.split("\n")
    for piece in pieces:
        assert len(count_tokens(piece.text)) <= PIECE_TOKENS + 60
        if kind in ("text", "code", "json") and "\r" not in text and len(text.splitlines()) <= len(lines):
            assert piece.first_line is not None and piece.last_line is not None
            first = piece.text.split("\n")[0].strip()
            assert first in lines[piece.first_line - 1]


@given(text=st.text(max_size=300))
def test_sentences_joined_are_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text
