"""Which adapter serves, and the proof that it does.

The state's active pointer says which adapter is meant to serve. What is damaged, made for another base, or
loads as other weights than its card says never serves: the nearest good ancestor does, or the base alone.
"""

from __future__ import annotations

import logging
from pathlib import Path

from agent.errors import LearningError, ModelError
from agent.model.base import Model
from memory.adapters import AdapterRegistry
from memory.errors import AdapterError
from memory.learning import AdapterCard
from memory.state import State

log = logging.getLogger(__name__)


class Serving:
    """The adapter in service over one base model."""

    def __init__(self, registry: AdapterRegistry, state: State, base_digest: str) -> None:
        self._registry = registry
        self._state = state
        self._base_digest = base_digest
        self.problem = ""
        """Why the adapter that is meant to serve does not; empty when it does."""
        self._card: AdapterCard | None = None
        self._folder: Path | None = None
        self.reload()

    @property
    def card(self) -> AdapterCard | None:
        """What serves; None is the base model alone."""
        return self._card

    @property
    def folder(self) -> Path | None:
        """Its folder; its files were checked when it was taken into service."""
        return self._folder

    def reload(self) -> None:
        """Look at the active pointer again, after it was moved."""
        self._take(self._good())

    def _take(self, card: AdapterCard | None) -> None:
        self._card = card
        self._folder = None if card is None else self._registry.path(card.id)

    def load_into(self, model: Model) -> None:
        """Have a freshly loaded model serve with what is in service; runs in the model's thread."""
        while True:
            try:
                prove(model, self.folder, self._card)
                return
            except (LearningError, ModelError) as error:
                assert self._card is not None
                self._take(self._fallback(self._card.id, str(error)))

    def check(self, adapter: str) -> AdapterCard:
        """The card of an adapter that may serve. Raises LearningError or AdapterError."""
        card = self._registry.get(adapter)
        if card.base_digest != self._base_digest:
            raise LearningError(
                f"Adapter {card.id} was trained for other weights ({card.base}) than the model in use has. "
                "Choose that model with `nightschool model use`, or another adapter."
            )
        self._registry.path(card.id)
        return card

    def _good(self) -> AdapterCard | None:
        self.problem = ""
        meant = self._state.active
        if meant is None:
            return None
        try:
            return self.check(meant)
        except LearningError as error:
            # its ancestors were trained for the same other base
            self.problem = str(error)
            log.warning("%s", error)
            return None
        except AdapterError as error:
            return self._fallback(meant, str(error))

    def _fallback(self, adapter: str, why: str) -> AdapterCard | None:
        self.problem = why
        log.warning("adapter %s does not serve: %s", adapter, why)
        parent = self._parent(adapter)
        while parent is not None:
            try:
                return self.check(parent)
            except (LearningError, AdapterError) as error:
                log.warning("nor does its parent %s: %s", parent, error)
                parent = self._parent(parent)
        return None

    def _parent(self, adapter: str) -> str | None:
        try:
            return self._registry.get(adapter).parent
        except AdapterError:
            return None


def prove(model: Model, folder: Path | None, card: AdapterCard | None) -> str:
    """Serve with an adapter and prove it; returns the digest of the weights in memory, empty for the base.

    Runs in the model's thread. Raises ModelError when it does not fit, LearningError when the weights in
    memory are not those of the card.
    """
    model.activate(folder)
    if card is None:
        return ""
    served = model.served_digest()
    if served != card.digest:
        raise LearningError(
            f"Adapter {card.id} is not what its card says: the weights in memory have the digest "
            f"{served[:16]}, the card {card.digest[:16]}. It does not serve."
        )
    return served
