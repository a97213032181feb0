"""What a rule sees: a dialog with what several rules need, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from toolace_ray.config.tree import VerifyConfig
from toolace_ray.dlv.trace import result_value, trace
from toolace_ray.records.api import Api
from toolace_ray.records.dialog import Dialog, Message, Provenance, ToolCall
from toolace_ray.text.dates import Day, day

Finding = tuple[int | None, str]


class Note(NamedTuple):
    """A fault that the reader of a stranger's row saw and that the named rule reports; `turn` is a message index, None for the whole."""

    rule: str
    turn: int | None
    evidence: str


@dataclass(frozen=True)
class View:
    """A dialog with what several rules need, worked out once."""

    dialog: Dialog
    config: VerifyConfig = field(default_factory=VerifyConfig)
    notes: tuple[Note, ...] = ()
    _by_roles: dict[tuple[str, ...], list[tuple[int, Message]]] = field(default_factory=dict, repr=False)
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def apis(self) -> dict[str, Api]:
        """Tool name -> API."""
        return {api.name: api for api in self.dialog.tools}

    @cached_property
    def calls(self) -> list[tuple[int, ToolCall]]:
        """(message index, call) of every call, in order."""
        return [(index, call) for index, message in enumerate(self.dialog.messages) for call in message.tool_calls]

    @cached_property
    def provenance(self) -> tuple[Provenance, ...]:
        """One record for every argument leaf of every call, in the order of the messages."""
        return trace(self.dialog)

    @property
    def planned(self) -> bool:
        """True for dialogs that were made to a plan, which `meta` holds; false for a stranger's."""
        return not self.dialog.imported

    @property
    def english(self) -> bool:
        """False for dialogs that are marked as being in another language: rules on English words do not apply."""
        return self.dialog.meta.get("language", "English") == "English"

    @cached_property
    def today(self) -> Day:
        """The dialog's date; None where it has none, or none in ISO form."""
        return day(self.dialog.today)

    def once(self, name: str, make: Callable[[View], Any]) -> Any:
        """The result of `make(view)`, kept under `name` from the first time it is asked for."""
        if name not in self._made:
            self._made[name] = make(self)
        return self._made[name]

    def of(self, *roles: str) -> list[tuple[int, Message]]:
        """(index, message) of the messages of some roles."""
        if roles not in self._by_roles:
            self._by_roles[roles] = [
                (i, message) for i, message in enumerate(self.dialog.messages) if message.role in roles
            ]
        return self._by_roles[roles]

    def returned_by(self, turn: int) -> str:
        """The function whose result a message is, going by its name or its call's id; "a call" where neither tells."""
        message = self.dialog.messages[turn]
        named = {call.id: call.name for _, call in self.calls}.get(message.tool_call_id or "")
        return message.name or named or "a call"

    def noted(self, rule: str) -> Iterator[Finding]:
        """The reader's notes for one rule, as its findings."""
        return ((note.turn, note.evidence) for note in self.notes if note.rule == rule)

    @cached_property
    def system(self) -> str:
        """The content of the system messages, one after another; empty where there is none."""
        return "\n".join(message.content for _, message in self.of("system"))

    @cached_property
    def results(self) -> dict[int, Any]:
        """Message index -> value of a tool result; absent where it is no JSON."""
        return {index: value for index, message in self.of("tool") for value in result_value(message.content)}
