"""Walking JSON values and JSON Schemas: leaves, pointers, shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The scalars of a JSON value with their paths, in document order."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def pointer(path: Path) -> str:
    """A path as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def schema_at(schema: Any, path: Path) -> dict[str, Any]:
    """The sub-schema that a path of properties and items leads to, {} where the schema says nothing."""
    for part in path:
        if not isinstance(schema, dict):
            return {}
        schema = schema.get("items") if isinstance(part, int) else (schema.get("properties") or {}).get(part)
    return schema if isinstance(schema, dict) else {}


CONSTRAINTS: dict[str, tuple[str, ...]] = {
    "enum": ("enum",),
    "range": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "pattern": ("pattern",),
    "format": ("format",),
    "length": ("minLength", "maxLength"),
    "items": ("minItems", "maxItems", "uniqueItems"),
    "dependent": ("dependentRequired",),
}
"""Kind of constraint -> the keywords of JSON Schema (draft 2020-12, validation) that state it."""


@dataclass(frozen=True)
class Shape:
    """A schema's shape. `leaves` maps the path of each scalar to its type; `depth` is 1 for an object of scalars."""

    leaves: dict[str, str]
    depth: int
    constraints: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)


def kind_of(schema: dict[str, Any]) -> str:
    """A schema's type as one word: `array of object` and `array of array` are told from plain arrays."""
    kind = schema.get("type", "object" if "properties" in schema else "any")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    if kind == "array":
        items = schema.get("items")
        below = kind_of(items).split(" ")[0] if isinstance(items, dict) and items else ""
        return f"array of {below}" if below in ("object", "array") else "array"
    return str(kind)


def shape(schema: dict[str, Any]) -> Shape:
    """Measure an object schema (parameters) or any schema (returns). `types` counts properties at every depth."""
    leaves: dict[str, str] = {}
    constraints: Counter[str] = Counter()
    types: Counter[str] = Counter()
    depth = 0
    for path, node, level in walk(schema, "", 0):
        constraints.update(name for name, words in CONSTRAINTS.items() if any(word in node for word in words))
        if path and not path.endswith("[]"):
            types[kind_of(node)] += 1
        if not node.get("properties") and not isinstance(node.get("items"), dict):
            leaves[path] = kind_of(node)
            depth = max(depth, level)
    return Shape(leaves, max(depth, 1), constraints, types)


def walk(schema: dict[str, Any], path: str, level: int) -> Iterator[tuple[str, dict[str, Any], int]]:
    yield path, schema, level
    for name, below in (schema.get("properties") or {}).items():
        if isinstance(below, dict):
            yield from walk(below, f"{path}.{name}" if path else name, level + 1)
    if isinstance(schema.get("items"), dict):
        yield from walk(schema["items"], f"{path}[]", level + 1)


def texts(schema: dict[str, Any]) -> Iterator[str]:
    """The descriptions of all properties, at any depth."""
    for path, node, _ in walk(schema, "", 0):
        if path and isinstance(node.get("description"), str):
            yield node["description"]


def choices(schema: dict[str, Any]) -> Iterator[str]:
    """The texts among the enums and examples of all properties, at any depth."""
    for _, node, _ in walk(schema, "", 0):
        for found in (node.get("enum"), node.get("examples")):
            yield from (value for value in found or () if isinstance(value, str))
