"""What a parse gives: the calls found, or where and why it failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from toolace_ray.records.dialog import ToolCall
from toolace_ray.records.json import DECODER, LimitExceeded, check_text


@dataclass(frozen=True)
class Parsed:
    """The calls of a text, in order, and the prose around them (stripped)."""

    calls: tuple[ToolCall, ...]
    content: str = ""


@dataclass(frozen=True)
class ParseFailure:
    """Why a text that tries to call can't be read; `offset` is a character index into the text."""

    reason: str
    offset: int = 0


class CallSyntaxError(ValueError):
    """Raised inside a parser; `guarded` turns it into a ParseFailure."""

    def __init__(self, reason: str, offset: int = 0) -> None:
        super().__init__(reason)
        self.offset = offset


def make_call(name: Any, arguments: Any, offset: int, call_id: str = "") -> ToolCall:
    """A ToolCall from parsed parts; raises CallSyntaxError when a part has the wrong type."""
    if not isinstance(name, str) or not name:
        raise CallSyntaxError("the call has no name", offset)
    if isinstance(arguments, str):
        raise CallSyntaxError(f"the arguments of {name} are a string, not an object (encoded twice?)", offset)
    if not isinstance(arguments, dict):
        raise CallSyntaxError(f"the arguments of {name} are {type(arguments).__name__}, not an object", offset)
    try:
        return ToolCall(id=call_id, name=name, arguments=arguments)
    except ValidationError as error:
        raise CallSyntaxError(error.errors()[0]["msg"], offset) from error


def decode_json(text: str, offset: int) -> tuple[Any, int]:
    """One JSON value at `offset` and the index after it."""
    try:
        return DECODER.raw_decode(text, offset)
    except (ValueError, RecursionError) as error:
        raise CallSyntaxError(f"no valid JSON: {error}", offset) from error


def skip_space(text: str, offset: int) -> int:
    """The index of the next character that is no white space."""
    while offset < len(text) and text[offset].isspace():
        offset += 1
    return offset


def guarded(text: str, calls: Iterator[ToolCall], content: str = "") -> Parsed | ParseFailure:
    """Run a lazy parser under the size and depth limits."""
    try:
        check_text(text)
        return Parsed(tuple(calls), content)
    except LimitExceeded as error:
        return ParseFailure(str(error))
    except CallSyntaxError as error:
        return ParseFailure(str(error), error.offset)
