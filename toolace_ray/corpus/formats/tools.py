"""Tools of somebody else's row as our records; the dialects of schemas that published sets are written in."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from toolace_ray.records.api import Api
from toolace_ray.schemas.walk import rebuild

_TYPES = {
    "dict": "object", "map": "object", "hashmap": "object", "float": "number", "double": "number", "decimal": "number", "int": "integer",
    "long": "integer", "short": "integer", "byte": "integer", "str": "string", "char": "string", "text": "string", "list": "array",
    "tuple": "array", "set": "array", "arraylist": "array", "bool": "boolean", "none": "null",
}  # fmt: skip
_JSON_TYPES = {"object", "number", "integer", "string", "array", "boolean", "null"}
ToolReading = tuple[Api | None, tuple[tuple[str, str], ...]]
_READINGS: dict[tuple[bytes, bool], ToolReading] = {}  # a tool as JSON, dialect -> what it is read as
_MOST_READINGS = 1 << 13


def tool_of(item: Any, dialect: bool) -> ToolReading:
    """What a tool is read as. Kept: a set's rows share their tools, and their records' hashes cost more than a look.

    Kept by the tool's JSON: in Python a default of 1 equals one of true.
    """
    key = to_json(item), dialect
    reading = _READINGS.get(key)
    if reading is None:
        reading = _read_tool(item, dialect)
        if len(_READINGS) >= _MOST_READINGS:
            _READINGS.clear()
        _READINGS[key] = reading
    return reading


def _read_tool(item: Any, dialect: bool) -> ToolReading:
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
            schema = _standard_schema(_object_schema(schema, changed) if key[0] == "parameters" else schema, changed)
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


def _object_schema(schema: dict[str, Any], changed: set[str]) -> dict[str, Any]:
    """xLAM's way of parameters, {name: {type: "str, optional", description, default}}, as an object schema."""
    if not schema:
        return {"type": "object", "properties": {}}
    if schema.get("type") in ("object", "dict") or not all(isinstance(item, dict) for item in schema.values()):
        return schema
    properties, required = {}, []
    for name, item in schema.items():
        kind = str(item.get("type", ""))
        bare_type = re.sub(
            r",?\s*optional\b|\boptional\[(.*)\]", lambda m: m[1] or "", kind, flags=re.IGNORECASE
        ).strip()
        properties[name] = {**item, **_typed_as(bare_type)}
        if bare_type == kind and "default" not in item:
            required.append(name)
    changed.add("parameters without an object schema around them")
    return {"type": "object", "properties": properties, "required": required}


def _typed_as(kind: str) -> dict[str, Any]:
    """A Python type's name as a schema: "List[str]" is an array of strings."""
    match = re.fullmatch(r"(\w+)\s*(?:\[(.*)\])?", kind.strip())
    if match is None:
        return {"type": kind}
    base = match[1].lower()
    if base in ("list", "set", "tuple", "array", "sequence"):
        inner = _typed_as(match[2].split(",")[0]) if match[2] else {}
        return {"type": "array", "items": inner if inner.get("type") != "any" else {}}
    if base in ("dict", "mapping"):
        return {"type": "object"}
    return {"type": match[1]}


def _standard_schema(schema: dict[str, Any], changed: set[str]) -> Any:
    """A schema with JSON Schema's names of types, at any depth; what was changed is added to `changed`."""
    return rebuild(schema, lambda item, _: _with_standard_types(item, changed))


def _with_standard_types(schema: Any, changed: set[str]) -> Any:
    if not isinstance(schema, dict):
        return schema
    standard = dict(schema)
    kind = standard.get("type")
    if isinstance(kind, str) and kind not in _JSON_TYPES:
        standard_type = kind.lower() if kind.lower() in _JSON_TYPES else _TYPES.get(kind.lower())
        if standard_type or kind.lower() in ("any", "object|null", ""):
            changed.add(f"type {kind!r} read as {standard_type or 'any'!r}")
            if standard_type:
                standard["type"] = standard_type
            else:
                del standard["type"]
    if "required" in standard and not isinstance(standard["required"], list):
        changed.add(f"required is {str(standard['required'])[:20]!r}, left out")
        del standard["required"]
    properties = standard.get("properties")
    if isinstance(properties, dict):
        marked = [name for name, item in properties.items() if isinstance(item, dict) and item.get("required") is True]
        if marked:
            standard["required"] = list(dict.fromkeys([*standard.get("required", ()), *marked]))
    return standard
