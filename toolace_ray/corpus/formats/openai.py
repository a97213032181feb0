"""OpenAI's chat format: `messages` with tool_calls, and `tools`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolace_ray.calls import openai
from toolace_ray.corpus.formats.reading import ROLES, Reading, RowReader, first_list, role_of, text_of
from toolace_ray.records.dialog import Dialog

TURNS = ("messages", "conversation")  # keys of OpenAI's list of messages


def read(row: Mapping[str, Any]) -> Reading:
    """A row with `messages` (or `conversation`), whose calls are tool_calls or a function_call. Raises Unreadable."""
    reader = RowReader("openai")
    for index, item in enumerate(first_list(row, *TURNS)[1]):
        reader.place = index
        role = ROLES[role_of(item, "role")]
        text = text_of(item.get("content"))
        mask = {} if item.get("weight") != 0 else {"train": False}
        raw_calls = item.get("tool_calls") or (
            [{"function": item["function_call"]}] if item.get("function_call") else []
        )
        if role == "tool":
            name, call_id = item.get("name"), item.get("tool_call_id")
            reader.add_result(
                text, name if isinstance(name, str) else None, call_id if isinstance(call_id, str) else None
            )
        elif raw_calls:
            calls = [reader.tool_call(call) for call in (raw_calls if isinstance(raw_calls, list) else [raw_calls])]
            if valid := [call for call in calls if call]:
                reader.add_calls(valid, text, **mask)
                if role != "assistant":
                    reader.note("role_order", f"a {role} message calls", len(reader.messages) - 1)
            else:
                reader.add_message(role, text, **mask)
        else:
            reader.add_message(role, text, **mask)
    tools = row.get("tools", row.get("functions"))
    return reader.reading(row, tools)


def write(dialog: Dialog) -> dict[str, Any]:
    """OpenAI chat format: `messages` with tool_calls (arguments as a JSON string) and `tools`.

    A turn that is masked from the loss has `weight` 0, as in OpenAI's fine-tuning format.
    """
    messages: list[dict[str, Any]] = []
    for message in dialog.messages:
        item: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            item |= {"content": None, "tool_calls": openai.tool_calls(message.tool_calls)}
        if not message.train:
            item["weight"] = 0
        if message.role == "tool":
            item |= {"tool_call_id": message.tool_call_id, "name": message.name}
        messages.append(item)
    tools = [{"type": "function", "function": api.tool()} for api in dialog.tools]
    return {"id": dialog.id, "type": dialog.type, "messages": messages, "tools": tools}
