"""The API record. Invariant: an API's id is the hash of what a model sees of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from toolace_ray.records.base import SCHEMA_VERSION, Record
from toolace_ray.records.json import Json, JsonObject, Text, canonical_json, digest


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
    MCP server and of its tool. `operation` is what an imported API is in its document (`GET /rooms/{room}`, or a tool's or
    function's name); `notes` say what its import left out, translated or made up. `undescribed` are the places
    (`rooms[].name`, "" for the API itself) that its document does not describe and code did; `written` are those of them that
    a model described instead.
    """

    parent: str | None = None
    generation: int = 0
    indicators: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    source: Literal["synthesised", "openapi", "mcp", "tools", "python"] = "synthesised"
    server: str = ""
    tool: str = ""
    operation: Text = ""
    notes: tuple[Text, ...] = ()
    undescribed: tuple[Text, ...] = ()
    written: tuple[Text, ...] = ()


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
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("id", None)
        copy.__dict__.pop("content", None)
        return copy

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the required parameters, as the schema lists them; what is no name in a stranger's list is the gate's to tell."""
        listed = self.parameters.get("required")
        return tuple(name for name in listed if isinstance(name, str)) if isinstance(listed, list) else ()

    @property
    def properties(self) -> dict[str, Any]:
        """Parameter name -> its schema."""
        return self.parameters.get("properties") or {}

    def tool(self) -> dict[str, Any]:
        """What the assistant is shown of the API: name, description, parameters."""
        return {"name": self.name, "description": self.description, "parameters": self.parameters}
