"""What an API's schemas are made of: leaves, nesting, constraints, types; from these complexity and quality.

Invariant: everything here is a function of the schemas alone, so that a post-condition can compare two of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from toolace_ray.schema import Api

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
BINS = (4, 7, 11, 16)  # complexities at which the next bin of the example buffer begins
MAX_BIN = len(BINS)


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
    for path, node, level in _walk(schema, "", 0):
        constraints.update(name for name, words in CONSTRAINTS.items() if any(word in node for word in words))
        if path and not path.endswith("[]"):
            types[kind_of(node)] += 1
        if not node.get("properties") and not isinstance(node.get("items"), dict):
            leaves[path] = kind_of(node)
            depth = max(depth, level)
    return Shape(leaves, max(depth, 1), constraints, types)


def _walk(schema: dict[str, Any], path: str, level: int) -> Iterator[tuple[str, dict[str, Any], int]]:
    yield path, schema, level
    for name, below in (schema.get("properties") or {}).items():
        if isinstance(below, dict):
            yield from _walk(below, f"{path}.{name}" if path else name, level + 1)
    if isinstance(schema.get("items"), dict):
        yield from _walk(schema["items"], f"{path}[]", level + 1)


def texts(schema: dict[str, Any]) -> Iterator[str]:
    """The descriptions of all properties, at any depth."""
    for path, node, _ in _walk(schema, "", 0):
        if path and isinstance(node.get("description"), str):
            yield node["description"]


def choices(schema: dict[str, Any]) -> Iterator[str]:
    """The texts among the enums and examples of all properties, at any depth."""
    for _, node, _ in _walk(schema, "", 0):
        for found in (node.get("enum"), node.get("examples")):
            yield from (value for value in found or () if isinstance(value, str))


def complexity(api: Api) -> int:
    """How much a caller has to get right: values, levels of nesting, constraints."""
    found = shape(api.parameters)
    return len(found.leaves) + 2 * (found.depth - 1) + found.constraints.total()


def complexity_bin(api: Api) -> int:
    """The API's column of the example buffer, 0 to MAX_BIN."""
    value = complexity(api)
    return sum(value >= edge for edge in BINS)


def quality(api: Api) -> float:
    """How well an API is described, 0 to 1: what decides which of two equal in kind is the better example."""
    points = [
        4 <= len(api.description.split()) <= 30,
        bool(set(api.name.lower().split("_")) & set(api.description.lower().split())),
        bool(api.required),
        len(api.properties) > len(api.required),
        isinstance(api.example_arguments, dict),
        api.example_return is not None,
        bool(api.errors),
    ]
    described = [
        len(str(node.get("description") or "").split()) >= 3
        for schema in (api.parameters, api.returns)
        for path, node, _ in _walk(schema, "", 0)
        if path and not path.endswith("[]")
    ]
    share = sum(described) / len(described) if described else 0.0
    return round((sum(points) / len(points) + share) / 2, 4)
