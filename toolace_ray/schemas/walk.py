"""Walking JSON values and JSON Schemas: leaves, sub-schemas, rewriting, shapes.

Invariants of `walk` and `rebuild`: each sub-schema that the chosen keywords lead to is met once, a schema before what is
below it; what stands in enums, constants and examples is data and no schema; neither depth nor size can hurt, since there is
no recursion, and more than MAX_NODES sub-schemas are an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Path = tuple[str | int, ...]
Step = tuple[str, str | int | None]
"""One step down a schema: a keyword, and the name or index below it where the keyword holds several sub-schemas."""

MAX_NODES = 1 << 17  # more than a text of records.json.MAX_CHARS can hold
KEYWORDS: dict[str, type] = {
    **dict.fromkeys(("properties", "patternProperties", "dependentSchemas", "$defs"), dict),
    **dict.fromkeys(("prefixItems", "anyOf", "oneOf", "allOf"), list),
    **dict.fromkeys(
        ("items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"), object
    ),
    **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties", "contentSchema"), object),
}
"""Keyword of JSON Schema (draft 2020-12) with sub-schemas -> how it holds them: by name, in a list, or one (object)."""


def keywords(*words: str) -> dict[str, type]:
    """Some of KEYWORDS."""
    return {word: KEYWORDS[word] for word in words}


FIELDS = keywords("properties", "items")
"""The keywords that lead to the fields of a value."""


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
        schema = _part_schema(schema, part)
    return schema if isinstance(schema, dict) else {}


def _part_schema(schema: dict[str, Any], part: str | int) -> Any:
    """What a schema says of one part of a value, None where it says nothing."""
    if isinstance(part, int):
        return schema.get("items")
    properties = schema.get("properties")
    return properties.get(part) if isinstance(properties, dict) else None


def alongside(schema: Any, value: Any, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any], Any]]:
    """Every part of a JSON value with its path and the sub-schema that speaks of it, {} where none does."""
    node = schema if isinstance(schema, dict) else {}
    yield path, node, value
    if isinstance(value, dict | list):
        for part, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from alongside(_part_schema(node, part), item, (*path, part))


class Sub(NamedTuple):
    """A sub-schema, which may be no object (true, false, or a mistake).

    `depth` counts the steps from the top, whose depth is 0; `step` leads here from `above`.
    """

    schema: Any
    depth: int = 0
    step: Step | None = None
    above: Sub | None = None

    @property
    def path(self) -> tuple[Step, ...]:
        """The steps from the top."""
        steps, sub = [], self
        while sub.above is not None and sub.step is not None:
            steps.append(sub.step)
            sub = sub.above
        return tuple(reversed(steps))

    @property
    def named(self) -> bool:
        """True for a property."""
        return self.step is not None and self.step[0] == "properties"

    @property
    def place(self) -> str:
        """The path as people write it: `rooms[].guest.name`; "" at the top."""
        parts = ("[]" if word == "items" else f".{word if at is None else at}" for word, at in self.path)
        return "".join(parts).removeprefix(".")


def walk(schema: Any, within: Mapping[str, type] = KEYWORDS) -> Iterator[Sub]:
    """A schema and all its sub-schemas, in document order.

    Args:
        within: the keywords to go into.

    Raises:
        ValueError: there are more than MAX_NODES.
    """
    stack = [Sub(schema)]
    for _ in range(MAX_NODES):
        if not stack:
            return
        sub = stack.pop()
        yield sub
        node = sub.schema
        if isinstance(node, dict) and not within.keys().isdisjoint(node):
            depth = sub.depth + 1
            stack += [Sub(below, depth, step, sub) for step, below in _children(node, within)][::-1]
    if stack:
        raise ValueError(f"the schema has more than {MAX_NODES} sub-schemas")


def rebuild(schema: Any, change: Callable[[Any, int], Any], within: Mapping[str, type] = KEYWORDS) -> Any:
    """A schema made anew from the top down; the one given is left as it is.

    Args:
        change: what a sub-schema (see Sub.schema) of some depth becomes. What comes out is gone into next: it may hold
            sub-schemas that are yet to be changed.
        within: the keywords to go into.

    Raises:
        ValueError: there are more than MAX_NODES sub-schemas.
    """
    top = [schema]
    stack: list[tuple[Any, Any, int]] = [(top, 0, 0)]
    for _ in range(MAX_NODES):
        if not stack:
            break
        holder, key, depth = stack.pop()
        rebuilt = holder[key] = change(holder[key], depth)
        if not isinstance(rebuilt, dict):
            continue
        rebuilt = holder[key] = dict(rebuilt)
        if within.keys().isdisjoint(rebuilt):
            continue
        for word in within.keys() & rebuilt.keys():
            if within[word] is not object and isinstance(rebuilt[word], within[word]):
                rebuilt[word] = rebuilt[word].copy()
        steps = [step for step, _ in _children(rebuilt, within)]
        below = [(rebuilt, word, depth + 1) if at is None else (rebuilt[word], at, depth + 1) for word, at in steps]
        stack += reversed(below)
    if stack:
        raise ValueError(f"the schema has more than {MAX_NODES} sub-schemas")
    return top[0]


def _children(schema: dict[str, Any], within: Mapping[str, type]) -> Iterator[tuple[Step, Any]]:
    for word, value in schema.items():
        form = within.get(word)
        if form is object:
            yield (word, None), value
        elif form is dict and isinstance(value, dict):
            for name, item in value.items():
                yield (word, name), item
        elif form is list and isinstance(value, list):
            for index, item in enumerate(value):
                yield (word, index), item


def fields(schema: Any) -> Iterator[Sub]:
    """A schema and those of its properties and items, at any depth, that are objects."""
    return (sub for sub in walk(schema, FIELDS) if isinstance(sub.schema, dict))


def type_of(schema: dict[str, Any], default: str) -> Any:
    """A schema's type, the first that is not null of several; `default` where it names none and has no properties."""
    kind = schema.get("type", "object" if "properties" in schema else default)
    return next((item for item in kind if item != "null"), "null") if isinstance(kind, list) else kind


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
_CONSTRAINT = {word: name for name, words in CONSTRAINTS.items() for word in words}


@dataclass(frozen=True)
class Shape:
    """A schema's shape. `leaves` maps the path of each scalar to its type; `depth` is 1 for an object of scalars."""

    leaves: dict[str, str]
    depth: int
    constraints: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)


def kind_of(schema: dict[str, Any]) -> str:
    """A schema's type as one word: `array of object` and `array of array` are told from plain arrays."""
    kind = type_of(schema, "any")
    if kind == "array":
        items = schema.get("items")
        below = type_of(items, "any") if isinstance(items, dict) and items else ""
        return f"array of {below}" if below in ("object", "array") else "array"
    return str(kind)


def shape(schema: dict[str, Any]) -> Shape:
    """Measure an object schema (parameters) or any schema (returns). `types` counts properties at every depth."""
    leaves: dict[str, str] = {}
    constraints: Counter[str] = Counter()
    types: Counter[str] = Counter()
    depth = 0
    for sub in fields(schema):
        node = sub.schema
        for name in dict.fromkeys(_CONSTRAINT[word] for word in node if word in _CONSTRAINT):
            constraints[name] += 1
        kind = kind_of(node)
        if sub.named:
            types[kind] += 1
        if not node.get("properties") and not isinstance(node.get("items"), dict):
            leaves[sub.place] = kind
            depth = max(depth, sub.depth)
    return Shape(leaves, max(depth, 1), constraints, types)


def texts(schema: dict[str, Any]) -> Iterator[str]:
    """The descriptions of all properties and items, at any depth."""
    for sub in fields(schema):
        if sub.depth and isinstance(sub.schema.get("description"), str):
            yield sub.schema["description"]


def choices(schema: dict[str, Any]) -> Iterator[str]:
    """The texts among the enums and examples of all properties, at any depth."""
    for sub in fields(schema):
        for values in (sub.schema.get("enum"), sub.schema.get("examples")):
            yield from (value for value in values or () if isinstance(value, str))
