"""The `tool_calls` array of the OpenAI chat API as JSON; `arguments` is a string that holds a JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from toolace_ray.calls.result import CallSyntaxError, Parsed, ParseFailure, decode_json, guarded, make_call, skip_space
from toolace_ray.records.dialog import ToolCall


def tool_calls(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """The calls as the API's objects; a call without an id gets `call_<index>`."""
    return [
        {
            "id": call.id or f"call_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for index, call in enumerate(calls)
    ]


def render(calls: Sequence[ToolCall]) -> str:
    """The array as JSON text; the empty string for no calls."""
    return json.dumps(tool_calls(calls), ensure_ascii=False) if calls else ""


def parse(text: str) -> Parsed | ParseFailure:
    """Read the array; a text that does not begin with `[{` is prose."""
    start = skip_space(text, 0)
    if text[start : start + 1] != "[" or text[skip_space(text, start + 1) :][:1] != "{":
        return Parsed((), text.strip())
    return guarded(text, _calls(text, start))


def _calls(text: str, start: int) -> Iterator[ToolCall]:
    items, end = decode_json(text, start)
    if text[end:].strip():
        raise CallSyntaxError("text after the array of calls", end)
    for item in items:
        function = item.get("function") if isinstance(item, dict) else None
        if not isinstance(function, dict):
            raise CallSyntaxError("an item of the array has no `function` object", start)
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            raise CallSyntaxError("`arguments` must be a string that holds a JSON object", start)
        value, after = decode_json(arguments, skip_space(arguments, 0))
        if arguments[after:].strip():
            raise CallSyntaxError("text after the JSON object in `arguments`", start)
        yield make_call(function.get("name"), value, start, str(item.get("id") or ""))
