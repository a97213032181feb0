"""The formats of `conversations` with `from` and `value`: what they share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from toolace_ray.calls import Parsed, ParseFailure, hermes
from toolace_ray.corpus.formats.prompts import take_tools
from toolace_ray.corpus.formats.reading import Reading, RowReader, first_list
from toolace_ray.corpus.formats.turns import Turn, turn_of, weightless
from toolace_ray.records.json import load_json

_RESPONSE = re.compile(r"<tool_response>((?:(?!<tool_response>).)*?)</tool_response>", re.DOTALL)
AddTurn = Callable[[RowReader, str, dict[str, Any]], None]


def read_conversation(reader: RowReader, row: Mapping[str, Any], add_assistant: AddTurn) -> Reading:
    """The formats of `conversations` with `from` and `value`; `add_assistant` adds a turn of the assistant from its text."""
    tools = given_tools(row)
    masked = row.get("masked") if isinstance(row.get("masked"), list) else []
    items = first_list(row, "conversations", "conversation", "messages")[1]
    system = row.get("system")
    if isinstance(system, str) and system.strip():
        tools = add_system(reader, system, tools)
    for index, item in enumerate(items):
        reader.place = index
        turn = turn_of(reader, item)
        mask: dict[str, Any] = {"train": False} if index in (masked or ()) or weightless(item) else {}
        if turn.thought:
            mask["thought"] = turn.thought
        if turn.kind == "system":
            tools = add_system(reader, turn.text, tools)
        elif turn.results or (turn.calls and turn.kind != "tool"):
            add_structured(reader, turn, mask)
        elif turn.role in ("function_call", "tool_call"):
            _add_json_calls(reader, turn.text, mask)
        elif turn.kind == "tool":
            _add_results(reader, turn, item)
        elif turn.kind == "assistant":
            add_assistant(reader, turn.text, mask)
        else:
            reader.add_message("user", turn.text)
    return reader.reading(row, tools)


def given_tools(row: Mapping[str, Any]) -> Any:
    """The tools of a row's own field; a list under `functions` counts where `tools` is empty."""
    tools = row.get("tools")
    return row.get("functions") if tools in (None, "", "[]", []) and row.get("functions") else tools


def add_system(reader: RowReader, text: str, tools: Any) -> Any:
    """Add the system message without the tools that stand in it, none where nothing is left; the tools."""
    tools, rest = take_tools(reader, text, tools)
    if rest or not text.strip():
        reader.add_message("system", rest)
    return tools


def add_structured(reader: RowReader, turn: Turn, fields: dict[str, Any]) -> None:
    """Add a turn whose calls or results stand in fields or parts of their own."""
    for text, call_id in turn.results:
        reader.add_result(text, None, call_id)
    if not turn.calls:
        if turn.text.strip():
            reader.add_message(turn.kind, turn.text, **fields)
        return
    calls = [reader.tool_call(call) for call in turn.calls]
    if valid := [call for call in calls if call]:
        reader.add_calls(valid, turn.text, **fields)
        if turn.kind != "assistant":
            reader.note("role_order", f"a {turn.kind} message calls", len(reader.messages) - 1)
    else:
        reader.add_message(turn.kind, turn.text, **fields)


def _add_json_calls(reader: RowReader, text: str, mask: dict[str, Any]) -> None:
    try:
        value = load_json(text.strip())
    except (ValueError, RecursionError) as error:
        reader.note("call_syntax", f"the call is no JSON: {str(error)[:120]}", len(reader.messages))
        reader.add_message("assistant", text, **mask)
        return
    calls = [reader.tool_call(item) for item in (value if isinstance(value, list) else [value])]
    if valid := [call for call in calls if call]:
        reader.add_calls(valid, **mask)
    else:
        reader.add_message("assistant", text, **mask)


def add_tagged(reader: RowReader, text: str, mask: dict[str, Any]) -> None:
    """Prose, or calls between Hermes' tags, as JSON or written by Python."""
    parsed = hermes.parse(text)
    if isinstance(parsed, ParseFailure) and isinstance(read_as_python := hermes.parse(text, python=True), Parsed):
        reader.note("schema_dialect", "calls are written as Python, not JSON", len(reader.messages))
        parsed = read_as_python
    add_parsed(reader, text, parsed, mask)


def add_parsed(reader: RowReader, text: str, parsed: Parsed | ParseFailure, mask: dict[str, Any]) -> None:
    """What a call syntax makes of the assistant's text: calls, prose, or prose with a note that it is no call."""
    if isinstance(parsed, ParseFailure):
        reader.note("call_syntax", f"{parsed.reason} (character {parsed.offset})", len(reader.messages))
        reader.add_message("assistant", text, **mask)
    elif parsed.calls:
        reader.add_calls(list(parsed.calls), parsed.content, **mask)
    else:
        reader.add_message("assistant", text, **mask)


def _add_results(reader: RowReader, turn: Turn, given: Mapping[str, Any]) -> None:
    """One result, several between Hermes' tags, or ToolACE's list of {"name", "results"}."""
    text = turn.text
    name, call_id = given.get("name"), given.get("tool_call_id")
    if isinstance(call_id, str) and call_id and "<tool_response>" not in text:
        reader.add_result(text, name if isinstance(name, str) else None, call_id)
        return
    if responses := _RESPONSE.findall(text):
        for inside in responses:
            _add_result(reader, inside.strip())
        return
    try:
        value = load_json(text.strip())
    except (ValueError, RecursionError):
        reader.add_result(text)
        return
    if (
        isinstance(value, list)
        and value
        and all(
            isinstance(item, dict) and "name" in item and ("results" in item or "content" in item) for item in value
        )
    ):
        for item in value:
            _add_named_result(reader, item)
    else:
        _add_result(reader, text)


def _add_result(reader: RowReader, text: str) -> None:
    try:
        value = load_json(text.strip())
    except (ValueError, RecursionError):
        reader.add_result(text)
        return
    if isinstance(value, dict) and set(value) in (
        {"name", "content"},
        {"name", "results"},
        {"tool_call_id", "name", "content"},
    ):
        _add_named_result(reader, value)
    else:
        reader.add_result(text)


def _add_named_result(reader: RowReader, item: dict[str, Any]) -> None:
    inside = item.get("results", item.get("content"))
    text = inside if isinstance(inside, str) else json.dumps(inside, ensure_ascii=False)
    reader.add_result(text, str(item["name"]))
