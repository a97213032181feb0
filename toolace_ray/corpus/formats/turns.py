"""One turn of a stranger's row, however it is written: a text or a list of parts, thoughts apart, calls beside the text.

Invariant: nothing of a turn is left out in silence. A kind of part that is not read is an Unreadable, and calls in a field that
is not read are a note of call_syntax.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toolace_ray.calls import Parsed, ParseFailure, toolace
from toolace_ray.corpus.formats.reading import ROLES, RowReader, Unreadable
from toolace_ray.records.json import load_json

_TEXTS = ("text", "input_text", "output_text")  # types of parts that are words
_THOUGHTS = ("reasoning", "thinking", "reasoning_content")  # types of parts, and fields beside a text
_CALLS = ("tool_use", "tool_call", "function_call")
_RESULTS = ("tool_result", "tool_response")
_THOUGHT = re.compile(r"\s*<(think|thinking)>(.*?)</\1>\s*", re.DOTALL)
_READ = {
    "role",
    "from",
    "content",
    "value",
    "tool_calls",
    "function_call",
    "function_calls",
    "tool_call_id",
    "name",
    "weight",
}


@dataclass
class Turn:
    """A turn's parts. `calls` are as the row has them; `results` are (text, call's id) within another's turn, as Anthropic's."""

    role: str
    text: str = ""
    thought: str = ""
    calls: list[Any] = field(default_factory=list)
    results: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The role among ours."""
        return ROLES[self.role]


def turn_of(reader: RowReader, item: Any) -> Turn:
    """A turn of role and content, or of from and value. Raises Unreadable for another role or a part that is not read."""
    key = "from" if isinstance(item, dict) and "from" in item and "role" not in item else "role"
    role = item.get(key) if isinstance(item, dict) else None
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise Unreadable(f"a message of {key} {role!r}")
    turn = Turn(role.lower())
    content = item.get("content")
    _add_content(turn, item.get("value") if content in (None, "", []) else content)
    turn.calls += [*_given_calls(item), *_written_calls(reader, item.get("function_calls"))]
    for name in _THOUGHTS:
        if isinstance(item.get(name), str):
            turn.thought = turn.thought or item[name].strip()
    if turn.kind == "assistant" and (match := _THOUGHT.match(turn.text)):
        turn.thought = "\n".join(filter(None, (turn.thought, match[2].strip())))
        turn.text = turn.text[match.end() :]
    if turn.kind == "tool" and turn.calls:
        reader.note("call_syntax", "a result has calls beside it", len(reader.messages))
    for name, value in item.items():
        if name not in _READ and (name in ("tool_call", "toolCalls") or holds_calls(value)) and value:
            reader.note("call_syntax", f"calls under {name!r}, which is not read", len(reader.messages))
    return turn


def weightless(item: Mapping[str, Any]) -> bool:
    """True for a turn that is kept from the loss: `weight` 0 as OpenAI has it, `loss_weight` 0 as LLaMA-Factory."""
    return 0 in (item.get("weight"), item.get("loss_weight"))


def _given_calls(item: Mapping[str, Any]) -> list[Any]:
    """What stands in the fields of calls; both fields where a turn has both."""
    found: list[Any] = []
    for name in ("tool_calls", "function_call"):
        value = item.get(name)
        if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
            value = load_json(value)
        found += (value if isinstance(value, list) else [value]) if value else []
    return found


def _written_calls(reader: RowReader, written: Any) -> list[Any]:
    """What stands in `function_calls`: a list of calls, or Olmo's text of one name(argument=value, ...) a line."""
    if isinstance(written, list):
        return written
    if written in (None, "", "[]", {}):
        return []
    parsed = toolace.parse_lines(written) if isinstance(written, str) else ParseFailure(type(written).__name__)
    if isinstance(parsed, Parsed):
        return [{"name": call.name, "arguments": call.arguments} for call in parsed.calls]
    reader.note(
        "call_syntax", f"calls under 'function_calls', which cannot be read: {parsed.reason}", len(reader.messages)
    )
    return []


def _add_content(turn: Turn, content: Any) -> None:
    if not isinstance(content, list):
        turn.text = _as_text(content)
        return
    texts: list[str] = []
    for part in content:
        kind = part.get("type", "text") if isinstance(part, dict) else "text"
        if not isinstance(part, dict):
            texts.append(_as_text(part))
        elif kind in _TEXTS:
            texts.append(_as_text(_first(part, "text", "value", "content")))
        elif kind in _THOUGHTS:
            turn.thought = "\n".join(
                filter(None, (turn.thought, _as_text(_first(part, "thinking", "reasoning", "text", "value"))))
            )
        elif kind in _CALLS:
            value = part.get("value", part)
            turn.calls.append(load_json(value) if isinstance(value, str) else value)
        elif kind in _RESULTS:
            inside = Turn(turn.role)
            _add_content(inside, _first(part, "content", "value", "text"))
            if inside.calls or inside.results:
                raise Unreadable(f"a part of type {kind!r} holds calls or results")
            call_id = _first(part, "tool_use_id", "tool_call_id", "id")
            turn.results.append((inside.text, call_id if isinstance(call_id, str) else None))
        else:
            raise Unreadable(f"a part of type {kind!r} in a {turn.role} message, which is not read")
    turn.text = "\n".join(texts)


def _first(part: Mapping[str, Any], *keys: str) -> Any:
    return next((part[key] for key in keys if part.get(key) is not None), None)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def holds_calls(value: Any) -> bool:
    """True for a call, or a list of calls, or JSON of either: an object with a name and arguments."""
    if isinstance(value, str):
        if value.lstrip()[:1] not in ("[", "{") or '"arguments"' not in value:
            return False
        try:
            value = load_json(value.strip())
        except (ValueError, RecursionError):
            return False
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(_is_call(item) for item in items)


def _is_call(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    function = item["function"] if isinstance(item.get("function"), dict) else item
    return isinstance(function.get("name"), str) and "arguments" in function and "description" not in function
