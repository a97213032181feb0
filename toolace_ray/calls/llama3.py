"""Llama 3.x: `{"name": ..., "parameters": {...}}`, several joined by semicolons, perhaps after `<|python_tag|>`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from toolace_ray.calls.result import CallSyntaxError, Parsed, ParseFailure, decode_json, guarded, make_call, skip_space
from toolace_ray.records.dialog import ToolCall

TAG = "<|python_tag|>"


def render(calls: Sequence[ToolCall]) -> str:
    """The calls joined by `; `."""
    return "; ".join(
        json.dumps({"name": call.name, "parameters": call.arguments}, ensure_ascii=False) for call in calls
    )


def parse(text: str) -> Parsed | ParseFailure:
    """Read the calls; a text that begins neither with `{` nor with the tag is prose."""
    start = skip_space(text, 0)
    tagged = text.startswith(TAG, start)
    if tagged:
        start += len(TAG)
    elif text[start : start + 1] != "{":
        return Parsed((), text.strip())
    return guarded(text, _calls(text, start))


def _calls(text: str, offset: int) -> Iterator[ToolCall]:
    while True:
        offset = skip_space(text, offset)
        value, end = decode_json(text, offset)
        if not isinstance(value, dict) or set(value) != {"name", "parameters"}:
            raise CallSyntaxError("a call is an object with `name` and `parameters` alone", offset)
        yield make_call(value["name"], value["parameters"], offset)
        offset = skip_space(text, end)
        if offset == len(text):
            return
        if text[offset] != ";":
            raise CallSyntaxError("calls are separated by semicolons", offset)
        offset += 1
