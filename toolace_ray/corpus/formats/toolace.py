"""ToolACE's published format: the tools in the system prompt, calls as [name(argument=value), ...]."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from toolace_ray.calls import ParseFailure, toolace
from toolace_ray.corpus.formats.conversations import add_parsed, read_conversation
from toolace_ray.corpus.formats.reading import Reading, RowReader
from toolace_ray.records.dialog import Dialog


def read(row: Mapping[str, Any]) -> Reading:
    """A row with `conversations`, whose calls are [name(argument=value), ...]. Raises Unreadable."""
    return read_conversation(RowReader("toolace"), row, _add_bracketed)


# Prose that begins in brackets: words, perhaps some of them in parentheses, and text behind; no name right before a parenthesis.
_HEADING = re.compile(r"\s*\[[^\[\]=(]*(?:\s\([^\[\]=()]*\))?\](?!\()\s*[^\s\[]")


def _add_bracketed(reader: RowReader, text: str, mask: dict[str, Any]) -> None:
    """Prose, or calls as [name(argument=value), ...]."""
    parsed = toolace.parse(text)
    if isinstance(parsed, ParseFailure) and _HEADING.match(text):
        reader.add_message("assistant", text, **mask)
    else:
        add_parsed(reader, text, parsed, mask)


TOOLACE_SYSTEM = (
    "{system} You may call these functions when they fit the request; write calls as "
    "[name(argument=value, ...), ...] and nothing else in that turn. Functions as JSON: {tools}"
)


def write(dialog: Dialog) -> dict[str, Any]:
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
                results = [*json.loads(conversations[-1]["value"]), result]
                conversations[-1]["value"] = json.dumps(results, ensure_ascii=False)
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
