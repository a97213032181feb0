"""The formats of `conversations` with `from` and `value`: what they share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from toolace_ray.calls import ParseFailure, hermes
from toolace_ray.corpus.formats.reading import MAX_CHARS, ROLES, Reading, RowReader, first_list, role_of, text_of
from toolace_ray.records.json import load_json

_TRIES = 50  # places at which a list of tools may begin in a system prompt
_RESPONSE = re.compile(r"<tool_response>\s*(.*?)\s*</tool_response>", re.DOTALL)
_TOOLS = re.compile(r"<tools>\s*(.*?)\s*</tools>", re.DOTALL)
AddTurn = Callable[[RowReader, str, dict[str, Any]], None]


def read_conversation(reader: RowReader, row: Mapping[str, Any], add_assistant: AddTurn) -> Reading:
    """The formats of `conversations` with `from` and `value`; `add_assistant` adds a turn of the assistant from its text."""
    tools = row.get("tools")
    masked = row.get("masked") if isinstance(row.get("masked"), list) else []
    items = first_list(row, "conversations", "conversation", "messages")[1]
    key, content = (
        ("from", "value") if items and isinstance(items[0], dict) and "from" in items[0] else ("role", "content")
    )
    system = row.get("system")
    if isinstance(system, str) and system.strip():
        tools = _prompted_tools(reader, system, tools)
    for index, item in enumerate(items):
        reader.place = index
        name = role_of(item, key)
        text = text_of(item.get(content))
        mask = {"train": False} if index in (masked or ()) or item.get("weight") == 0 else {}
        if name == "system":
            tools = _prompted_tools(reader, text, tools)
        elif name in ("function_call", "tool_call"):
            _add_json_calls(reader, text, mask)
        elif ROLES[name] == "tool":
            _add_results(reader, text)
        elif ROLES[name] == "assistant":
            add_assistant(reader, text, mask)
        else:
            reader.add_message("user", text)
    return reader.reading(row, tools)


def _prompted_tools(reader: RowReader, text: str, tools: Any) -> Any:
    """The tools, from the row or else from the system prompt, of which the rest is the system message."""
    if match := _TOOLS.search(text):
        inside = match[1].strip()
        if tools in (None, "", []):
            tools = (
                load_json(inside, max_chars=MAX_CHARS)
                if inside[:1] == "["
                else [load_json(line) for line in inside.splitlines() if line.strip()]
            )
        text = text[: match.start()] + text[match.end() :]
    else:
        for start in [item.start() for item in re.finditer(r"\[\s*\{", text)][:_TRIES]:
            try:
                candidates, end = json.JSONDecoder().raw_decode(text, start)
            except (ValueError, RecursionError):
                continue
            if all(
                isinstance(item, dict) and (isinstance(item.get("name"), str) or "function" in item)
                for item in candidates
            ):
                tools = candidates if tools in (None, "", []) else tools
                text = text[:start] + text[end:]
                break
    reader.add_message("system", text.strip())
    return tools


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
    """Prose, or calls between Hermes' tags."""
    parsed = hermes.parse(text)
    if isinstance(parsed, ParseFailure):
        reader.note("call_syntax", f"{parsed.reason} (character {parsed.offset})", len(reader.messages))
        reader.add_message("assistant", text, **mask)
    elif parsed.calls:
        reader.add_calls(list(parsed.calls), parsed.content, **mask)
    else:
        reader.add_message("assistant", text, **mask)


def _add_results(reader: RowReader, text: str) -> None:
    """One result, several between Hermes' tags, or ToolACE's list of {"name", "results"}."""
    if responses := _RESPONSE.findall(text):
        for inside in responses:
            _add_result(reader, inside)
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
