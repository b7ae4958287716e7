"""The language of the home's socket: JSON lines, in the shape of JSON-RPC 2.0.

Requests name a method of `RuntimeCalls` and its arguments; results and errors come back under the
request's id; events of a subscription are notifications with its id. Types are taken from the
protocol's own hints, so a call added there travels without a word here.
"""

from __future__ import annotations

import functools
import inspect
import json
import typing
from typing import Any

from pydantic import TypeAdapter

from agent import errors
from agent.calls import RuntimeCalls

# an event can carry a whole step with its signals
MAX_LINE = 64 * 1024**2
METHODS = frozenset(
    name
    for name, member in inspect.getmembers(RuntimeCalls, inspect.iscoroutinefunction)
    if name != "close" and not name.startswith("_")
)


@functools.cache
def _hints(method: str) -> dict[str, TypeAdapter[Any]]:
    hints = typing.get_type_hints(getattr(RuntimeCalls, method))
    return {name: TypeAdapter(hint) for name, hint in hints.items()}


def dump_arguments(method: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments as JSON values."""
    return {k: _hints(method)[k].dump_python(v, mode="json") for k, v in arguments.items()}


def load_arguments(method: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments as the method wants them. Raises pydantic.ValidationError or KeyError."""
    return {k: _hints(method)[k].validate_python(v, strict=False) for k, v in arguments.items()}


def dump_result(method: str, result: Any) -> Any:
    """A result as JSON values."""
    return _hints(method)["return"].dump_python(result, mode="json")


def load_result(method: str, result: Any) -> Any:
    """A result as the method returns it."""
    return _hints(method)["return"].validate_python(result)


def dump_error(error: Exception) -> dict[str, str]:
    """An expected error as JSON: its class in `agent.errors` and its sentence."""
    return {"type": type(error).__name__, "message": str(error)}


def load_error(error: dict[str, str]) -> Exception:
    """The error that was sent."""
    kind = getattr(errors, error["type"], errors.NightSchoolError)
    raised: Exception = kind(error["message"])
    return raised


def encode(message: dict[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
