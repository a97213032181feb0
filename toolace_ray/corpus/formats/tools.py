"""Tools of somebody else's row as our records."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from toolace_ray.records.api import Api
from toolace_ray.schemas.dialects import object_schema, standard_schema

ToolReading = tuple[Api | None, tuple[tuple[str, str], ...]]
_READINGS: dict[bytes, ToolReading] = {}  # a tool as JSON -> what it is read as
_MOST_READINGS = 1 << 13


def tool_of(item: Any) -> ToolReading:
    """What a tool is read as. Kept: a set's rows share their tools, and their records' hashes cost more than a look.

    Kept by the tool's JSON: in Python a default of 1 equals one of true.
    """
    key = to_json(item)
    reading = _READINGS.get(key)
    if reading is None:
        reading = _read_tool(item)
        if len(_READINGS) >= _MOST_READINGS:
            _READINGS.clear()
        _READINGS[key] = reading
    return reading


def _read_tool(item: Any) -> ToolReading:
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
        changed: set[str] = set()
        schema = standard_schema(object_schema(schema, changed) if key[0] == "parameters" else schema, changed)
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
