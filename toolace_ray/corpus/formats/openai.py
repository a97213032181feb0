"""OpenAI's chat format: `messages` with tool_calls, and `tools`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolace_ray.calls import openai
from toolace_ray.corpus.formats.conversations import add_structured, add_system, given_tools
from toolace_ray.corpus.formats.reading import Reading, RowReader, first_list
from toolace_ray.corpus.formats.turns import turn_of, weightless
from toolace_ray.records.dialog import Dialog

TURNS = ("messages", "conversation", "conversations")  # keys of OpenAI's list of messages


def read(row: Mapping[str, Any]) -> Reading:
    """A row with `messages` (or `conversation`), whose calls are tool_calls or a function_call. Raises Unreadable."""
    reader = RowReader("openai")
    tools = given_tools(row)
    for index, item in enumerate(first_list(row, *TURNS)[1]):
        reader.place = index
        turn = turn_of(reader, item)
        tools = given_tools({"tools": tools, "functions": item.get("functions")})  # beside the prompt, as Olmo's sets
        fields: dict[str, Any] = {"train": False} if weightless(item) else {}
        if turn.thought:
            fields["thought"] = turn.thought
        if turn.kind == "system":
            tools = add_system(reader, turn.text, tools)
        elif turn.results or (turn.calls and turn.kind != "tool"):
            add_structured(reader, turn, fields)
        elif turn.kind == "tool":
            name, call_id = item.get("name"), item.get("tool_call_id")
            reader.add_result(
                turn.text, name if isinstance(name, str) else None, call_id if isinstance(call_id, str) else None
            )
        else:
            reader.add_message(turn.kind, turn.text, **fields)
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
