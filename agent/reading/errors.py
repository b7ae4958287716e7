"""What can be wrong with one file; the others are read all the same."""

from __future__ import annotations


class Unreadable(Exception):
    """A file that cannot be read. The message completes "PATH: ": what is wrong and what to do."""
