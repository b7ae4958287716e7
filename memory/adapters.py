"""The registry of adapters: `adapters/<id>/` with PEFT's two files and `card.json`.

A folder appears whole or not at all, and its weights never change afterwards; what is in a folder is proven
by its digest each time it is asked for. Which adapter serves is not known here (`memory.state`).
One process writes; several may read.
"""

from __future__ import annotations

import builtins
import logging
import re
import shutil
from pathlib import Path

from pydantic import ValidationError

from memory.adapter_files import CONFIG, WEIGHTS, adapter_digest, check_adapter, damaged, missing
from memory.disk import replace_file, sync_folder, write_file
from memory.errors import AdapterError
from memory.learning import AdapterCard

_CARD = "card.json"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
# folders that are being written, or being removed; what a crash leaves of them is swept away
_UNFINISHED = "."
_log = logging.getLogger(__name__)


class AdapterRegistry:
    """The adapters of one home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, card: AdapterCard, source: Path) -> Path:
        """Keep the adapter in `source`, exam and all; returns its folder for good.

        Adding the same adapter again changes nothing. Raises AdapterError when the files are damaged, are
        not what the card says, when another adapter has this id, or when they cannot be written.
        """
        if not _ID.fullmatch(card.id):
            raise AdapterError(f"`{card.id}` is no name for an adapter. Use letters, digits, `-` and `_`.")
        check_adapter(source)
        digest = adapter_digest(source)
        if digest != card.digest:
            raise AdapterError(
                f"Adapter {card.id} is not what its card says: {source} has the digest {digest[:16]}, the "
                f"card {card.digest[:16]}. Nothing was kept; run the night again."
            )
        target = self.folder / card.id
        if target.exists():
            if self.get(card.id) == card and self.path(card.id):
                return target
            raise AdapterError(f"There is an adapter {card.id} already. Choose another id.")
        files = {name: (source / name).read_bytes() for name in (CONFIG, WEIGHTS)}
        files[_CARD] = card.model_dump_json(indent=1).encode()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.sweep()
            growing = self.folder / f"{_UNFINISHED}{card.id}.new"
            growing.mkdir(mode=0o700)
            for name, content in files.items():
                write_file(growing / name, content)
            sync_folder(growing)
            growing.rename(target)
            sync_folder(self.folder)
        except OSError as error:
            raise _cannot_write(target, error) from error
        return target

    def get(self, adapter_id: str) -> AdapterCard:
        """The card of an adapter. Raises AdapterError when there is none, or none that can be read."""
        path = self.folder / adapter_id / _CARD
        if not _ID.fullmatch(adapter_id) or not path.parent.is_dir():
            raise AdapterError(
                f"There is no adapter `{adapter_id}`. `nightschool adapters list` shows those there are."
            )
        try:
            card = AdapterCard.model_validate_json(path.read_bytes())
        except OSError as error:
            raise missing(path.parent, _CARD, error) from error
        except ValidationError as error:
            raise damaged(path.parent, f"{_CARD} cannot be read") from error
        if card.id != adapter_id:
            raise damaged(path.parent, f"its card belongs to {card.id}")
        return card

    def list(self) -> builtins.list[AdapterCard]:
        """Every readable card, newest first; unreadable ones are logged and left out."""
        return self.read()[0]

    def read(self) -> tuple[builtins.list[AdapterCard], builtins.list[str]]:
        """Every readable card, newest first, and a sentence about each that cannot be read."""
        cards: builtins.list[AdapterCard] = []
        problems: builtins.list[str] = []
        for adapter_id in self.ids():
            try:
                cards.append(self.get(adapter_id))
            except AdapterError as error:
                problems.append(str(error))
                _log.warning("%s", error)
        return sorted(cards, key=lambda card: (card.created_at, card.id), reverse=True), problems

    def ids(self) -> builtins.list[str]:
        """Every adapter's id, readable or not."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if _ID.fullmatch(path.name))

    def path(self, adapter_id: str) -> Path:
        """The adapter's folder, its weights checked against the card. Raises AdapterError."""
        card, folder = self.get(adapter_id), self.folder / adapter_id
        if adapter_digest(folder) != card.digest:
            raise damaged(folder, "its weights are not those its card was written for")
        return folder

    def size(self, adapter_id: str) -> int:
        """Bytes of an adapter's files; 0 when there is none."""
        folder = self.folder / adapter_id
        return sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0

    def ancestors(self, adapter_id: str) -> builtins.list[AdapterCard]:
        """The adapter's parent, its parent, and so on, as far as cards are there."""
        known = {card.id: card for card in self.list()}
        found: builtins.list[AdapterCard] = []
        card = known.get(adapter_id)
        while card is not None and card.parent is not None:
            card = known.get(card.parent)
            if card is None or card in found:
                break
            found.append(card)
        return found

    def descendants(self, adapter_id: str) -> builtins.list[AdapterCard]:
        """Every adapter that was trained on from this one, directly or not, newest first."""
        cards, family = self.list(), {adapter_id}
        for card in reversed(cards):
            if card.parent in family:
                family.add(card.id)
        return [card for card in cards if card.id in family and card.id != adapter_id]

    def remove(self, adapter_id: str) -> bool:
        """Remove an adapter for good; True when it was there. Raises AdapterError when it cannot be."""
        folder = self.folder / adapter_id
        if not _ID.fullmatch(adapter_id) or not folder.exists():
            return False
        going = self.folder / f"{_UNFINISHED}{adapter_id}.old"
        try:
            shutil.rmtree(going, ignore_errors=True)
            folder.rename(going)
            sync_folder(self.folder)
            shutil.rmtree(going)
        except OSError as error:
            raise _cannot_write(folder, error) from error
        return True

    def rewrite_card(self, card: AdapterCard) -> None:
        """Replace a card whose weights stay; only for forgetting what its exam asked."""
        try:
            replace_file(self.folder / card.id / _CARD, card.model_dump_json(indent=1).encode())
        except OSError as error:
            raise _cannot_write(self.folder / card.id, error) from error

    def sweep(self) -> None:
        """Remove what a crash left half written or half removed."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path.name.startswith(_UNFINISHED) and path.is_dir():
                    shutil.rmtree(path)


def _cannot_write(path: Path, error: OSError) -> AdapterError:
    return AdapterError(
        f"Cannot write adapter {path}: {(error.strerror or str(error)).lower()}. Free some space, or choose "
        "another home with --home."
    )
