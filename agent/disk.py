"""Writing so that it survives a power cut, as `memory.disk` does it."""

from __future__ import annotations

from memory.disk import replace_file as replace_file
from memory.disk import sync as sync
from memory.disk import sync_folder as sync_folder
from memory.disk import write_all as write_all
from memory.disk import write_file as write_file
