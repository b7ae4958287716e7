"""What of an episode is embedded and what is searched.

Embedded: the messages of the user, corrections and the last answer, each shortened, in that order. The
embedder reads 256 tokens, and with answer and correction included recall was better than with the task
alone (precision 1.00 against 0.96 at the same recall, on the pairs in tests/memory/recall_pairs.py).
Searched word by word: all of that unshortened, then what the agent wrote and which calls it made.
"""

from __future__ import annotations

import json

from memory.types import Episode

_SEARCHED_CHARS = 100_000


def embedded_text(episode: Episode) -> str:
    """The text that stands for the episode's meaning; about 256 tokens at most."""
    asked = [turn.user.content for turn in episode.turns]
    share = max(120, 600 // len(asked))
    parts = [shorten(text, share) for text in asked[:5]]
    parts += [shorten(given.text, 200) for given in episode.feedback[-2:]]
    parts.append(shorten(episode.answer, 300))
    return "\n".join(part for part in parts if part)


def searched_text(episode: Episode) -> str:
    """The text that full-text search sees; its first 100,000 characters."""
    parts = [turn.user.content for turn in episode.turns]
    parts += [given.text for given in episode.feedback]
    parts += [turn.answer for turn in episode.turns]
    for step in episode.steps:
        parts.append(step.message.content)
        parts += [
            f"{call.name} {json.dumps(call.arguments, ensure_ascii=False, default=str)}"
            for call in step.message.tool_calls
        ]
    found: list[str] = []
    room = _SEARCHED_CHARS
    for part in parts:
        if room <= 0:
            break
        found.append(part[:room])
        room -= len(part) + 1
    return "\n".join(part for part in found if part)


def shorten(text: str, chars: int) -> str:
    """The text on one line, cut at a word with an ellipsis when it is longer than `chars`."""
    # far more than is kept, so that a text of megabytes is not split into words first
    text = " ".join(text[: chars * 8].split()) if len(text) > chars * 8 else " ".join(text.split())
    if len(text) <= chars:
        return text
    cut = text[: chars - 1]
    word_end = cut.rfind(" ")
    return (cut[:word_end] if word_end > chars // 2 else cut).rstrip() + "…"
