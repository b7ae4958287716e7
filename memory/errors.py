"""Errors of the memory room."""

from __future__ import annotations


class StoreError(Exception):
    """What is kept cannot be read or written. The message says which part and what to do."""


class UnknownEpisode(StoreError):
    """No episode has this id, or several begin with it. The message names what was asked for."""


class AdapterError(StoreError):
    """An adapter is not there, damaged, or made for another base model. The message names it."""


class UnknownLesson(StoreError):
    """No lesson has this id, or several begin with it. The message names what was asked for."""


class UnknownDocument(StoreError):
    """No document has this id or path, or several do. The message names what was asked for."""


class UnknownSnapshot(StoreError):
    """No snapshot has this id or name, or several do. The message names what was asked for."""
