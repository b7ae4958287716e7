"""Cutting texts into pieces with LlamaIndex node parsers, each piece where it stands.

Prose is cut between sentences, below its headings; code between definitions; tables between rows, with their
first row repeated; JSON between lines. A piece has at most `PIECE_TOKENS` tokens by `count_tokens`, so that
the sentence embedder, which reads 256, reads all of it and the headings before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from llama_index.core.node_parser import MarkdownNodeParser, SentenceSplitter, TextSplitter
from llama_index.core.schema import BaseNode, Document, MetadataMode, TextNode

from agent.reading.pieces import Piece
from memory.knowledge import DocumentText, Part

PIECE_TOKENS = 200
_HEADING_CHARS = 160
# an estimate that needs no model: word pieces of English are about this long, and other scripts have about
# one piece a character
_TOKEN = re.compile(r"[A-Za-z]{1,6}|\d{1,3}|[^\sA-Za-z\d]")
# after a full stop in any script and its closing quotes, not the one of a list's number; before an item of a
# list or a row of a table; between paragraphs. Nothing is lost: what matches ends the sentence before.
_SENTENCE_END = re.compile(
    r"(?<=[.!?…])(?<!\d\.)[\"'”’)\]]*\s+"
    r"|(?<=[。！？｡])[」』”’）]*"
    r"|(?<=[।॥։؟۔።])\s*"
    r"|\n(?=[ \t]*(?:[-*+|]|\d+[.)])[ \t])"
    r"|\n{2,}"
)
_HEADING = re.compile(r"^(#+)\s+(.*)", re.MULTILINE)
# what most languages write before the name of something that holds other lines
_DEFINITION = re.compile(
    r"\s*(?:(?:export|default|public|private|protected|static|abstract|final|async|pub|unsafe)\s+)*"
    r"(class|def|func|function|fn|impl|struct|interface|trait|module|namespace|enum|object)\s+(\w+)"
)
_ONLY_HEADING = re.compile(r"#+ [^\n]*")
_SEPARATOR = "\x1f"


def count_tokens(text: str) -> list[str]:
    """The tokens of a text, roughly."""
    return _TOKEN.findall(text)


def sentences(text: str) -> list[str]:
    """The sentences of a text; joined they are the text."""
    ends = [0, *(found.end() for found in _SENTENCE_END.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(ends) if end > start]


def prose_splitter(tokens: int = PIECE_TOKENS) -> SentenceSplitter:
    """Whole sentences, as many as fit."""
    return SentenceSplitter(
        chunk_size=tokens,
        chunk_overlap=0,
        tokenizer=count_tokens,
        chunking_tokenizer_fn=sentences,
        paragraph_separator="\n\n",
        include_metadata=False,
        include_prev_next_rel=False,
    )


class SectionParser(MarkdownNodeParser):
    """Sections below their headings. Nodes know nothing of their document: the digest of the whole that they
    would carry makes 8 MB with 4,000 headings take 27 seconds instead of one."""

    def _build_node_from_split(self, text_split: str, node: BaseNode, header_path: str) -> TextNode:
        return TextNode(text=text_split, metadata={"header_path": header_path})


class LineSplitter(TextSplitter):
    """Whole lines, as many as fit, cut where it hurts least: before a definition, else after an empty line,
    else anywhere. A line that is too long alone is cut too."""

    tokens: int = PIECE_TOKENS
    definitions: bool = True

    def split_text(self, text: str) -> list[str]:
        """The pieces; joined they are the text."""
        pieces: list[str] = []
        block: list[str] = []
        sizes: list[int] = []
        for line in self._lines(text):
            block.append(line)
            sizes.append(len(count_tokens(line)))
            while sum(sizes) > self.tokens and len(block) > 1:
                cut = self._cut(block)
                pieces.append("".join(block[:cut]))
                block, sizes = block[cut:], sizes[cut:]
        return [*pieces, "".join(block)] if block else pieces

    def _lines(self, text: str) -> Iterator[str]:
        for line in text.splitlines(keepends=True):
            if len(count_tokens(line)) <= self.tokens:
                yield line
            else:
                # an eighth of a token a character at least, in any script
                step = self.tokens
                yield from (line[start : start + step] for start in range(0, len(line), step))

    def _cut(self, block: Sequence[str]) -> int:
        """How many lines make the next piece: at least one, not all."""
        best, worth = len(block) - 1, 0
        for index in range(1, len(block)):
            line, before = block[index], block[index - 1]
            score = 1 if not before.strip() else 0
            if self.definitions and line[:1].strip() and line[0] not in ")]}#@":
                score += 1 if before.strip() else 3
            # a piece that uses the space is worth more than a tidier one that is tiny
            score = score * 4 + (2 if index >= len(block) / 3 else 0)
            if score >= worth:
                best, worth = index, score
        return best


def pieces_of(text: DocumentText) -> tuple[Piece, ...]:
    """A text in pieces, in order; none when there is nothing but space."""
    found: list[Piece] = []
    for part in text.parts:
        if text.kind in ("markdown", "html"):
            below = list(_prose_below_headings(part, own_lines=text.kind == "markdown"))
            # a heading alone says nothing that the pieces below it do not carry
            found += [piece for piece in below if not _ONLY_HEADING.fullmatch(piece.text)] or below
        elif text.kind in ("text", "pdf"):
            found += _cut(part, prose_splitter(), own_lines=text.kind == "text")
        elif text.kind == "csv":
            found += _rows(part)
        elif text.kind == "code":
            found += _under_definitions(part, _cut(part, LineSplitter(), own_lines=True))
        else:
            found += _cut(part, LineSplitter(definitions=False), own_lines=True)
    return tuple(found)


def _cut(
    part: Part, splitter: Any, own_lines: bool, heading: str = "", first_line: int = 1
) -> Iterator[Piece]:
    """Pieces by a splitter that keeps every character but the space between pieces."""
    position, line = 0, first_line
    for piece in splitter.split_text(part.text):
        start = part.text.find(piece, position)
        line += part.text.count("\n", position, start)
        position = start
        bare = piece.strip("\n")
        if not bare.strip():
            continue
        above = piece[: len(piece) - len(piece.lstrip("\n"))].count("\n")
        yield Piece(
            text=bare,
            heading=heading,
            page=part.page,
            first_line=line + above if own_lines else None,
            last_line=line + above + bare.count("\n") if own_lines else None,
        )


def _under_definitions(part: Part, pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Pieces of code with the definitions they are inside of, told by their indentation."""
    lines = part.text.split("\n")
    open_: list[tuple[int, str]] = []
    read = 0
    for piece in pieces:
        first = (piece.first_line or 1) - 1
        while read < first:
            open_ = _opened(open_, lines[read])
            read += 1
        inside = [name for depth, name in open_ if depth < _depth(lines[first])]
        yield piece.model_copy(update={"heading": " › ".join(inside)[:_HEADING_CHARS]}) if inside else piece


def _opened(before: list[tuple[int, str]], line: str) -> list[tuple[int, str]]:
    """The definitions that are open after a line, outermost first, each with its indentation."""
    if not line.strip() or line.lstrip()[0] in ")]}":
        return before
    depth = _depth(line)
    found = _DEFINITION.match(line)
    still = [(other, name) for other, name in before if other < depth]
    return [*still, (depth, f"{found[1]} {found[2]}")] if found else still


def _depth(line: str) -> int:
    return len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())


def _rows(part: Part) -> Iterator[Piece]:
    first, _, rest = part.text.partition("\n")
    room = max(PIECE_TOKENS // 4, PIECE_TOKENS - len(count_tokens(first)))
    head = first if len(count_tokens(first)) <= PIECE_TOKENS // 2 else ""
    splitter = LineSplitter(tokens=room, definitions=False)
    if not rest.strip():
        yield from _cut(part, splitter, own_lines=True)
        return
    for piece in _cut(Part(text=rest), splitter, own_lines=True, first_line=2):
        yield piece.model_copy(update={"text": f"{head}\n{piece.text}"}) if head else piece


def _prose_below_headings(part: Part, own_lines: bool) -> Iterator[Piece]:
    # the parser writes headings with one space, and is found again only in a text that does so too
    text = _HEADING.sub(r"\1 \2", part.text)
    parser = SectionParser(header_path_separator=_SEPARATOR, include_prev_next_rel=False)
    line, position = 1, 0
    for node in parser.get_nodes_from_documents([Document(text=text)]):
        section = node.get_content(metadata_mode=MetadataMode.NONE)
        start = text.find(section, position)
        line += text.count("\n", position, start)
        position = start
        above = [name for name in node.metadata["header_path"].split(_SEPARATOR) if name]
        own = re.match(r"#+ (.*)", section)
        path = [*above, own[1]] if own else above
        heading = " › ".join(name.strip() for name in path)
        yield from _cut(
            Part(text=section, page=part.page), prose_splitter(), own_lines, heading[:_HEADING_CHARS], line
        )
