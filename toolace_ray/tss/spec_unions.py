"""Two schemas as one: what both let pass, null beside a value, a union of objects as one object.

Invariant: what is merged lets pass what the parts do together; where that can't be said in one schema, the parts stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolace_ray.tss.told import Derived

NULL = {"type": "null"}
_TEXTS = ("description", "default", "examples")


def with_null(schema: Any) -> Any:
    """A schema that lets null pass as well."""
    if not isinstance(schema, dict) or not schema:
        return schema
    result = dict(schema)
    kind = result.get("type")
    if isinstance(kind, str | list):
        kinds = [kind] if isinstance(kind, str) else kind
        result["type"] = kinds if "null" in kinds else [*kinds, "null"]
    if isinstance(result.get("enum"), list) and None not in result["enum"]:
        result["enum"] = [*result["enum"], None]
    if "const" in result:
        result["enum"] = [result.pop("const"), None]
    for key in ("anyOf", "oneOf"):
        if isinstance(result.get(key), list) and kind is None and NULL not in result[key]:
            result[key] = [*result[key], NULL]
    if "allOf" in result:
        text = {"description": result.pop("description")} if "description" in result else {}
        return {"anyOf": [result, NULL], **text}
    return result


def without_null(schema: Any) -> Any:
    """An optional value that generators write as "this or null, by default null": that it may be left out says the same."""
    if isinstance(schema, dict) and "default" in schema and schema["default"] is None:
        kind = schema.get("type")
        result = {key: value for key, value in schema.items() if key != "default"}
        if isinstance(kind, list) and "null" in kind and len(kind) == 2:
            result["type"] = next(item for item in kind if item != "null")
            if "enum" in result:
                result["enum"] = [value for value in result["enum"] if value is not None]
        for key in ("anyOf", "oneOf"):
            if isinstance(result.get(key), list):
                result[key] = [branch for branch in result[key] if branch != NULL]
        return result
    return schema


_MERGES: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
    "required": lambda first, second: list(dict.fromkeys([*first, *second])),
    "uniqueItems": lambda first, second: first or second,
    # In an allOf the word of one part forbids what the others add, which nobody means.
    "additionalProperties": lambda first, second: second if first is False else first,
}


def both(first: Any, second: Any) -> Any:
    """A schema for what both let pass: one where they can be merged, else an allOf."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        return False if first is False or second is False else first or second
    merged = dict(first)
    for key, value in second.items():
        if key not in first or first[key] == value:
            merged[key] = value
        elif key in _TEXTS:
            if isinstance(first[key], Derived) and not isinstance(value, Derived):  # a title is less than a description
                merged[key] = value
        elif key == "properties":
            names = dict.fromkeys([*first[key], *value])
            merged[key] = {
                name: both(first[key].get(name, {}), value[name]) if name in value else first[key][name]
                for name in names
            }
        elif key in _MERGES:
            merged[key] = _MERGES[key](first[key], value)
        elif key == "enum" and (common := [item for item in first[key] if item in value]):
            merged[key] = common
        elif key == "type" and (kinds := _common_types(first[key], value)):
            merged[key] = kinds[0] if len(kinds) == 1 else kinds
        else:
            texts = {word: merged[word] for word in _TEXTS if word in merged}
            return {"allOf": [first, second], **texts}
    return merged


def _common_types(first: Any, second: Any) -> list[str]:
    left, right = ([kind] if isinstance(kind, str) else list(kind) for kind in (first, second))
    return [kind for kind in left if kind in right or (kind == "integer" and "number" in right)] + [
        "integer" for kind in right if kind == "integer" and "number" in left and "integer" not in left
    ]


def flattened(schema: dict[str, Any]) -> dict[str, Any] | None:
    """An object schema whose union of objects is one set of properties with a choice of what is required; None where the
    alternatives disagree on a property, one is no object, or there are two unions.

    What the union lets pass, it lets pass, too: of a oneOf nothing but that one alternative holds can be kept, since what told
    the alternatives apart stands in their properties.
    """
    if isinstance(schema.get("anyOf"), list) and isinstance(schema.get("oneOf"), list):
        return None
    result = schema
    for key in ("anyOf", "oneOf"):
        branches = result.get(key)
        if not isinstance(branches, list):
            continue
        properties = dict(result.get("properties") or {})
        for branch in branches:
            if not isinstance(branch, dict) or branch.keys() - {
                "type",
                "properties",
                "required",
                "description",
                "additionalProperties",
            }:
                return None
            if branch.get("type", "object") != "object" or not ({"properties", "required"} & branch.keys()):
                return None
            for name, sub in (branch.get("properties") or {}).items():
                if properties.setdefault(name, sub) != sub:
                    return None
        choices = [{"required": list(branch.get("required") or ())} for branch in branches]
        if any(not set(choice["required"]) <= properties.keys() for choice in choices):
            return None
        rest = {word: value for word, value in result.items() if word != key}
        result = {**rest, "type": "object", "properties": properties}
        if all(choice["required"] for choice in choices):
            result["anyOf"] = choices
    return result if isinstance(result.get("properties"), dict) and "allOf" not in result else None
