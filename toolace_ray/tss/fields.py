"""One parameter or result as a weak model can write it: a flat form, and the schema that code makes of it."""

from __future__ import annotations

from typing import Any

from toolace_ray.records.api import Api
from toolace_ray.tss.sense import whole

IDENTIFIER = {"type": "string", "pattern": "^[a-z][a-z0-9_]{2,30}$"}
MAX_SENTENCE, MAX_DESCRIPTION, MAX_FIELDS = 90, 140, 5
SENTENCE = {"type": "string", "minLength": 8, "maxLength": MAX_SENTENCE}
DESCRIPTION = {"type": "string", "minLength": 12, "maxLength": MAX_DESCRIPTION}
EXAMPLE = {"type": "string", "minLength": 1, "maxLength": 30}
NUMBER = {"type": "integer", "minimum": 0, "maximum": 99999}


def _variant(kind: str, example: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One parameter or result of a type: the type decides what its example looks like."""
    fields = {"name": IDENTIFIER, "description": SENTENCE, "type": {"const": kind}, **more, "example": example}
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def field_schema(**more: Any) -> dict[str, Any]:
    """The decoding schema of one field of an item or a result; with `more` (such as `required`) it is a parameter and may state options or bounds."""
    bounds = {"minimum": NUMBER, "maximum": NUMBER} if more else {}
    options = {"options": {"type": "array", "maxItems": 6, "items": EXAMPLE}} if more else {}
    return {
        "anyOf": [
            _variant("string", EXAMPLE, **more, **options),
            _variant("integer", NUMBER, **more, **bounds),
            _variant("number", {"type": "number"}, **more, **bounds),
            _variant("boolean", {"type": "boolean"}, **more),
        ]
    }


def property_of(item: dict[str, Any]) -> dict[str, Any]:
    """The schema of one field. Raises ValueError where its example is empty."""
    kind, value = item["type"], item["example"]
    if isinstance(value, str) and not (value := value.strip()):
        raise ValueError(f"the example of {item['name']} is empty")
    schema: dict[str, Any] = {"type": kind, "description": whole(item["description"], MAX_SENTENCE)}
    low, high = item.get("minimum", 0), item.get("maximum", 0)
    if low < high and low <= value <= high:  # writers that have no bounds to give write two equal ones
        schema |= {"minimum": low, "maximum": high}
    options = list(dict.fromkeys(option.strip() for option in item.get("options", ()) if option.strip()))
    if len(options) > 1:
        schema["enum"] = options
        value = value if value in options else options[0]
    return {**schema, "examples": [value]}


def object_schema(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    """An object schema that knows its properties; all of them are required unless told otherwise."""
    required = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def object_of(fields: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An object schema of some fields, and an example of it. Raises ValueError where two share a name."""
    properties = {item["name"]: property_of(item) for item in fields}
    if len(properties) < len(fields):
        raise ValueError("two fields share a name")
    example = {name: schema["examples"][0] for name, schema in properties.items()}
    return object_schema(properties, list(properties)), example


def flat(api: Api) -> dict[str, Any] | None:
    """An API in the writer's own form, as an example to show; None where it can't be written so.

    Only what is scalar is shown: the form knows nothing else, and richer schemas come from indicators.
    """
    parameters = _flat(api.parameters, True)
    returns = _flat(api.returns, False)
    if not parameters or not returns or len(api.description) > MAX_DESCRIPTION:
        return None
    return {
        "name": api.name,
        "description": api.description,
        "parameters": parameters[:MAX_FIELDS],
        "returns": returns[: MAX_FIELDS - 1],
        "changes_state": api.side_effects,
    }


def _flat(schema: dict[str, Any], parameter: bool) -> list[dict[str, Any]]:
    fields = []
    for name, below in (schema.get("properties") or {}).items():
        examples = (below.get("examples") or below.get("enum") or []) if isinstance(below, dict) else []
        if not isinstance(below, dict) or below.get("type") not in ("string", "integer", "number", "boolean"):
            continue
        if (
            not examples
            or len(str(below.get("description", ""))) > MAX_SENTENCE
            or len(str(examples[0])) > MAX_SENTENCE
        ):
            continue
        if len(str(below.get("enum", ""))) > MAX_DESCRIPTION:
            continue
        field = {"name": name, "description": below.get("description", ""), "type": below["type"]}
        if parameter:
            field["required"] = name in schema.get("required", ())
            field |= {key: below[key] for key in ("minimum", "maximum") if key in below}
            field |= {"options": below.get("enum", [])} if below["type"] == "string" else {}
        fields.append({**field, "example": examples[0]})
    return fields
