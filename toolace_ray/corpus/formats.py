"""Dialogs in trainers' formats. Every format keeps the row's id and type; schemas stay JSON Schema, untouched."""

from __future__ import annotations

import json
from typing import Any

from toolace_ray.calls import openai, toolace
from toolace_ray.records.dialog import Dialog

TOOLACE_SYSTEM = (
    "{system} You may call these functions when they fit the request; write calls as "
    "[name(argument=value, ...), ...] and nothing else in that turn. Functions as JSON: {tools}"
)


def to_openai(dialog: Dialog) -> dict[str, Any]:
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


def to_toolace(dialog: Dialog) -> dict[str, Any]:
    """The published ToolACE format: `system` with the tools inside, `conversations` of from and value.

    The format knows no masks; `masked` beside it lists the conversations' indices that are to be kept from the loss.
    """
    system = next((message.content for message in dialog.messages if message.role == "system"), "")
    conversations: list[dict[str, str]] = []
    masked: list[int] = []
    for message in dialog.messages:
        if message.role == "tool":
            result = {"name": message.name, "results": json.loads(message.content)}
            if conversations and conversations[-1]["from"] == "tool":
                together = [*json.loads(conversations[-1]["value"]), result]
                conversations[-1]["value"] = json.dumps(together, ensure_ascii=False)
            else:
                conversations.append({"from": "tool", "value": json.dumps([result], ensure_ascii=False)})
        elif message.role != "system":
            value = toolace.render(message.tool_calls) if message.tool_calls else message.content
            if not message.train:
                masked.append(len(conversations))
            conversations.append({"from": message.role, "value": value})
    tools = json.dumps([api.tool() for api in dialog.tools], ensure_ascii=False)
    return {
        "id": dialog.id,
        "type": dialog.type,
        "system": TOOLACE_SYSTEM.format(system=system, tools=tools),
        "conversations": conversations,
        **({"masked": masked} if masked else {}),
    }


FORMATS = {"openai": to_openai, "toolace": to_toolace}
