"""Dialogs that somebody else made, in trainers' formats, as our records: what `toolace verify` reads.

Invariants: a row gives a Dialog or an Unreadable with its reason, never another exception; what a row says in a form of its own
(a call that can't be parsed, arguments encoded twice, another schema dialect) is kept in `meta["found"]` for the rules to tell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from toolace_ray.calls import ParseFailure, hermes, toolace
from toolace_ray.dlv.rules.definition import DIALECTS
from toolace_ray.records.api import Api
from toolace_ray.records.dialog import Dialog, Message, ToolCall
from toolace_ray.records.json import load_json
from toolace_ray.records.kinds import DialogType
from toolace_ray.schemas.walk import rebuild
from toolace_ray.text.dates import dates_in
from toolace_ray.text.language import language

MAX_TOOLS, MAX_MESSAGES, MAX_CALLS = 256, 1024, 64
MAX_CHARS = 1 << 20  # of a row
TURNS = ("messages", "conversation")  # keys of OpenAI's list of messages
_TRIES = 50  # places at which a list of tools may begin in a system prompt
_ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
    "model": "assistant", "tool": "tool", "function": "tool", "observation": "tool", "function_response": "tool",
    "tool_response": "tool", "ipython": "tool", "function_call": "assistant", "tool_call": "assistant",
}  # fmt: skip
_TYPES = {
    "dict": "object", "map": "object", "hashmap": "object", "float": "number", "double": "number", "decimal": "number", "int": "integer",
    "long": "integer", "short": "integer", "byte": "integer", "str": "string", "char": "string", "text": "string", "list": "array",
    "tuple": "array", "set": "array", "arraylist": "array", "bool": "boolean", "none": "null",
}  # fmt: skip
_JSON_TYPES = {"object", "number", "integer", "string", "array", "boolean", "null"}
_RESPONSE = re.compile(r"<tool_response>\s*(.*?)\s*</tool_response>", re.DOTALL)
_TOOLS = re.compile(r"<tools>\s*(.*?)\s*</tools>", re.DOTALL)
_TODAY = re.compile(r"\b(?:today|current (?:date|day|time)|date|now)\b", re.IGNORECASE)


class Unreadable(ValueError):
    """Why a row is no dialog of its format."""


class _Reading:
    """A dialog on its way, in one of the formats."""

    def __init__(self, format: str) -> None:
        self.format = format
        self.messages: list[Message] = []
        self.found: list[list[Any]] = []
        self.place = 0  # in the row's list of turns
        self._places: list[int] = []
        self._waiting: list[ToolCall] = []
        self._calls = 0

    def note(self, rule: str, evidence: str, turn: int | None = None) -> None:
        """Keep what the named rule is to tell."""
        self.found.append([rule, turn, evidence[:300]])

    def say(self, role: str, text: str, **more: Any) -> None:
        """Add a message."""
        self._add(role=role, content=text, **more)

    def call(self, calls: list[ToolCall], text: str = "", **more: Any) -> None:
        """Add a turn of calls; those without an id get one."""
        if len(calls) > MAX_CALLS:
            raise Unreadable(f"{len(calls)} calls in one turn, the limit is {MAX_CALLS}")
        named = []
        for call in calls:
            named.append(call if call.id else call.model_copy(update={"id": f"call_{self._calls}"}))
            self._calls += 1
        self._waiting = list(named)
        self._add(role="assistant", content=text, tool_calls=tuple(named), **more)

    def result(self, text: str, name: str | None = None, call_id: str | None = None, **more: Any) -> None:
        """Add a result; one without an id belongs to the first call that waits."""
        call = self._waiting.pop(0) if self._waiting else None
        self._add(
            role="tool",
            content=text,
            tool_call_id=call_id or (call.id if call else None),
            name=name or (call.name if call and not call_id else None),
            **more,
        )

    def _add(self, **fields: Any) -> None:
        if len(self.messages) >= MAX_MESSAGES:
            raise Unreadable(f"more than {MAX_MESSAGES} messages")
        self.messages.append(Message(**fields))
        self._places.append(self.place)

    def arguments(self, name: str, given: Any) -> dict[str, Any] | None:
        """A call's arguments as an object; None, with a note, where they are none."""
        turn = len(self.messages)
        value = given
        if isinstance(value, str):
            try:
                value = load_json(value) if value.strip() else {}
            except (ValueError, RecursionError) as error:
                self.note("call_syntax", f"the arguments of {name} are no JSON: {str(error)[:120]}", turn)
                return None
        if isinstance(value, str):
            self.note("call_syntax", f"the arguments of {name} are encoded twice", turn)
            try:
                value = load_json(value)
            except (ValueError, RecursionError):
                return None
        if value is None:
            value = {}
        if not isinstance(value, dict):
            self.note("call_syntax", f"the arguments of {name} are {type(value).__name__}, not an object", turn)
            return None
        return value

    def tool_call(self, item: Any) -> ToolCall | None:
        """A call from {"name", "arguments"} or {"function": {...}}."""
        function = item.get("function", item) if isinstance(item, dict) else None
        if isinstance(function, str):
            function = {"name": function, "arguments": item.get("arguments")}
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name:
            self.note("call_syntax", f"a call without a name: {str(item)[:120]}", len(self.messages))
            return None
        given = function.get("arguments", function.get("parameters"))
        arguments = self.arguments(name, given)
        if arguments is None:
            return None
        identifier = item.get("id")
        return ToolCall(id=identifier if isinstance(identifier, str) else "", name=name, arguments=arguments)

    def dialog(self, row: Mapping[str, Any], tools: Any) -> Dialog:
        """The record."""
        apis = tuple(self._tools(tools))
        kind = _type(self.messages)
        identifier = row.get("id")
        return Dialog(
            id=str(identifier)[:200] if isinstance(identifier, str | int) else "",
            type=kind,
            kind=f"{kind}.imported",
            attempt=0,
            seed=0,
            today=_today(self.messages),
            tools=apis,
            messages=tuple(self.messages),
            meta={
                "format": self.format,
                "places": self._places,
                "found": self.found,
                "language": language(
                    " ".join(item.content[:2000] for item in self.messages if item.role in ("user", "assistant"))
                ),
            },
        )

    def _tools(self, given: Any) -> Iterator[Api]:
        if isinstance(given, str):
            given = load_json(given, max_chars=MAX_CHARS) if given.strip() else []
        if isinstance(given, dict):
            given = given.get("tools", [given])
        if given is None:
            given = []
        if not isinstance(given, list):
            raise Unreadable(f"tools: {type(given).__name__}, not a list")
        if len(given) > MAX_TOOLS:
            raise Unreadable(f"tools: {len(given)} of them, the limit is {MAX_TOOLS}")
        for item in given:
            if isinstance(item, str):
                item = load_json(item)
            api, notes = _kept(item, self.format in DIALECTS)
            for rule, evidence in notes:
                self.note(rule, evidence)
            if api is not None:
                yield api


Read = tuple[Api | None, tuple[tuple[str, str], ...]]
_TOOLS_READ: dict[tuple[bytes, bool], Read] = {}  # a tool as JSON, dialect -> what it is read as
_KEPT = 1 << 13


def _kept(item: Any, dialect: bool) -> Read:
    """What a tool is read as. Kept: a set's rows share their tools, and their records' hashes cost more than a look.

    Kept by the tool's JSON: in Python a default of 1 equals one of true.
    """
    key = to_json(item), dialect
    read = _TOOLS_READ.get(key)
    if read is None:
        read = _api(item, dialect)
        if len(_TOOLS_READ) >= _KEPT:
            _TOOLS_READ.clear()
        _TOOLS_READ[key] = read
    return read


def _api(item: Any, dialect: bool) -> Read:
    """A tool's record, with what is to be told of it."""
    function = item.get("function", item) if isinstance(item, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name:
        return None, (("api_definition", f"a tool without a name: {str(item)[:120]}"),)
    notes: list[tuple[str, str]] = []
    schemas = []
    for key in (
        ("parameters", "input_schema", "inputSchema", "arguments"),
        ("returns", "output_schema", "outputSchema", "response"),
    ):
        schema = next((function[part] for part in key if function.get(part) is not None), None)
        if key[0] == "returns" and not (isinstance(schema, dict) and ("type" in schema or "properties" in schema)):
            schema = {}
        elif schema is None:
            schema = {"type": "object", "properties": {}}
        if not isinstance(schema, dict):
            notes.append(("api_definition", f"schema: {key[0]} of {name} are {type(schema).__name__}, no schema"))
            schema = {"type": "object", "properties": {}}
        if dialect:
            changed: set[str] = set()
            schema = _standard(_described(schema, changed) if key[0] == "parameters" else schema, changed)
            notes += [("schema_dialect", f"{name}: {what}") for what in sorted(changed)]
        schemas.append(schema)
    description = function.get("description")
    try:
        api = Api(
            name=name,
            description=description if isinstance(description, str) else "",
            parameters=schemas[0],
            returns=schemas[1],
        )
    except ValidationError as error:
        return None, (("api_definition", f"schema: {name}: {error.errors()[0]['msg']}"),)
    return api, tuple(notes)


def _described(schema: dict[str, Any], changed: set[str]) -> dict[str, Any]:
    """xLAM's way of parameters, {name: {type: "str, optional", description, default}}, as an object schema."""
    if not schema:
        return {"type": "object", "properties": {}}
    if schema.get("type") in ("object", "dict") or not all(isinstance(item, dict) for item in schema.values()):
        return schema
    properties, required = {}, []
    for name, item in schema.items():
        kind = str(item.get("type", ""))
        bare = re.sub(r",?\s*optional\b|\boptional\[(.*)\]", lambda m: m[1] or "", kind, flags=re.IGNORECASE).strip()
        properties[name] = {**item, **_typed(bare)}
        if bare == kind and "default" not in item:
            required.append(name)
    changed.add("parameters without an object schema around them")
    return {"type": "object", "properties": properties, "required": required}


def _typed(kind: str) -> dict[str, Any]:
    """A Python type's name as a schema: "List[str]" is an array of strings."""
    match = re.fullmatch(r"(\w+)\s*(?:\[(.*)\])?", kind.strip())
    if match is None:
        return {"type": kind}
    base = match[1].lower()
    if base in ("list", "set", "tuple", "array", "sequence"):
        inner = _typed(match[2].split(",")[0]) if match[2] else {}
        return {"type": "array", "items": inner if inner.get("type") != "any" else {}}
    if base in ("dict", "mapping"):
        return {"type": "object"}
    return {"type": match[1]}


def _standard(schema: dict[str, Any], changed: set[str]) -> Any:
    """A schema with JSON Schema's names of types, at any depth; what was changed is added to `changed`."""
    return rebuild(schema, lambda item, _: _renamed(item, changed))


def _renamed(schema: Any, changed: set[str]) -> Any:
    if not isinstance(schema, dict):
        return schema
    found = dict(schema)
    kind = found.get("type")
    if isinstance(kind, str) and kind not in _JSON_TYPES:
        other = kind.lower() if kind.lower() in _JSON_TYPES else _TYPES.get(kind.lower())
        if other or kind.lower() in ("any", "object|null", ""):
            changed.add(f"type {kind!r} read as {other or 'any'!r}")
            if other:
                found["type"] = other
            else:
                del found["type"]
    if "required" in found and not isinstance(found["required"], list):
        changed.add(f"required is {str(found['required'])[:20]!r}, left out")
        del found["required"]
    properties = found.get("properties")
    if isinstance(properties, dict):
        marked = [name for name, item in properties.items() if isinstance(item, dict) and item.get("required") is True]
        if marked:
            found["required"] = list(dict.fromkeys([*found.get("required", ()), *marked]))
    return found


def _type(messages: list[Message]) -> DialogType:
    """A dialog's type, going by who says what."""
    turns = [message for message in messages if message.tool_calls]
    requests = sum(message.role == "user" for message in messages)
    if not turns:
        return "non_tool"
    if requests > 1:
        first = next(message for message in messages if message.role == "assistant")
        asked = not first.tool_calls and first.content.rstrip().endswith("?")
        return "clarification" if asked and requests == 2 else "multi_turn"
    if len(turns) > 1:
        return "dependent"
    return "parallel" if len(turns[0].tool_calls) > 1 else "single"


def _today(messages: list[Message]) -> str:
    """The day that the system prompt or the first request gives as today's; "" where none does."""
    for message in messages[:2]:
        for match in _TODAY.finditer(message.content[:20000]):
            after = message.content[match.end() : match.end() + 60]
            dates = {
                item.date
                for item in dates_in(after, None)
                if item.date and re.search(r"\d{4}", after[item.start : item.end])
            }
            if dates and (message.role == "system" or match.group().lower() != "date"):
                return min(date.isoformat() for date in dates if date)
    return ""


def _text(content: Any) -> str:
    """A message's content: a text, nothing, or a list of parts."""
    if content is None:
        return ""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in content)
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _role(item: Any, key: str) -> str:
    given = item.get(key) if isinstance(item, dict) else None
    if not isinstance(given, str) or given.lower() not in _ROLES:
        raise Unreadable(f"a message of {key} {given!r}")
    return given.lower()


def _list(row: Mapping[str, Any], *keys: str) -> list[Any]:
    return listed(row, *keys)[1]


def listed(row: Mapping[str, Any], *keys: str) -> tuple[str, list[Any]]:
    """The first of the keys under which a row has a list, or one as JSON, and the list. Raises Unreadable."""
    for key in keys:
        value = row.get(key)
        if isinstance(value, str) and value.lstrip().startswith("["):
            value = load_json(value, max_chars=MAX_CHARS)
        if isinstance(value, list):
            return key, value
    there = ", ".join(list(map(str, row))[:8]) or "nothing"
    raise Unreadable(f"no list {' or '.join(map(repr, keys))} (there is: {there})")


def _openai(row: Mapping[str, Any]) -> Dialog:
    reading = _Reading("openai")
    for index, item in enumerate(_list(row, *TURNS)):
        reading.place = index
        role = _ROLES[_role(item, "role")]
        text = _text(item.get("content"))
        more = {} if item.get("weight") != 0 else {"train": False}
        given = item.get("tool_calls") or ([{"function": item["function_call"]}] if item.get("function_call") else [])
        if role == "tool":
            name, call_id = item.get("name"), item.get("tool_call_id")
            reading.result(text, name if isinstance(name, str) else None, call_id if isinstance(call_id, str) else None)
        elif given:
            calls = [reading.tool_call(call) for call in (given if isinstance(given, list) else [given])]
            if kept := [call for call in calls if call]:
                reading.call(kept, text, **more)
                if role != "assistant":
                    reading.note("role_order", f"a {role} message calls", len(reading.messages) - 1)
            else:
                reading.say(role, text, **more)
        else:
            reading.say(role, text, **more)
    tools = row.get("tools", row.get("functions"))
    return reading.dialog(row, tools)


def _sharegpt(row: Mapping[str, Any]) -> Dialog:
    return _conversation(_Reading("sharegpt"), row, _tagged)


def _hermes(row: Mapping[str, Any]) -> Dialog:
    return _conversation(_Reading("hermes"), row, _tagged)


def _toolace(row: Mapping[str, Any]) -> Dialog:
    return _conversation(_Reading("toolace"), row, _bracketed)


Say = Callable[[_Reading, str, dict[str, Any]], None]


def _conversation(reading: _Reading, row: Mapping[str, Any], said: Say) -> Dialog:
    """The formats of `conversations` with `from` and `value`; `said` reads what the assistant says."""
    tools = row.get("tools")
    masked = row.get("masked") if isinstance(row.get("masked"), list) else []
    items = _list(row, "conversations", "conversation", "messages")
    key, content = (
        ("from", "value") if items and isinstance(items[0], dict) and "from" in items[0] else ("role", "content")
    )
    system = row.get("system")
    if isinstance(system, str) and system.strip():
        tools = _prompted(reading, system, tools)
    for index, item in enumerate(items):
        reading.place = index
        name = _role(item, key)
        text = _text(item.get(content))
        more = {"train": False} if index in (masked or ()) or item.get("weight") == 0 else {}
        if name == "system":
            tools = _prompted(reading, text, tools)
        elif name in ("function_call", "tool_call"):
            _json_calls(reading, text, more)
        elif _ROLES[name] == "tool":
            _results(reading, text)
        elif _ROLES[name] == "assistant":
            said(reading, text, more)
        else:
            reading.say("user", text)
    return reading.dialog(row, tools)


def _prompted(reading: _Reading, text: str, tools: Any) -> Any:
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
                listed, end = json.JSONDecoder().raw_decode(text, start)
            except (ValueError, RecursionError):
                continue
            if all(
                isinstance(item, dict) and (isinstance(item.get("name"), str) or "function" in item) for item in listed
            ):
                tools = listed if tools in (None, "", []) else tools
                text = text[:start] + text[end:]
                break
    reading.say("system", text.strip())
    return tools


def _json_calls(reading: _Reading, text: str, more: dict[str, Any]) -> None:
    try:
        value = load_json(text.strip())
    except (ValueError, RecursionError) as error:
        reading.note("call_syntax", f"the call is no JSON: {str(error)[:120]}", len(reading.messages))
        reading.say("assistant", text, **more)
        return
    calls = [reading.tool_call(item) for item in (value if isinstance(value, list) else [value])]
    if kept := [call for call in calls if call]:
        reading.call(kept, **more)
    else:
        reading.say("assistant", text, **more)


def _tagged(reading: _Reading, text: str, more: dict[str, Any]) -> None:
    """Prose, or calls between Hermes' tags."""
    parsed = hermes.parse(text)
    if isinstance(parsed, ParseFailure):
        reading.note("call_syntax", f"{parsed.reason} (character {parsed.offset})", len(reading.messages))
        reading.say("assistant", text, **more)
    elif parsed.calls:
        reading.call(list(parsed.calls), parsed.content, **more)
    else:
        reading.say("assistant", text, **more)


def _bracketed(reading: _Reading, text: str, more: dict[str, Any]) -> None:
    """Prose, or calls as [name(argument=value), ...]."""
    parsed = toolace.parse(text)
    if isinstance(parsed, ParseFailure):
        reading.note("call_syntax", f"{parsed.reason} (character {parsed.offset})", len(reading.messages))
        reading.say("assistant", text, **more)
    elif parsed.calls:
        reading.call(list(parsed.calls), parsed.content, **more)
    else:
        reading.say("assistant", text, **more)


def _results(reading: _Reading, text: str) -> None:
    """One result, several between Hermes' tags, or ToolACE's list of {"name", "results"}."""
    if tagged := _RESPONSE.findall(text):
        for inside in tagged:
            _result(reading, inside)
        return
    try:
        value = load_json(text.strip())
    except (ValueError, RecursionError):
        reading.result(text)
        return
    if (
        isinstance(value, list)
        and value
        and all(
            isinstance(item, dict) and "name" in item and ("results" in item or "content" in item) for item in value
        )
    ):
        for item in value:
            _named(reading, item)
    else:
        _result(reading, text)


def _result(reading: _Reading, text: str) -> None:
    try:
        value = load_json(text.strip())
    except (ValueError, RecursionError):
        reading.result(text)
        return
    if isinstance(value, dict) and set(value) in (
        {"name", "content"},
        {"name", "results"},
        {"tool_call_id", "name", "content"},
    ):
        _named(reading, value)
    else:
        reading.result(text)


def _named(reading: _Reading, item: dict[str, Any]) -> None:
    inside = item.get("results", item.get("content"))
    text = inside if isinstance(inside, str) else json.dumps(inside, ensure_ascii=False)
    reading.result(text, str(item["name"]))


def _xlam(row: Mapping[str, Any]) -> Dialog:
    reading = _Reading("xlam")
    query = row.get("query", row.get("question"))
    if not isinstance(query, str):
        raise Unreadable(f"no text 'query' (there is: {', '.join(list(map(str, row))[:8]) or 'nothing'})")
    reading.say("user", query)
    calls = [reading.tool_call(item) for item in _list(row, "answers", "answer")]
    if kept := [call for call in calls if call]:
        reading.call(kept)
    return reading.dialog(row, row.get("tools"))


FORMATS: dict[str, Callable[[Mapping[str, Any]], Dialog]] = {
    "toolace": _toolace, "openai": _openai, "sharegpt": _sharegpt, "hermes": _hermes, "xlam": _xlam,
}  # fmt: skip
"""Format -> the reader of one row."""


def read(row: Any, format: str) -> Dialog:
    """The dialog of a row; its id is the row's, or empty.

    Raises:
        Unreadable: the row is no dialog of the format.
    """
    if not isinstance(row, dict):
        raise Unreadable(f"{type(row).__name__}, not an object")
    try:
        return FORMATS[format](row)
    except Unreadable:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        raise Unreadable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError, IndexError) as error:
        raise Unreadable(f"{type(error).__name__}: {str(error)[:200]}") from error
