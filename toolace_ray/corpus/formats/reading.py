"""Rows of trainers' formats on their way to dialogs: what the readers of all formats share.

Invariants: a row gives a Reading or an Unreadable with its reason, never another exception; what a row says in a form of its own
(a call that can't be parsed, arguments encoded twice, another schema dialect) is a note for the rules to tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolace_ray.corpus.formats.tools import tool_of
from toolace_ray.dlv.view import Note
from toolace_ray.records.api import Api
from toolace_ray.records.dialog import Dialog, Message, ToolCall
from toolace_ray.records.json import load_json
from toolace_ray.records.kinds import DialogType
from toolace_ray.text.dates import dates_in
from toolace_ray.text.language import language

MAX_TOOLS, MAX_MESSAGES, MAX_CALLS = 256, 1024, 64
MAX_CHARS = 1 << 20  # of a row
ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
    "model": "assistant", "tool": "tool", "function": "tool", "observation": "tool", "function_response": "tool",
    "tool_response": "tool", "ipython": "tool", "environment": "tool", "function_call": "assistant", "tool_call": "assistant",
}  # fmt: skip
_ARGUMENTS = ("arguments", "parameters", "input", "args")  # where a call has its values
_CALLS_BESIDE = ("tool_calls", "function_call", "function_calls", "calls")  # fields of a row that no format knows
_TODAY = re.compile(r"\b(?:today|current (?:date|day|time)|date|now)\b", re.IGNORECASE)


class Unreadable(ValueError):
    """Why a row is no dialog of its format."""


@dataclass(frozen=True)
class Reading:
    """What a reader makes of a row: the dialog (its id is the row's, or empty), notes for the rules, and where each message
    stands in the row's list of turns."""

    dialog: Dialog
    notes: tuple[Note, ...] = ()
    places: tuple[int, ...] = ()


class RowReader:
    """A dialog on its way, in one of the formats."""

    def __init__(self, format: str) -> None:
        self.format = format
        self.messages: list[Message] = []
        self.notes: list[Note] = []
        self.place = 0  # in the row's list of turns
        self._places: list[int] = []
        self._waiting: list[ToolCall] = []
        self._calls = 0
        self._ids: set[str] = set()  # of all calls
        self._earlier_ids: set[str] = set()  # of the calls before the latest request
        self._with_nulls: set[str] = set()  # names of calls whose arguments are an object with nulls
        self._given: dict[str, str] = {}  # the latest calls' ids as the row has them -> theirs in the dialog

    def note(self, rule: str, evidence: str, turn: int | None = None) -> None:
        """Keep what the named rule is to tell."""
        self.notes.append(Note(rule, turn, evidence[:300]))

    def add_message(self, role: str, text: str, **fields: Any) -> None:
        """Add a message; a system message right behind another (a developer's) goes on with it."""
        if role == "system" and self.messages and self.messages[-1].role == "system":
            joined = "\n\n".join(filter(None, (self.messages[-1].content, text)))
            self.messages[-1] = self.messages[-1].model_copy(update={"content": joined})
            return
        if role == "user":
            self._earlier_ids = set(self._ids)
        self._add(role=role, content=text, **fields)

    def add_calls(self, calls: list[ToolCall], text: str = "", **fields: Any) -> None:
        """Add a turn of calls; those without an id get one."""
        if len(calls) > MAX_CALLS:
            raise Unreadable(f"{len(calls)} calls in one turn, the limit is {MAX_CALLS}")
        with_ids, given = [], {}
        for call in calls:
            identifier = call.id or f"call_{self._calls}"
            if identifier in self._earlier_ids:  # many sets count anew at each request
                identifier = f"{identifier}.{len(self.messages)}"
            if call.id:
                given[call.id] = identifier
            with_ids.append(call if call.id == identifier else call.model_copy(update={"id": identifier}))
            self._calls += 1
        self._ids.update(call.id for call in with_ids)
        self._given = given
        self._waiting = list(with_ids)
        self._add(role="assistant", content=text, tool_calls=tuple(with_ids), **fields)

    def add_result(self, text: str, name: str | None = None, call_id: str | None = None) -> None:
        """Add a result; one without an id belongs to the first call that waits."""
        call_id = self._given.get(call_id, call_id) if call_id else call_id
        call = self._waiting.pop(0) if self._waiting else None
        self._add(
            role="tool",
            content=text,
            tool_call_id=call_id or (call.id if call else None),
            name=name or (call.name if call and not call_id else None),
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
        key = next((key for key in _ARGUMENTS if key in function), None)
        given = function[key] if key else None
        unread = [other for other, value in function.items() if other != key and isinstance(value, dict) and value]
        if unread:
            self.note(
                "call_syntax",
                f"the call of {name} has values under {unread[0]!r}, which is not read",
                len(self.messages),
            )
        arguments = self.arguments(name, given)
        if arguments is None:
            return None
        if isinstance(given, dict) and None in arguments.values():
            self._with_nulls.add(name)
        identifier = item.get("id")
        return ToolCall(id=identifier if isinstance(identifier, str) else "", name=name, arguments=arguments)

    def reading(self, row: Mapping[str, Any], tools: Any) -> Reading:
        """What was read, with the tools that are given."""
        apis = tuple(self._tools(tools))
        if not any(message.tool_calls for message in self.messages):
            for key in _CALLS_BESIDE:
                if row.get(key) not in (None, "", "[]", [], {}):
                    self.note("call_syntax", f"calls under {key!r} beside the turns, which is not read")
        self._leave_out_nulls(apis)
        kind = _dialog_type(self.messages)
        identifier = row.get("id")
        dialog = Dialog(
            id=str(identifier)[:200] if isinstance(identifier, str | int) else "",
            type=kind,
            kind=f"{kind}.imported",
            attempt=0,
            seed=0,
            today=_stated_today(self.messages),
            tools=apis,
            messages=tuple(self.messages),
            meta={
                "format": self.format,
                "language": language(
                    " ".join(item.content[:2000] for item in self.messages if item.role in ("user", "assistant"))
                ),
            },
        )
        return Reading(dialog, tuple(self.notes), tuple(self._places))

    def _leave_out_nulls(self, apis: tuple[Api, ...]) -> None:
        """Take away what Arrow fills in where calls of several tools stand in one column: nulls for the other tools' parameters."""
        if not self._with_nulls:
            return
        properties = {api.name: api.properties for api in apis if api.name in self._with_nulls}
        for index, message in enumerate(self.messages):
            calls = []
            for call in message.tool_calls:
                known = properties.get(call.name)
                filled = [key for key, value in call.arguments.items() if value is None and known and key not in known]
                if filled:
                    self.note(
                        "schema_dialect",
                        f"{call.name}: nulls as Arrow fills them in, left out: {', '.join(filled)}",
                        index,
                    )
                    call = call.model_copy(
                        update={"arguments": {k: v for k, v in call.arguments.items() if k not in filled}}
                    )
                calls.append(call)
            if tuple(calls) != message.tool_calls:
                self.messages[index] = message.model_copy(update={"tool_calls": tuple(calls)})

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
            api, notes = tool_of(item)
            for rule, evidence in notes:
                self.note(rule, evidence)
            if api is not None:
                yield api


def _dialog_type(messages: list[Message]) -> DialogType:
    """A dialog's type, going by who says what."""
    turns = [message for message in messages if message.tool_calls]
    requests = sum(message.role == "user" for message in messages)
    if not turns:
        return "non_tool"
    if requests > 1:
        first = next(message for message in messages if message.role == "assistant")
        opens_with_question = not first.tool_calls and first.content.rstrip().endswith("?")
        return "clarification" if opens_with_question and requests == 2 else "multi_turn"
    if len(turns) > 1:
        return "dependent"
    return "parallel" if len(turns[0].tool_calls) > 1 else "single"


def _stated_today(messages: list[Message]) -> str:
    """The day that the system prompt or the first request gives as today's; "" where none does."""
    for message in messages[:2]:
        for match in _TODAY.finditer(message.content[:20000]):
            nearby = message.content[match.end() : match.end() + 60]
            dates = {
                item.date
                for item in dates_in(nearby, None)
                if item.date and re.search(r"\d{4}", nearby[item.start : item.end])
            }
            if dates and (message.role == "system" or match.group().lower() != "date"):
                return min(date.isoformat() for date in dates if date)
    return ""


def first_list(row: Mapping[str, Any], *keys: str) -> tuple[str, list[Any]]:
    """The first of the keys under which a row has a list, or one as JSON, and the list. Raises Unreadable."""
    for key in keys:
        value = row.get(key)
        if isinstance(value, str) and value.lstrip().startswith("["):
            value = load_json(value, max_chars=MAX_CHARS)
        if isinstance(value, list):
            return key, value
    keys_there = ", ".join(list(map(str, row))[:8]) or "nothing"
    raise Unreadable(f"no list {' or '.join(map(repr, keys))} (there is: {keys_there})")
