"""From training items to tokens, exactly as they are served.

Promises: the prompt's tokens are those `Chat.prompt` serves, the answer's those `Chat.answer` gives plus
the end of the turn. The system turn (system message and tools), which many items share, is split off, so
that it can be computed once for all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from agent.model.chat import Chat
from agent.model.prefix_cache import shared_prefix
from agent.sleep.items import TrainItem
from memory.types import Message
from skills.tool import ToolSpec


@dataclass(frozen=True)
class Encoded:
    """One item in tokens."""

    item: TrainItem
    """What it was."""
    prefix: tuple[int, ...]
    """The system turn up to the first token that depends on the user; may be empty."""
    own: tuple[int, ...]
    """The rest of the prompt, then the answer with its end of turn."""
    answer: int
    """How many of the last tokens of `own` are the answer's."""
    with_context: tuple[int, ...] | None
    """What the teacher reads instead of `own`, when there is a helping context."""

    @property
    def tokens(self) -> int:
        """Prompt and answer, the shared part included."""
        return len(self.prefix) + len(self.own)

    @property
    def lesson(self) -> str:
        """The lesson it belongs to, or the item itself."""
        return self.item.lesson_id or self.item.id

    @property
    def labels(self) -> tuple[int, ...]:
        """The answer's tokens."""
        return self.own[-self.answer :]

    @property
    def inputs(self) -> tuple[int, ...]:
        """`own` without the last token, after which nothing is predicted."""
        return self.own[:-1]

    @property
    def key(self) -> str:
        """Digest of all its tokens: equal keys give equal activations and equal teachers."""
        text = repr((self.prefix, self.own, self.answer, self.with_context))
        return hashlib.sha256(text.encode()).hexdigest()[:40]


class Encoder:
    """Encodes items for one base model."""

    def __init__(self, chat: Chat, end_token: int, context_tokens: int) -> None:
        self._chat = chat
        self._end = end_token
        self._limit = context_tokens
        self._prefixes: dict[str, tuple[int, ...]] = {}

    def encode(self, item: TrainItem) -> Encoded | None:
        """The item in tokens, or None when it does not fit the context."""
        prompt = self._chat.prompt(item.messages, item.tools)
        answer = [*self._chat.answer(item.answer, after=prompt), self._end]
        if len(prompt) + len(answer) > self._limit:
            return None
        prefix = self._system_turn(item.messages, item.tools)
        # At least one token of the prompt stays: the answer's first token is predicted from it.
        cut = min(shared_prefix(prefix, prompt), len(prompt) - 1)
        if cut < len(prefix):
            cut = 0
        with_context = None
        if item.context:
            helped = self._chat.prompt(_helped(item), item.tools)
            fits = len(helped) + len(answer) <= self._limit
            if fits and helped[:cut] == prompt[:cut] and cut < len(helped):
                with_context = (*helped[cut:], *answer)
        return Encoded(item, tuple(prompt[:cut]), (*prompt[cut:], *answer), len(answer), with_context)

    def _system_turn(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> tuple[int, ...]:
        """What prompts with this system message and these tools have in common."""
        system = [message for message in messages[:1] if message.role == "system"]
        key = repr((system, tools))
        if key not in self._prefixes:
            one, other = (
                self._chat.prompt([*system, Message(role="user", content=text, provenance="user")], tools)
                for text in ("one", "2")
            )
            self._prefixes[key] = tuple(one[: shared_prefix(one, other)])
        return self._prefixes[key]


def _helped(item: TrainItem) -> list[Message]:
    """The messages with the context before the last user message's content."""
    messages = list(item.messages)
    for index in reversed(range(len(messages))):
        if messages[index].role == "user":
            before = messages[index].context
            context = f"{item.context}\n\n{before}" if before else item.context
            messages[index] = messages[index].model_copy(update={"context": context})
            break
    return messages
