"""Where each argument of each call comes from, decided in code before any model is asked (method.md section 3)."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from typing import Any

from toolace_ray.dlv.values import find
from toolace_ray.instances import leaves, pointer, schema_at
from toolace_ray.schema import Api, Dialog, Message, Provenance, ToolCall


def trace(dialog: Dialog) -> tuple[Provenance, ...]:
    """One record for every argument leaf of every call, in the order of the messages."""
    apis = {api.name: api for api in dialog.tools}
    today = _day(dialog.today)
    found: list[Provenance] = []
    for index, message in enumerate(dialog.messages):
        for call in message.tool_calls:
            found += trace_call(call, apis.get(call.name), dialog.messages[:index], today)
    return tuple(found)


def _day(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return datetime.date.min


def trace_call(call: ToolCall, api: Api | None, before: Sequence[Message], today: datetime.date) -> list[Provenance]:
    """One record for every argument leaf of a call, given the messages before it."""
    results = {
        index: list(_result_values(message.content)) for index, message in enumerate(before) if message.role == "tool"
    }
    found = []
    for path, value in leaves(call.arguments):
        schema = schema_at(api.parameters, path) if api else {}
        source, message = _trace_value(value, path, schema, before, results, today)
        found.append(Provenance(call_id=call.id, path=pointer(path), source=source, message=message))
    return found


def _trace_value(
    value: Any,
    path: tuple[str | int, ...],
    schema: dict[str, Any],
    before: Sequence[Message],
    results: dict[int, list[Any]],
    today: datetime.date,
) -> tuple[Any, int | None]:
    names = tuple(part for part in path if isinstance(part, str))
    for index in reversed(range(len(before))):  # the latest mention counts: a correction comes after what it corrects
        message = before[index]
        if message.role in ("user", "system") and (how := find(value, message.content, today, names)):
            return how, index
        if any(_same(value, item) for item in results.get(index, ())):
            return "tool_output", index
    if "default" in schema and _same(value, schema["default"]):
        return "default", None
    return "none", None


def _same(left: Any, right: Any) -> bool:
    """Equal as JSON values: true is not 1."""
    return (
        type(left) is type(right) and left == right
        if isinstance(left, bool) or isinstance(right, bool)
        else left == right
    )


def _result_values(content: str) -> list[Any]:
    try:
        return [value for _, value in leaves(json.loads(content))]
    except (ValueError, RecursionError):
        return [content]
