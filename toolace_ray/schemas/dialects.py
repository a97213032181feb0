"""The dialects of schemas that tools are written in, as JSON Schema of draft 2020-12: other names of types, older drafts, nulls.

Invariant: what is changed is told, in words; what is known to nobody stays as it is, for the gate to refuse.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from toolace_ray.records.json import check_json
from toolace_ray.schemas.walk import rebuild

_TYPES = {
    "dict": "object", "map": "object", "hashmap": "object", "float": "number", "double": "number", "decimal": "number", "int": "integer",
    "long": "integer", "short": "integer", "byte": "integer", "str": "string", "char": "string", "text": "string", "list": "array",
    "tuple": "array", "set": "array", "arraylist": "array", "bool": "boolean", "none": "null", "nonetype": "null", "uuid": "string",
}  # fmt: skip
_MAX_TYPE, _MAX_DEPTH = 4000, 8  # characters of a type that is read as Python's, and how deep it may nest
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_NULLABLE = {"default", "const", "example"}  # keywords whose value may be null
_JSON_TYPES = {"object", "number", "integer", "string", "array", "boolean", "null"}
_OPTIONAL = re.compile(r"\boptional\b(?!\[)", re.IGNORECASE)  # as xLAM marks a parameter: "int, optional"


def object_schema(schema: dict[str, Any], changed: set[str]) -> dict[str, Any]:
    """xLAM's way of parameters, {name: {type: "str, optional", description, default}}, as an object schema."""
    if not schema:
        return {"type": "object", "properties": {}}
    if isinstance(schema.get("type"), str) or not all(isinstance(item, dict) for item in schema.values()):
        return schema
    if "properties" in schema:
        changed.add("parameters without their type read as 'object'")
        return {"type": "object", **schema}
    properties, required = {}, []
    for name, item in schema.items():
        kind = str(item.get("type", ""))
        bare_type = _without_optional(kind)
        typed = _typed_as(bare_type)
        properties[name] = {
            key: value
            for key, value in item.items()
            if key != "type" and (key != "required" or isinstance(value, list))
        } | typed
        if typed != {"type": kind}:
            changed.add(f"type {kind!r} read as {typed.get('type', 'any') if set(typed) <= {'type'} else typed!r}")
        optional = bare_type != kind or kind.lower().startswith("optional[") or "default" in item
        if item.get("required") is True or (item.get("required") is not False and not optional):
            required.append(name)
    changed.add("parameters without an object schema around them")
    return {"type": "object", "properties": properties, "required": required}


def _without_optional(kind: str) -> str:
    """A type without the mark that its parameter may be left out, and without the comma before it."""
    *before, rest = _OPTIONAL.split(kind)
    return "".join([*(part.rstrip().removesuffix(",") for part in before), rest]).strip()


def json_type(name: str) -> str | None:
    """JSON Schema's name of a type that is written in another way; None for one that nobody knows."""
    lower = name.strip().lower()
    return lower if lower in _JSON_TYPES else _TYPES.get(lower)


def _split(text: str, sign: str) -> list[str]:
    """The parts between signs that stand in no bracket and no quotation."""
    parts, start, depth, quote = [], 0, 0, ""
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(character, 0) if not quote else 0
        if character == sign and depth == 0 and not quote:
            parts.append(text[start:at])
            start = at + 1
    return [part.strip() for part in (*parts, text[start:])]


class _TooDeep(ValueError):
    pass


def _typed_as(kind: str) -> dict[str, Any]:
    """A Python type's name as a schema: "List[str]" is an array of strings, "Optional[int]" an integer or null; one that is
    too long or too deep stays as a whole, since of what it holds each part would be read anew."""
    try:
        return _read_type(kind, 0) if len(kind) <= _MAX_TYPE else {"type": kind}
    except _TooDeep:
        return {"type": kind}


def _read_type(kind: str, depth: int) -> dict[str, Any]:
    if depth > _MAX_DEPTH:
        raise _TooDeep
    kind = kind.strip()
    choices = _split(kind, "|")
    match = re.fullmatch(r"(?:typing\.)?(\w+)\s*(?:\[(.*)\]|\((.*)\))?", kind, re.DOTALL)  # API-Bank has list(str)
    if match is None and len(choices) == 1:
        return {"type": kind}
    if len(choices) > 1 or match is None:
        return _any_of(choices, depth)
    base, inner = match[1].lower(), match[2] or match[3]
    if base in ("list", "set", "frozenset", "tuple", "array", "sequence", "iterable"):
        return {"type": "array", "items": _read_type(_split(inner, ",")[0], depth + 1) if inner else {}}
    if base in ("dict", "mapping"):
        return {"type": "object"}
    if base == "any":
        return {}
    if base == "optional" and inner:
        return _any_of([inner, "None"], depth)
    if base == "union" and inner:
        return _any_of(_split(inner, ","), depth)
    if base == "literal" and inner:
        try:
            return {"enum": check_json(list(ast.literal_eval(f"({inner},)")))}
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return {"type": kind}
    return {"type": json_type(match[1]) or match[1]} if inner is None else {"type": kind}


def _any_of(kinds: list[str], depth: int) -> dict[str, Any]:
    schemas = [_read_type(item, depth + 1) for item in kinds]
    if {} in schemas:
        return {}
    alternatives = [part for item in schemas for part in (item["anyOf"] if set(item) == {"anyOf"} else [item])]
    if not all(set(item) == {"type"} and _JSON_TYPES.issuperset(_types(item)) for item in alternatives):
        return {"anyOf": alternatives}
    return {"type": list(dict.fromkeys(name for item in alternatives for name in _types(item)))}


def _types(schema: dict[str, Any]) -> list[str]:
    kind = schema["type"]
    return kind if isinstance(kind, list) else [kind]


def standard_schema(schema: dict[str, Any], changed: set[str]) -> Any:
    """A schema with JSON Schema's names of types, at any depth; what was changed is added to `changed`."""
    return rebuild(schema, lambda item, _: _with_standard_types(item, changed))


def _with_standard_types(schema: Any, changed: set[str]) -> Any:
    if not isinstance(schema, dict):
        return schema
    standard = {key: value for key, value in schema.items() if value is not None or key in _NULLABLE}
    properties = standard.get("properties")
    if isinstance(properties, dict) and None in properties.values():
        standard["properties"] = {name: item for name, item in properties.items() if item is not None}
    if len(standard) < len(schema) or standard.get("properties") != properties:
        changed.add("nulls as Arrow fills them in, left out")
    _rewrite_type(standard, changed)
    _rewrite_counts(standard, changed)
    _rewrite_older_drafts(standard, changed)
    if "required" in standard and not isinstance(standard["required"], list):
        if isinstance(
            standard["required"], bool
        ):  # as draft 3 has it: the object around it lists what it needs, see below
            changed.add("required beside a property read as its object's")
        else:
            changed.add(f"required is {str(standard['required'])[:20]!r}, left out")
        del standard["required"]
    properties = standard.get("properties")
    if isinstance(properties, dict):
        marked = [name for name, item in properties.items() if isinstance(item, dict) and item.get("required") is True]
        if marked:
            standard["required"] = list(dict.fromkeys([*standard.get("required", ()), *marked]))
    return standard


def _rewrite_type(standard: dict[str, Any], changed: set[str]) -> None:
    """Put JSON Schema's types for others' names of them."""
    kind = standard.get("type")
    if isinstance(kind, list) and all(isinstance(item, str) for item in kind):
        types = [json_type(item) or item for item in kind]
        if types != kind:
            changed.add(f"type {kind!r} read as {types!r}")
            standard["type"] = types
    if not isinstance(kind, str) or kind in _JSON_TYPES:
        return
    bare = _without_optional(kind)
    typed = {} if bare.lower() in ("any", "") else {"type": known} if (known := json_type(bare)) else _typed_as(bare)
    if typed != {"type": kind}:
        changed.add(f"type {kind!r} read as {typed.get('type', 'any') if set(typed) <= {'type'} else typed!r}")
        del standard["type"]
        standard.update(typed)


def _rewrite_counts(standard: dict[str, Any], changed: set[str]) -> None:
    """Put numbers for the texts that Google's JSON writes counts as."""
    for word in _COUNTS:
        count = standard.get(word)
        if isinstance(count, str) and count.isascii() and count.isdigit() and len(count) <= 15:
            changed.add(f"{word} as text read as a number")
            standard[word] = int(count)


def _rewrite_older_drafts(standard: dict[str, Any], changed: set[str]) -> None:
    """Put draft 2020-12's keywords for those of draft 4 to 7 that mean something else now, and OpenAPI's nullable."""
    if isinstance(standard.get("items"), list):
        changed.add("items as a list, of draft 7, read as prefixItems")
        standard["prefixItems"] = standard.pop("items")
        if "additionalItems" in standard:
            standard["items"] = standard.pop("additionalItems")
    for exclusive, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(standard.get(exclusive), bool):
            changed.add(f"{exclusive} as a truth value, of draft 4, read as a number")
            if standard.pop(exclusive) and limit in standard:
                standard[exclusive] = standard.pop(limit)
    if standard.get("nullable") is True and isinstance(standard.get("type"), str):
        changed.add("nullable read as a type of null beside the other")
        del standard["nullable"]
        standard["type"] = [standard["type"], "null"]
        if isinstance(standard.get("enum"), list) and None not in standard["enum"]:
            standard["enum"] = [*standard["enum"], None]
    if re.search(r"draft-0[3467]/", str(standard.get("$schema"))):
        changed.add("a schema of an older draft read as one of draft 2020-12")
        del standard["$schema"]
