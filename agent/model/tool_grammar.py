"""From the schemas of tools to a grammar of their calls, for one model's vocabulary.

The grammar begins where a call's name begins and ends with the call's closing brace. Required arguments
come in the schema's order, optional ones may be left out, a string holds anything JSON can escape. It
knows no `uniqueItems`, `multipleOf`, `not` or `if`: those are left to the check of the finished call.
Imports xgrammar only when the first grammar is compiled.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import ModelError
from agent.model.tokens import Tokens
from skills.tool import ToolSpec

if TYPE_CHECKING:
    from torch import Tensor
    from xgrammar import CompiledGrammar, GrammarMatcher

_END = "<|im_end|>"
_TAG = "<tool_call>"
# compiled grammars to keep; a tool set takes some hundred kilobytes
_KEPT = 32


class ToolGrammar:
    """Grammars of tool sets for one model's vocabulary, compiled when first needed."""

    def __init__(self, tokens: Tokens, vocab_size: int) -> None:
        """`vocab_size`: of the output layer, which may exceed the tokenizer's."""
        self.tokens = tokens
        self.vocab_size = vocab_size
        self.end = tokens.added[_END]
        """The template's end of turn."""
        self.tag = tokens.added[_TAG]
        """The template's opening of a call."""
        self._compiler: Any = None
        self._bitmask: Tensor | None = None
        self._compiled: OrderedDict[str, CompiledGrammar] = OrderedDict()
        self._starting: dict[str, list[int]] = {}

    @classmethod
    def load(cls, folder: Path) -> ToolGrammar | None:
        """For the model in `folder`; None when its template knows no tool calls. Raises ModelError."""
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            vocab_size = int(config["vocab_size"])
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"Cannot read {folder / 'config.json'}: {error}. Run `nightschool model verify`."
            ) from error
        tokens = Tokens.load(folder)
        return cls(tokens, vocab_size) if _TAG in tokens.added and _END in tokens.added else None

    def text(self, token_id: int) -> str:
        """What a token adds to an answer's text; half characters become U+FFFD."""
        return self.tokens.token_bytes(token_id).decode("utf-8", "replace")

    def starting_with(self, prefix: str) -> list[int]:
        """Every token whose text begins so."""
        found = self._starting.get(prefix)
        if found is None:
            wanted = prefix.encode()
            found = [t for t in range(self.vocab_size) if self.tokens.token_bytes(t).startswith(wanted)]
            self._starting[prefix] = found
        return found

    def first_tokens(self, tools: Sequence[ToolSpec]) -> list[int]:
        """Tokens that a tool's name may begin with, as the grammar would allow them."""
        import torch

        row = torch.zeros(self.vocab_size)
        return torch.nonzero(self.mask(row, self.matcher(tools)) == 0)[:, 0].tolist()

    def mask(self, logits: Tensor, matcher: GrammarMatcher) -> Tensor:
        """`logits`, changed in place: -inf wherever the grammar allows nothing."""
        import xgrammar

        if self._bitmask is None:
            self._bitmask = xgrammar.allocate_token_bitmask(1, self.vocab_size)
        if matcher.fill_next_token_bitmask(self._bitmask):
            bits = self._bitmask.to(logits.device)
            xgrammar.apply_token_bitmask_inplace(logits[None], bits, vocab_size=self.vocab_size)
        return logits

    def only_way_on(self, matcher: GrammarMatcher) -> list[int]:
        """Tokens that must come next, already told to the matcher.

        The last token of the text that must come is left out unless it ends the call: the model may want
        to write it together with what follows it.
        """
        try:
            text = matcher.find_jump_forward_string()
        except UnicodeDecodeError:
            return []  # it begins or ends within a character
        ahead = self.tokens.encode_ordinary(text)
        probe = matcher.fork()
        if not (text and probe.accept_string(text) and probe.is_completed()):
            ahead = ahead[:-1]
        for number, token in enumerate(ahead):
            if not matcher.accept_token(token):
                return ahead[:number]
        return ahead

    def matcher(self, tools: Sequence[ToolSpec]) -> GrammarMatcher:
        """A matcher for the part of a call from the tool's name to the call's closing brace."""
        from xgrammar import GrammarMatcher

        key = json.dumps([[tool.name, tool.parameters] for tool in tools], sort_keys=False)
        compiled = self._compiled.get(key)
        if compiled is None:
            compiled = self._compiled[key] = self._compile(tools)
            while len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return GrammarMatcher(compiled, override_stop_tokens=[self.end])

    def _compile(self, tools: Sequence[ToolSpec]) -> CompiledGrammar:
        from xgrammar import Grammar, GrammarCompiler, TokenizerInfo, VocabType

        if self._compiler is None:
            added = set(self.tokens.added.values())
            # added tokens have no bytes here, so the grammar never lets one into an argument
            words = [
                b"" if token in added else self.tokens.token_bytes(token) for token in range(self.vocab_size)
            ]
            info = TokenizerInfo(words, VocabType.RAW, vocab_size=self.vocab_size, stop_token_ids=[self.end])
            self._compiler = GrammarCompiler(info, max_threads=2)
        parts = []
        for tool in tools:
            opening = _literal(f'{json.dumps(tool.name, ensure_ascii=False)[1:]}, "arguments": ')
            parts.append(Grammar.concat(opening, self._arguments(tool), _literal("}")))
        whole = Grammar.union(*parts) if len(parts) > 1 else parts[0]
        grammar: CompiledGrammar = self._compiler.compile_grammar(_readable(str(whole)))
        return grammar

    def _arguments(self, tool: ToolSpec) -> Any:
        """The schema's grammar, in the separators of `json.dumps`: no blank to dither over."""
        from xgrammar import Grammar

        for schema in (tool.parameters, {"type": "object"}):
            try:
                return Grammar.from_json_schema(
                    json.dumps({"type": "object", **_expressible(schema)}, ensure_ascii=False),
                    any_whitespace=False,
                    separators=(", ", ": "),
                    strict_mode=True,
                )
            except RuntimeError:
                # a server's schema that the grammar cannot express: any object, and the check afterwards
                continue
        raise ModelError(f"The schema of the tool `{tool.name}` cannot be turned into a grammar.")


def _literal(text: str) -> Any:
    from xgrammar import Grammar

    quoted = "".join(f"\\{char}" if char in '"\\' else char for char in text)
    return Grammar.from_ebnf(f'root ::= "{quoted}"')


def _readable(ebnf: str) -> str:
    """xgrammar 0.2 writes `\\xdf` for `ß` and reads it again with every hexadecimal digit that follows, so
    `ße` would become another letter; four digits after `\\u` it reads as four digits."""
    return re.sub(
        r"\\(?:x([0-9a-fA-F]{2})|.)", lambda found: f"\\u00{found[1]}" if found[1] else found[0], ebnf
    )


def _expressible(schema: Any) -> Any:
    """The schema without `format` and `default`: formats are often a model's own (`date as YYYY`), and
    neither is something a check would refuse."""
    if isinstance(schema, Mapping):
        return {
            key: {name: _expressible(part) for name, part in value.items()}
            if key == "properties" and isinstance(value, Mapping)
            else _expressible(value)
            for key, value in schema.items()
            if key not in ("format", "default", "description", "title", "examples")
        }
    return [_expressible(part) for part in schema] if isinstance(schema, list) else schema
