"""The records of the product: APIs, tool calls, messages, dialogs and verdicts.

Invariants: a record never changes after it is made; an unknown field is an error; arguments are JSON values (no NaN, no
infinity, no lone surrogates); an API's id is the hash of what a model sees of it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SCHEMA_VERSION: Literal[1] = 1
MAX_DEPTH = 64
MAX_BITS = 512  # of an integer; larger ones are no values, and Python refuses to write them out

DialogType = Literal["single", "parallel", "dependent", "non_tool", "clarification", "recovery", "multi_turn"]
DIALOG_TYPES: tuple[DialogType, ...] = get_args(DialogType)
LONGEST_DIALOG = 12  # messages of the user
VARIANTS: dict[DialogType, tuple[str, ...]] = {
    "single": ("plain", "nested", "error", "empty"),
    "parallel": ("same_api", "several_apis"),
    "dependent": ("chain_2", "chain_3", "chain_4", "chain_5"),
    "non_tool": ("no_function", "missing", "small_talk", "knowledge"),
    "clarification": ("ask",),
    "recovery": ("retry", "correct"),
    "multi_turn": tuple(f"turns_{number}" for number in range(2, LONGEST_DIALOG + 1)),
}
"""Type -> its features. Accepted dialogs are counted by type and feature, so that no easy one crowds the others out."""
PLANNED: dict[str, DialogType] = {f"{kind}.{variant}": kind for kind in DIALOG_TYPES for variant in VARIANTS[kind]}
"""Kind (type and feature, "parallel.same_api") -> the type."""
TWINS = ("non_tool.twin_tool", "non_tool.twin_value")
"""Kinds of dialogs that are made from others: without the tool that is called, without a value that it needs."""
IMPORTED: dict[str, DialogType] = {f"{kind}.imported": kind for kind in DIALOG_TYPES}
"""Kinds of dialogs that somebody else made: their types are read from their structure."""
KINDS: dict[str, DialogType] = {**PLANNED, **dict.fromkeys(TWINS, "non_tool"), **IMPORTED}
"""All kinds -> their types."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: the same value always gives the same text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(*parts: str, length: int = 16) -> str:
    """The first `length` hexadecimal digits of the SHA-256 over the parts; parts can't run into each other."""
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def check_json(value: Any, depth: int = 0) -> Any:
    """Return `value` if it is plain JSON no deeper than MAX_DEPTH; raise ValueError otherwise."""
    if depth > MAX_DEPTH or (depth == MAX_DEPTH and isinstance(value, dict | list) and value):
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"object key {key!r} is no string")
            # Most keys and values are plain strings: a call for each would cost more than what it looks at.
            if not key.isascii():
                check_json(key, depth + 1)
            if type(item) is not str or not item.isascii():
                check_json(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            if type(item) is not str or not item.isascii():
                check_json(item, depth + 1)
    elif isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("a string holds a lone surrogate")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a JSON number")
    elif isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise ValueError(f"an integer of {value.bit_length()} bits")
    elif value is not None:
        raise ValueError(f"{type(value).__name__} is not a JSON type")
    return value


Json = Annotated[Any, AfterValidator(check_json)]
Text = Annotated[str, AfterValidator(check_json)]
JsonObject = Annotated[dict[str, Any], AfterValidator(check_json)]


class Record(BaseModel):
    """Base of all records: frozen and strict about field names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ApiError(Record):
    """An error that an API documents: what a failing call returns."""

    code: Text
    message: Text


TRANSIENT = (
    ApiError(code="rate_limited", message="Too many requests. Try again in a moment."),
    ApiError(code="unavailable", message="The service is busy. Try again in a moment."),
    ApiError(code="timeout", message="The service did not answer in time."),
)
"""Errors that any service may give, whatever it documents; the same call may succeed when it is made again."""


def is_error(result: Any) -> bool:
    """True for a result that tells of an error: an object of `error` alone, which has a code."""
    return (
        isinstance(result, dict)
        and set(result) == {"error"}
        and isinstance(result["error"], dict)
        and "code" in result["error"]
    )


class Lineage(Record):
    """Where an API comes from.

    `parent` is the id of the example that its writer was shown; `indicators` were applied in this order; `dropped` are
    those that were tried and failed, with their reasons; `documents` are ids; `server` and `tool` are the names of a live
    MCP server and of its tool.
    """

    parent: str | None = None
    generation: int = 0
    indicators: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    source: Literal["synthesised", "openapi", "mcp"] = "synthesised"
    server: str = ""
    tool: str = ""


class Api(Record):
    """One callable API. `parameters` and `returns` are JSON Schemas (draft 2020-12); `parameters` is an object schema."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: Text
    description: Text
    parameters: JsonObject
    returns: JsonObject
    errors: tuple[ApiError, ...] = ()
    side_effects: bool = False
    domain: tuple[Text, ...] = ()
    functionalities: tuple[str, ...] = ()
    lineage: Lineage = Lineage()
    example_arguments: JsonObject | None = None
    example_return: Json = None

    @cached_property
    def id(self) -> str:
        """Content hash of name, description, parameters and returns: 16 hexadecimal digits."""
        return digest(self.name, self.description, canonical_json(self.parameters), canonical_json(self.returns))

    @cached_property
    def content(self) -> str:
        """Hash of all that the gate looks at: the id's parts and the examples."""
        return digest(self.id, canonical_json([self.example_arguments, self.example_return]))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Api:
        """See pydantic; the copy has an id of its own."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("id", None)
        copied.__dict__.pop("content", None)
        return copied

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the required parameters, as the schema lists them."""
        return tuple(self.parameters.get("required", ()))

    @property
    def properties(self) -> dict[str, Any]:
        """Parameter name -> its schema."""
        return self.parameters.get("properties") or {}

    def tool(self) -> dict[str, Any]:
        """What the assistant is shown of the API: name, description, parameters."""
        return {"name": self.name, "description": self.description, "parameters": self.parameters}


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


class Verdict(Record):
    """One finding of the rule layer or of an expert. `turn` is a message index, None for the dialog as a whole."""

    stage: Literal["generate", "rules", "experts", "surplus", "gate", "source", "human"]
    rule: str
    severity: Literal["reject", "mask", "warn"] = "reject"
    turn: int | None = None
    evidence: str = ""


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
        fields = json.loads(text)
        if isinstance(fields, dict) and isinstance(fields.get("tools"), list):
            fields["tools"] = tuple(map(_api_of, fields["tools"]))
        return cls.model_validate(fields)


_APIS: dict[str, list[tuple[Any, Api]]] = {}  # name -> records with what they were made of
_KEPT = 1 << 13


def _api_of(fields: Any) -> Api:
    """An API from its fields; equal fields give the same record."""
    name = fields.get("name") if isinstance(fields, dict) else None
    if not isinstance(name, str):
        return Api.model_validate(fields)
    kept = _APIS.get(name, ())
    for known, api in kept:
        if known == fields:
            return api
    api = Api.model_validate(fields)
    if len(_APIS) >= _KEPT:
        _APIS.clear()
    _APIS[name] = [(fields, api), *kept[:7]]
    return api
