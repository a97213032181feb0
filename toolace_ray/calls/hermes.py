"""Hermes and Qwen: each call a JSON object between `<tool_call>` tags; prose may stand around them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from toolace_ray.calls import brackets
from toolace_ray.calls.result import CallSyntaxError, Parsed, ParseFailure, decode_json, guarded, make_call, skip_space
from toolace_ray.records.dialog import ToolCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"


def render(calls: Sequence[ToolCall]) -> str:
    """One tagged block a call, a line each."""
    return "\n".join(
        f"{OPEN}\n{json.dumps({'name': call.name, 'arguments': call.arguments}, ensure_ascii=False)}\n{CLOSE}"
        for call in calls
    )


def parse(text: str, *, python: bool = False) -> Parsed | ParseFailure:
    """Read all tagged blocks; a stray tag of either kind is a failure.

    With `python` a call may also be a Python literal ({'name': ..., 'arguments': {...}}), as Hermes' first sets write it.
    """
    prose: list[str] = []
    calls: list[ToolCall] = []

    def tagged_calls() -> Iterator[ToolCall]:
        offset = 0
        while (start := text.find(OPEN, offset)) >= 0:
            prose.append(text[offset:start])
            value, end = _value(text, skip_space(text, start + len(OPEN)), python)
            end = skip_space(text, end)
            if not text.startswith(CLOSE, end):
                raise CallSyntaxError(f"no {CLOSE} after the call", end)
            if not isinstance(value, dict) or set(value) != {"name", "arguments"}:
                raise CallSyntaxError("a call is an object with `name` and `arguments` alone", start)
            yield make_call(value["name"], value["arguments"], start)
            offset = end + len(CLOSE)
        prose.append(text[offset:])
        if CLOSE in "".join(prose):
            raise CallSyntaxError(f"{CLOSE} without {OPEN}", text.rfind(CLOSE))

    result = guarded(text, tagged_calls())
    if isinstance(result, ParseFailure):
        return result
    calls.extend(result.calls)
    return Parsed(tuple(calls), "".join(prose).strip())


def _value(text: str, offset: int, python: bool) -> tuple[Any, int]:
    """The value of a block and the index after it; `offset` is its first character."""
    try:
        return decode_json(text, offset)
    except CallSyntaxError:
        end = text.find(CLOSE, offset)
        if not python or end < 0:
            raise
        try:
            return brackets.python_value(text[offset:end]), end
        except ValueError as error:
            raise CallSyntaxError(str(error), offset) from error
