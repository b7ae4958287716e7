"""LlamaIndex readers for the kinds of files there are, each with a bound on how much it reads.

Text is decoded by its byte order mark, as UTF-8, or by the likeliest encoding; line ends become `\\n`. Of
HTML stays what a person would read, its headings written as Markdown writes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import IO, Any

from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document

from agent.reading.decoding import decoded, one_line_end
from agent.reading.errors import Unreadable
from memory.knowledge import DocumentKind

_MIB = 1024**2

_SILENT = frozenset({"script", "style", "template", "noscript", "svg", "nav", "head"})
_BLOCK_TAGS = """
p div section article main header footer aside ul ol li dl dt dd table tr blockquote pre br hr figure
figcaption form h1 h2 h3 h4 h5 h6
"""
_BLOCKS = frozenset(_BLOCK_TAGS.split())


# stands before a heading's level until the page is read, for a line of text may begin with # as well
_HEADING_MARK = "\x02"


class TextReader(BaseReader):
    """A text file, or its first `limit` bytes up to a whole line. `left_out` in the metadata says what was
    not read."""

    def load_data(self, file: IO[bytes], size: int, limit: int) -> list[Document]:
        """One document. Raises Unreadable."""
        data = file.read(limit)
        text = decoded(data, complete=len(data) == size)
        left_out = ""
        if size > len(data):
            text = text[: text.rfind("\n") + 1] or text
            left_out = f"everything after the first {limit / _MIB:.4g} of {size / _MIB:,.4g} MiB"
        return [Document(text=text, metadata={"left_out": left_out})]


class HtmlReader(TextReader):
    """What a person would read of a page."""

    def load_data(self, file: IO[bytes], size: int, limit: int) -> list[Document]:
        """One document. Raises Unreadable."""
        [page] = super().load_data(file, size, limit)
        parser = _Page()
        parser.feed(page.text)
        parser.close()
        return [Document(text=parser.text, metadata=page.metadata)]


class PdfReader(BaseReader):
    """The pages of a PDF that have text. `going_on` is called after each page."""

    def __init__(self, going_on: Callable[[], None] = lambda: None) -> None:
        self._going_on = going_on

    def load_data(self, file: IO[bytes], size: int, limit: int) -> list[Document]:
        """One document a page, with `page` in the metadata. Raises Unreadable."""
        from pypdf import PdfReader as Pdf

        try:
            pdf = Pdf(file, strict=False)
            if pdf.is_encrypted and not pdf.decrypt(""):
                raise Unreadable("It needs a password. Save it without one, then add it again.")
            pages, read, total = [], 0, len(pdf.pages)
            for number, page in enumerate(pdf.pages, start=1):
                text = one_line_end(_without_surrogates(page.extract_text()))
                self._going_on()
                if text.strip():
                    pages.append(Document(text=text, metadata={"page": number}))
                read = number
                limit -= len(text.encode())
                if limit <= 0:
                    break
        except (Unreadable, MemoryError):
            raise
        # pypdf raises whatever its code runs into in a file that is no sound PDF
        except Exception as error:
            raise Unreadable(f"It is damaged or no PDF: {_first_line(error)}.") from error
        if not pages:
            raise Unreadable(
                "It has no text, only pictures of pages. Run it through text recognition (OCR), then add it "
                "again."
            )
        notes = [f"pages {read + 1} to {total}"] if read < total else []
        if silent := read - len(pages):
            notes.append(f"{silent} page{'s' if silent > 1 else ''} without text")
        pages[0].metadata["left_out"] = ", ".join(notes)
        return pages


def reader_for(kind: DocumentKind, going_on: Callable[[], None]) -> Any:
    """What reads files of this kind."""
    if kind == "pdf":
        return PdfReader(going_on)
    return HtmlReader() if kind == "html" else TextReader()


class _Page(HTMLParser):
    """Collects what is shown; headings become Markdown's."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._silent: list[str] = []
        self._laid_out = 0

    @property
    def text(self) -> str:
        lines = (_as_markdown(" ".join(line.split())) for line in "".join(self._pieces).split("\n"))
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "body":
            # the end of the head may be left out
            self._silent.clear()
        self._laid_out += tag == "pre"
        if tag in _SILENT:
            self._silent.append(tag)
        elif not self._silent and tag in _BLOCKS:
            heading = re.fullmatch(r"h([1-6])", tag)
            self._pieces.append(f"\n\n{_HEADING_MARK}{heading[1]} " if heading else "\n")
            if tag == "li":
                self._pieces.append("- ")
        elif not self._silent and tag in ("td", "th"):
            self._pieces.append(" | ")

    def handle_endtag(self, tag: str) -> None:
        self._laid_out -= tag == "pre" and self._laid_out > 0
        if tag in self._silent:
            # a page may forget to close what is inside
            del self._silent[self._silent.index(tag) :]
        elif not self._silent and tag in _BLOCKS:
            self._pieces.append("\n\n" if tag.startswith("h") or tag == "p" else "\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            text = data.replace(_HEADING_MARK, "")
            self._pieces.append(text if self._laid_out else text.replace("\n", " "))


def _as_markdown(line: str) -> str:
    if line.startswith(_HEADING_MARK):
        level, _, title = line[1:].partition(" ")
        return f"{'#' * int(level)} {title}" if title else ""
    return f"\\{line}" if line.startswith("#") else line


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200].rstrip(". ")
