"""What forbids learning a text, whatever its score: secrets and untrusted sources.

Each veto is a sentence for a person that names the kind of secret, never the secret. Nothing here can be
bypassed by a score, a correction or a request to remember.
"""

from __future__ import annotations

from agent.secrets import secret_kinds
from memory.types import Episode, Provenance

_SOURCES: dict[Provenance, str] = {
    "system": "instructions",
    "model": "the model itself",
    "tool": "a tool's output",
    "file": "a file or a recalled note",
    "web": "the web",
}


def vetoes(text: str, provenance: Provenance = "user", *, proven_procedure: bool = False) -> tuple[str, ...]:
    """Why a text must not be learned; empty when nothing forbids it.

    `proven_procedure`: it is a call that succeeded in a task the user rated good, which is trusted although
    its words come from the model or a tool; secrets in it are not.
    """
    found = []
    if provenance != "user" and not proven_procedure:
        found.append(f"untrusted source: it comes from {_SOURCES[provenance]}, not from the user")
    found.extend(f"secret: it holds a {kind}" for kind in secret_kinds(text))
    return tuple(found)


def provenance_of(span: str, episode: Episode) -> Provenance:
    """Where in an episode these words stand; the user's own count first.

    Words found nowhere are the model's. What stood in the helping context of a message (files, recalled
    notes) counts as a file even though the message is the user's.
    """
    wanted = _plain(span)
    said = [turn.user for turn in episode.turns]
    own = [message.content for message in said if message.provenance == "user"]
    own += [given.text for given in episode.feedback]
    if any(wanted in _plain(text) for text in own):
        return "user"
    for step in episode.steps:
        for result in step.results:
            if wanted in _plain(result.content):
                return result.provenance
    for message in said:
        if wanted in _plain(message.context):
            return "file"
        if wanted in _plain(message.content):
            return message.provenance
    return "model"


def is_proven(episode: Episode) -> bool:
    """Whether the calls that succeeded in an episode may be learned: the user rated it good and its
    changes stand."""
    rated_good = bool(episode.feedback) and episode.feedback[-1].rating == "good"
    return rated_good and episode.outcome == "success" and not episode.undone


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
