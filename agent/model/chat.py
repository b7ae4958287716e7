"""From a conversation to the prompt's tokens, through the model's own chat template.

Promises:
- Only the template makes control tokens. Text of users, tools and files that looks like one
  (`<|im_end|>`) is encoded as plain characters; in user and tool text that holds for `<tool_call>` too.
- The prompt of the next step begins with the tokens of this prompt followed by the tokens that were
  generated, even where the tokenizer would cut the same text otherwise (`remember`).
- Text without such look-alikes gives exactly the tokens the tokenizer would give.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from agent.errors import ModelError
from agent.model.tokens import Tokens
from memory.types import Message
from skills.tool import ToolSpec

Render = Callable[[list[dict[str, Any]], list[dict[str, Any]] | None], str]
"""Messages and tools, in the template's own terms, to the prompt's text (with the answer's opening)."""

# Answers whose exact tokens are remembered; one for each step of a few long conversations.
_REMEMBERED = 1024


class Chat:
    """Renders prompts for one tokenizer."""

    def __init__(self, render: Render, tokens: Tokens) -> None:
        self._render = render
        self._tokens = tokens
        self._generated: OrderedDict[tuple[int, str], tuple[int, ...]] = OrderedDict()
        markup = [text for text, token in tokens.added.items() if token not in tokens.control]
        control = [text for text, token in tokens.added.items() if token in tokens.control]
        self._control = _any_of(control)
        self._added = _any_of(control + markup)

    @classmethod
    def of_tokenizer(cls, tokenizer: Any, tokens: Tokens) -> Chat:
        """With the template of a transformers tokenizer. Raises ModelError when it has none."""
        if not tokenizer.chat_template:
            raise ModelError(
                "The model has no chat template, so it cannot converse. Choose an instruct model."
            )

        def render(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
            text: str = tokenizer.apply_chat_template(
                messages, tools=tools, tokenize=False, add_generation_prompt=True
            )
            return text

        return cls(render, tokens)

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> list[int]:
        """Tokens of the prompt, ending where the answer begins."""
        shield = _Shield(messages, tools)
        rendered = self._render(
            [self._turn(message, shield) for message in messages],
            [self._tool(tool, shield) for tool in tools] or None,
        )
        ids: list[int] = []
        for index, piece in enumerate(shield.split_answers(rendered)):
            if index % 2:
                ids.extend(self.answer(shield.answers[int(piece)], after=ids))
            else:
                ids.extend(self._encode_template(piece, shield))
        return ids

    def answer(self, text: str, after: Sequence[int] = ()) -> list[int]:
        """Tokens of an assistant's text that follows the prompt `after`: those it was generated with
        where known."""
        known = self._generated.get((hash(tuple(after)), text))
        if known is not None:
            return list(known)
        ids: list[int] = []
        for index, piece in enumerate(self._control.split(text)):
            ids.extend(self._tokens.encode_ordinary(piece) if index % 2 else self._tokens.encode(piece))
        return ids

    def remember(self, prompt: Sequence[int], text: str, token_ids: Sequence[int]) -> None:
        """After this prompt, encode this answer as these tokens from now on (those that made it,
        end-of-turn left out)."""
        if not text or self._tokens.decode(token_ids) != text:
            return
        key = (hash(tuple(prompt)), text)
        self._generated[key] = tuple(token_ids)
        self._generated.move_to_end(key)
        while len(self._generated) > _REMEMBERED:
            self._generated.popitem(last=False)

    def _turn(self, message: Message, shield: _Shield) -> dict[str, Any]:
        if message.role == "assistant":
            return {"role": "assistant", "content": shield.answer(message.content)}
        text = f"{message.context}\n\n{message.content}" if message.context else message.content
        # Our own system prompt may explain the markup with the real thing; nobody else's text may.
        looks_added = self._control if message.role == "system" else self._added
        turn = {"role": message.role, "content": shield.text(text, looks_added)}
        if message.name is not None:
            turn["name"] = message.name
        return turn

    def _tool(self, tool: ToolSpec, shield: _Shield) -> dict[str, Any]:
        function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        return {"type": "function", "function": shield.tree(function, self._added)}

    def _encode_template(self, text: str, shield: _Shield) -> list[int]:
        """Encode template text; shielded look-alikes inside it become plain characters again."""
        ids: list[int] = []
        for index, piece in enumerate(self._added.split(text)):
            if index % 2:
                ids.append(self._tokens.added[piece])
            elif piece:
                ids.extend(self._tokens.encode_ordinary(shield.lift(piece)))
        return ids


class _Shield:
    """Marks text while it passes through the template, with a character that occurs nowhere in it."""

    def __init__(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> None:
        seen = set[str]()
        for message in messages:
            seen.update(message.content, message.context, message.name or "")
        for tool in tools:
            seen.update(tool.model_dump_json(), repr(tool))
        free = (chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in seen)
        self._mark, self._frame = next(free), next(free)
        self.answers: list[str] = []
        """Assistant texts, in the order in which they were framed."""

    def text(self, text: str, looks_added: re.Pattern[str]) -> str:
        """`text` with a mark inside everything that looks like an added token."""
        return looks_added.sub(lambda match: match[0][0] + self._mark + match[0][1:], text)

    def tree(self, value: Any, looks_added: re.Pattern[str]) -> Any:
        """The same for every string of a JSON value."""
        if isinstance(value, str):
            return self.text(value, looks_added)
        if isinstance(value, dict):
            return {
                self.tree(name, looks_added): self.tree(item, looks_added) for name, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.tree(item, looks_added) for item in value]
        return value

    def lift(self, text: str) -> str:
        """Take the marks out again."""
        return text.replace(self._mark, "")

    def answer(self, text: str) -> str:
        """A stand-in for an assistant's text, so that nothing around it can melt into its tokens."""
        self.answers.append(text)
        return f"{self._frame}{len(self.answers) - 1}{self._frame}"

    def split_answers(self, rendered: str) -> list[str]:
        """Template text and indexes of answers, in turn."""
        return re.split(f"{self._frame}([0-9]+){self._frame}", rendered)


def _any_of(texts: Sequence[str]) -> re.Pattern[str]:
    longest_first = sorted(texts, key=len, reverse=True)
    # `(?!)` matches nothing: a tokenizer without added tokens splits nowhere.
    return re.compile("(" + ("|".join(map(re.escape, longest_first)) or "(?!)") + ")")
