"""Where each argument of each call comes from, decided in code before any model is asked (method.md section 3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from toolace_ray.records.dialog import Dialog, Message, Provenance
from toolace_ray.records.json import load_json
from toolace_ray.schemas.walk import leaves, pointer, schema_at
from toolace_ray.text import memo, units
from toolace_ray.text.dates import Day, dates_in, day
from toolace_ray.text.values import find

_DEFAULT = re.compile(r"\b(?:defaults? (?:to|is|value is|value:|:)|default[:=]|by default,?)\s*", re.IGNORECASE)


def trace(dialog: Dialog) -> tuple[Provenance, ...]:
    """One record for every argument leaf of every call, in the order of the messages."""
    apis = {api.name: api for api in dialog.tools}
    today = day(dialog.today)
    results = {
        index: _result_values(message.content)
        for index, message in enumerate(dialog.messages)
        if message.role == "tool"
    }
    records: list[Provenance] = []
    for index, message in enumerate(dialog.messages):
        before = dialog.messages[:index]
        for call in message.tool_calls:
            api = apis.get(call.name)
            for path, value in leaves(call.arguments):
                schema = schema_at(api.parameters, path) if api else {}
                source, origin = _trace_value(value, path, schema, before, results, today)
                records.append(Provenance(call_id=call.id, path=pointer(path), source=source, message=origin))
    return tuple(records)


def _trace_value(
    value: Any,
    path: tuple[str | int, ...],
    schema: dict[str, Any],
    before: Sequence[Message],
    results: dict[int, list[Any]],
    today: Day,
) -> tuple[Any, int | None]:
    names = tuple(part for part in path if isinstance(part, str))
    number = isinstance(value, int | float) and not isinstance(value, bool) and names
    wanted = units.of_schema(names[-1], schema) if number else None
    for index in reversed(range(len(before))):  # the latest mention counts: a correction comes after what it corrects
        message = before[index]
        if message.role == "system" and today is not None and _dated(value):
            if _set_by_prompt(str(value), message.content, before, today):
                return "literal", index
        elif message.role in ("user", "system") and (match := find(value, message.content, today, names, wanted)):
            return match, index
        if index in results and any(_same(value, item) for item in results[index]):
            return "tool_output", index
    if "default" in schema and _same(value, schema["default"]):
        return "default", None
    if synonym := _synonym(value, schema, before, today):
        return synonym
    if _described_as_default(value, schema):
        return "default", None
    return "none", None


def _dated(value: Any) -> bool:
    return isinstance(value, str) and day(value[:10]) is not None


def _set_by_prompt(value: str, prompt: str, before: Sequence[Message], today: date) -> bool:
    """True for a date that the system prompt sets. Today's date, which it names anyway, counts only where the user names no day."""
    if value[:10] == today.isoformat():
        time = value[11:16]
        if (
            time
            and value not in prompt
            and not any(find(time, item.content, today) for item in before if item.role == "user")
        ):
            return False
        return value[:10] in prompt and not any(dates_in(item.content, today) for item in before if item.role == "user")
    return value in prompt


def _synonym(value: Any, schema: dict[str, Any], before: Sequence[Message], today: Day) -> tuple[Any, int] | None:
    """How and in which message the user says what the description gives for a choice: "c for Celsius", "1 = economy", "'m' (metric)"."""
    description = schema.get("description")
    if not isinstance(description, str) or value not in (schema.get("enum") or ()) or isinstance(value, bool):
        return None
    choice = re.escape(str(value))
    pattern = rf"(?<!\w)['\"`]?{choice}['\"`]?\s*(?:=|:|-|–|for|means|is|\()\s*['\"`]?(\w[\w /-]{{1,40}}?)['\"`]?(?=[,;.)]|$| or | and )"
    for word in re.findall(pattern, description[:2000], re.IGNORECASE):
        for index in reversed(range(len(before))):
            if before[index].role == "user" and find(word.strip(), before[index].content, today):
                return "normalised", index
    return None


def _described_as_default(value: Any, schema: dict[str, Any]) -> bool:
    """True where the description names the value as the default: "Defaults to 'metric'."."""
    description = schema.get("description")
    if not isinstance(description, str) or isinstance(value, dict | list) or value is None:
        return False
    written = str(value).lower()
    for match in _DEFAULT.finditer(description[:2000]):
        stated = description[match.end() : match.end() + len(written) + 2].lower().lstrip("'\"`")
        if stated.startswith(written) and not stated[len(written) : len(written) + 1].isalnum():
            return True
    return False


def _same(left: Any, right: Any) -> bool:
    """Equal as JSON values (true is not 1), or a number and its digits as a string: services take as one what they give as the other."""
    if isinstance(left, str) != isinstance(right, str):
        number = right if isinstance(left, str) else left
        return isinstance(number, int | float) and not isinstance(number, bool) and str(left) == str(right)
    return (
        type(left) is type(right) and left == right
        if isinstance(left, bool) or isinstance(right, bool)
        else left == right
    )


@memo.of_texts(4096)
def result_value(content: str) -> tuple[Any, ...]:
    """(the value,) of a tool result's JSON; () of one that is no JSON, or none within our limits. Not to be changed: it is shared."""
    try:
        return (load_json(content, unique=False),)
    except (ValueError, RecursionError):
        return ()


def _result_values(content: str) -> list[Any]:
    values = result_value(content)
    return [item for value in values for _, item in leaves(value)] if values else [content]
