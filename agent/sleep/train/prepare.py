"""What is computed once for an item: the activations entering the first trained layer, and its teacher.

The teacher is the base model with the helping context in its prompt; for anchors and for what is to be
un-taught it is the base model with the very prompt of the student.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from agent.sleep.train.blocks import Store, Tensors
from agent.sleep.train.encode import Encoded
from agent.sleep.train.student import Conversation, Student

# Tokens of one pass, shared prefix not counted.
_PASS_TOKENS = 3072


@dataclass(frozen=True)
class Prepared:
    """One item, ready to be trained on any number of times."""

    encoded: Encoded
    """Its tokens."""
    conversation: Conversation
    """Its activations."""
    labels: Tensor
    """(n) answer tokens."""
    top_ids: Tensor | None
    """(n, k) the teacher's most likely tokens; None without a teacher."""
    top_logprobs: Tensor | None
    """(n, k) their log-probabilities."""


class Preparer:
    """Prepares items for one student; everything prepared stays in memory."""

    def __init__(
        self, student: Student, top: int, *, with_teacher: bool, folder: Path, store: Store | None = None
    ) -> None:
        self._student = student
        self._top = top
        self._with_teacher = with_teacher
        self._store = store
        self._folder = folder
        self._blocks = Store(folder)
        self._groups: dict[tuple[int, ...], int] = {}
        self._ready: dict[str, Prepared] = {}
        self.prefixes: list[Tensor] = []
        """States of each group's prefix entering the first trained layer."""
        self.teacher_tokens = 0
        """Tokens read by the teacher."""

    @property
    def files(self) -> list[Path]:
        """The blocks written for this run."""
        return self._blocks.files

    def prepare(
        self, items: Sequence[Encoded], tick: Callable[[int, int], None] = lambda done, of: None
    ) -> list[Prepared]:
        """In the given order; `tick` is told how many of how many are done. Raises OSError when a block
        cannot be written."""
        wanted = {item.item.id: item for item in items if item.item.id not in self._ready}
        if wanted:
            self._make_ready(list(wanted.values()), tick)
        return [self._ready[item.item.id] for item in items]

    def _make_ready(self, items: Sequence[Encoded], tick: Callable[[int, int], None]) -> None:
        keys = list(
            dict.fromkeys([self._key(item) for item in items] + [_prefix_key(item.prefix) for item in items])
        )
        found = {**(self._store.read(keys) if self._store else {}), **self._blocks.read(keys)}
        missing = [
            item for item in items if self._key(item) not in found or _prefix_key(item.prefix) not in found
        ]
        made: dict[str, Tensors] = {}
        done = 0
        if missing:
            tick(0, len(missing))
        for rows in _passes(missing):
            made.update(self._pass([missing[row] for row in rows]))
            done += len(rows)
            tick(done, len(missing))
        if made:
            self._blocks.add(self._folder / f"block-{len(self._blocks.files)}.safetensors", made)
        found.update(made)
        for item in items:
            if item.prefix not in self._groups:
                self._groups[item.prefix] = len(self.prefixes)
                self.prefixes.append(found[_prefix_key(item.prefix)]["states"])
            self._ready[item.item.id] = self._prepared(item, found[self._key(item)])

    def _prepared(self, item: Encoded, tensors: Tensors) -> Prepared:
        group = self._groups[item.prefix]
        return Prepared(
            item,
            Conversation(group, tensors["states"], item.answer),
            torch.tensor(item.labels),
            tensors.get("ids"),
            tensors.get("logprobs"),
        )

    def _key(self, item: Encoded) -> str:
        # a teacher that is the base itself belongs to the role, not to the tokens
        return f"{item.key}{'b' if self._with_teacher and _teaches_itself(item) else ''}"

    def _pass(self, items: list[Encoded]) -> dict[str, Tensors]:
        """Items of one group, and its prefix."""
        student = self._student
        prefix = student.embed(items[0].prefix)
        shared, states = student.states(prefix, [student.embed(item.inputs) for item in items], student.first)
        found: dict[str, Tensors] = {
            self._key(item): {"states": own.cpu()} for item, own in zip(items, states, strict=True)
        }
        found[_prefix_key(items[0].prefix)] = {"states": shared.cpu()}
        if self._with_teacher:
            for row, (ids, logprobs) in self._teach(items, shared, states, prefix).items():
                found[self._key(items[row])].update(ids=ids.cpu(), logprobs=logprobs.cpu())
        return found

    def _teach(
        self, items: list[Encoded], shared: Tensor, states: list[Tensor], prefix: Tensor
    ) -> dict[int, tuple[Tensor, Tensor]]:
        student = self._student
        itself = [row for row, item in enumerate(items) if _teaches_itself(item)]
        helped = [
            row
            for row, item in enumerate(items)
            if item.with_context is not None and not _teaches_itself(item)
        ]
        found: dict[int, tuple[Tensor, Tensor]] = {}
        with torch.no_grad(), student.without_adapter():
            if itself:
                chosen = [Conversation(0, states[row], items[row].answer) for row in itself]
                found.update(self._split(itself, chosen, student.answers([shared], chosen)))
            if helped:
                chosen = [
                    Conversation(0, student.embed((items[row].with_context or ())[:-1]), items[row].answer)
                    for row in helped
                ]
                found.update(self._split(helped, chosen, student.answers([prefix], chosen, first=0)))
                self.teacher_tokens += len(prefix) + sum(len(one.states) for one in chosen)
        return found

    def _split(
        self, rows: list[int], conversations: list[Conversation], hidden: Tensor
    ) -> dict[int, tuple[Tensor, Tensor]]:
        ids, logprobs = self._student.head.top(hidden, self._top)
        lengths = [one.answer for one in conversations]
        return dict(
            zip(
                rows, zip(torch.split(ids, lengths), torch.split(logprobs, lengths), strict=True), strict=True
            )
        )


def _teaches_itself(item: Encoded) -> bool:
    return item.item.role in ("anchor", "unteach")


def _prefix_key(prefix: tuple[int, ...]) -> str:
    return "prefix-" + hashlib.sha256(repr(prefix).encode()).hexdigest()[:40]


def _passes(items: Sequence[Encoded]) -> Iterator[list[int]]:
    """Indexes that run together: of one prefix, about one pass of tokens."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(item.prefix, []).append(index)
    for rows in groups.values():
        chunk: list[int] = []
        tokens = 0
        for row in rows:
            size = max(len(items[row].own), len(items[row].with_context or ()))
            if chunk and tokens + size > _PASS_TOKENS:
                yield chunk
                chunk, tokens = [], 0
            chunk.append(row)
            tokens += size
        if chunk:
            yield chunk
