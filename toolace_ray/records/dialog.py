"""The records of the product: APIs, tool calls, messages, dialogs and verdicts.

Invariants: a record never changes after it is made; an unknown field is an error; arguments are JSON values (no NaN, no
infinity, no lone surrogates); an API's id is the hash of what a model sees of it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import from_json, to_json

from toolace_ray.records.api import Api
from toolace_ray.records.base import SCHEMA_VERSION, Record
from toolace_ray.records.json import JsonObject, Text, canonical_json
from toolace_ray.records.kinds import IMPORTED, KINDS, DialogType
from toolace_ray.records.verdict import Verdict


class ToolCall(Record):
    """One call: `id` pairs it with its result; `arguments` is an object, never a string of JSON."""

    id: str = ""
    name: Text
    arguments: JsonObject

    def key(self) -> str:
        """The call without its id, normalised for comparison."""
        return canonical_json([self.name, self.arguments])


class Message(Record):
    """One message. `tool_call_id` and `name` belong to tool results; `train` false masks the turn from the loss.

    `thought` is what the assistant thought before it acted: kept aside, never part of `content`.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: Text = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    train: bool = True
    thought: Text | None = None


class Provenance(Record):
    """Where one argument value comes from.

    `path` is a JSON pointer into the call's arguments; `source` says how the value was traced; `message` is the index
    of the message it was found in (None for defaults).
    """

    call_id: str
    path: str
    source: Literal["literal", "normalised", "tool_output", "default", "none"]
    message: int | None = None


def _known_kind(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of dialog")
    return kind


class Dialog(Record):
    """One dialog. `tools` are the candidate APIs in the order shown; `today` is the dialog's date (ISO 8601), "" if unknown."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str
    type: DialogType
    kind: Annotated[str, AfterValidator(_known_kind)]
    attempt: int = Field(ge=0)
    seed: int
    today: str
    tools: tuple[Api, ...]
    messages: tuple[Message, ...]
    provenance: tuple[Provenance, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    meta: JsonObject = Field(default_factory=dict)

    @property
    def imported(self) -> bool:
        """True for a dialog that somebody else made: there is no plan that it must keep."""
        return self.kind in IMPORTED

    @classmethod
    def of(cls, text: str) -> Dialog:
        """A dialog from its JSON. Tools are kept by their text: dialogs share them, and their hashes cost more than a look.

        Raises:
            ValueError: the text is no JSON of a dialog.
        """
        fields = from_json(text, cache_strings="keys")
        if isinstance(fields, dict) and isinstance(fields.get("tools"), list):
            fields["tools"] = tuple(map(_api_of, fields["tools"]))
        return cls.model_validate(fields)


_APIS: dict[bytes, Api] = {}  # what a record was made of, as JSON -> the record
_KEPT = 1 << 13


def _api_of(fields: Any) -> Api:
    """An API from its fields; the same fields give the same record. Equal is not the same: 1, 1.0 and true are equal in Python."""
    text = to_json(fields)
    api = _APIS.get(text)
    if api is None:
        api = Api.model_validate(fields)
        if len(_APIS) >= _KEPT:
            _APIS.clear()
        _APIS[text] = api
    return api
