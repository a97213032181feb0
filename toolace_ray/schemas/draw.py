"""Values for JSON Schemas of the common kind: one drawing, and what is asked of it.

`draw` leaves holes for a model, `instance` makes everything up, `example_object` takes what the schema shows and nothing else.
A *hole* is a value that needs words or judgement: a free string, or a number without bounds. Everything else (enums,
booleans, bounded numbers, dates, times) is drawn from a seeded generator: it costs no tokens and never collapses to the
model's favourite.

Invariant: a drawing ends. Below MAX_DEPTH and beyond MAX_VALUES there is null, which whoever validates the value finds.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from toolace_ray.records.json import MAX_DEPTH
from toolace_ray.schemas.leaf import bounds_of, example_of, made_up, number, text_of
from toolace_ray.schemas.walk import Path, type_of

MAX_STRING = 40
MAX_VALUES = 1 << 14  # drawn for one schema
_TODAY = datetime.date(2026, 1, 1)  # for who has no day of their own
_NOTHING: Any = object()  # where no value can be given
_FIXED_RNG = random.Random(0)  # where nothing is left to chance


@dataclass(frozen=True)
class Hole:
    """A value for a model to invent. `path` leads to it; `name` is unique among its siblings in one request."""

    path: Path
    name: str
    description: str
    example: Any
    schema: dict[str, Any]


@dataclass(frozen=True)
class _Policy:
    """What a drawing does where a schema leaves a choice.

    Args:
        optional: share of the optional properties that are given.
        choice: what a schema with an enum answers.
        leaf: what stands for a scalar that code can't draw, by schema, type, path and name.
        lists: the least and the most values of a list that does not ask for more.
        true: share of the booleans that are true.
        today: the day on which drawn dates follow.
        from_examples: a schema's own example stands for its value, and nothing is drawn.
    """

    optional: float
    choice: Callable[[dict[str, Any]], Any]
    leaf: Callable[[dict[str, Any], str, Path, str], Any]
    lists: tuple[int, int] = (1, 2)
    true: float = 0.75
    today: datetime.date = _TODAY
    from_examples: bool = False


def draw(
    schema: dict[str, Any], rng: random.Random, today: datetime.date, optional: float, usual: float = 0.0
) -> tuple[Any, list[Hole]]:
    """A value for a schema with None at its holes, and the holes.

    Args:
        optional: share of the optional values that are given.
        usual: share of the enums that answer with their example: results are mostly as one expects (confirmed, sent).
    """
    holes: dict[str, Hole] = {}

    def choice(schema: dict[str, Any]) -> Any:
        example = example_of(schema)
        return example if example in schema["enum"] and rng.random() < usual else rng.choice(schema["enum"])

    def hole(schema: dict[str, Any], kind: str, path: Path, name: str) -> None:
        unique = name = name or "value"
        while unique in holes:  # a property a_b beside a property b of a
            unique += "_"
        description = str(schema.get("description") or name)
        holes[unique] = Hole(path, unique, description, example_of(schema), bounded(schema, kind))

    value = _Drawing(rng, _Policy(optional, choice, hole, today=today)).value(schema)
    return value, list(holes.values())


def instance(schema: Any, rng: random.Random, first_choice: float = 0.5, words: Sequence[str] = ()) -> Any:
    """A random value that is valid under a schema of the common keywords (no $ref, no conditionals).

    Args:
        first_choice: share of the enums that answer with their first value, and of the booleans that are true.
        words: what made-up texts are about, see leaf.made_up.
    """

    def choice(schema: dict[str, Any]) -> Any:
        return schema["enum"][0] if rng.random() < first_choice else rng.choice(schema["enum"])

    def leaf(schema: dict[str, Any], kind: str, path: Path, name: str) -> Any:
        return made_up(schema, kind, rng, words)

    return _Drawing(rng, _Policy(0.5, choice, leaf, (0, 3), first_choice)).value(schema)


def example_object(schema: dict[str, Any]) -> Any:
    """The example of a schema: its own, or one of its properties' examples; None unless all required ones have one."""

    def nothing(schema: dict[str, Any], kind: str, path: Path, name: str) -> Any:
        return _NOTHING

    policy = _Policy(1, lambda schema: schema["enum"][0], nothing, from_examples=True)
    value = _Drawing(_FIXED_RNG, policy).value(schema)
    return None if value is _NOTHING else value


class _Drawing:
    def __init__(self, rng: random.Random, policy: _Policy) -> None:
        self._rng = rng
        self._policy = policy
        self._left = MAX_VALUES

    def value(self, schema: Any, path: Path = (), name: str = "", depth: int = 0) -> Any:
        self._left -= 1
        if not isinstance(schema, dict) or depth > MAX_DEPTH or self._left < 0:
            return _NOTHING if self._policy.from_examples else None
        kind = type_of(schema, "string")
        example = example_of(schema) if self._policy.from_examples else None
        if example is not None and (kind != "object" or isinstance(example, dict)):
            return example
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._policy.choice(schema)
        for key in ("allOf", "anyOf", "oneOf"):
            if schema.get(key):
                merged = {word: value for word, value in schema.items() if word != key}
                for part in schema[key] if key == "allOf" else self._branch(schema[key]):
                    merged = _merged(merged, part)
                return self.value(merged, path, name, depth + 1)
        if kind == "object":
            return self._object(schema, path, name, depth + 1)
        if kind == "array":
            return _NOTHING if self._policy.from_examples else self._array(schema, path, name, depth + 1)
        drawn = _NOTHING if self._policy.from_examples else self._scalar(schema, kind, name)
        return self._policy.leaf(schema, kind, path, name) if drawn is _NOTHING else drawn

    def _branch(self, parts: list[Any]) -> list[Any]:
        """One of the parts of a union, as a list; as with types, null only where there is nothing else."""
        null = [part is False or (isinstance(part, dict) and part.get("type") == "null") for part in parts]
        real = [part for part, empty in zip(parts, null, strict=True) if not empty] or parts
        return real[:1] if self._policy.from_examples else [self._rng.choice(real)]

    def _object(self, schema: dict[str, Any], path: Path, name: str, depth: int) -> Any:
        properties = schema.get("properties") or {}
        required = set(schema.get("required", ()))
        given = {key for key in properties if key in required or self._rng.random() < self._policy.optional}
        dependent = schema.get("dependentRequired") or {}
        while more := {other for key in dependent.keys() & given for other in dependent[key]} - given:
            given |= more
        result = {}
        for key, sub in properties.items():
            if key not in given or (not isinstance(sub, dict) and key not in required):
                continue
            value = self.value(sub, (*path, key), f"{name}_{key}" if name else key, depth)
            if value is not _NOTHING:
                result[key] = value
        if self._policy.from_examples:
            while lacking := [key for key in dependent if key in result and not set(dependent[key]) <= result.keys()]:
                del result[lacking[0]]
            if not required <= result.keys() or (path and not properties):
                return _NOTHING  # and an object of which nothing is said is no example of one
        return result

    def _array(self, schema: dict[str, Any], path: Path, name: str, depth: int) -> list[Any]:
        least, most = self._policy.lists
        min_items = int(schema.get("minItems", 1))
        max_items = int(schema.get("maxItems", max(min_items, most)))
        low = min(max(min_items, least), max_items)
        count = self._rng.randint(low, max(low, min(most, max_items)))
        items = schema.get("items", {})
        if isinstance(items, dict) and items.get("enum"):
            chosen = self._rng.sample(items["enum"], min(count, len(items["enum"])))
            chosen += [self._rng.choice(items["enum"]) for _ in range(min(min_items, self._left) - len(chosen))]
            self._left -= len(chosen)
            return chosen
        if count == 1:
            return [self.value(items, (*path, 0), name, depth)]
        return [self.value(items, (*path, i), f"{name}_{i + 1}", depth) for i in range(min(count, max(self._left, 0)))]

    def _scalar(self, schema: dict[str, Any], kind: str, name: str) -> Any:
        """What code can draw by itself."""
        if kind == "null":
            return None
        if kind == "boolean":
            return self._rng.random() < self._policy.true
        if kind in ("integer", "number"):
            low, high = bounds_of(schema, kind)
            if low is not None and high is not None and low <= high:
                return number(schema, kind, (low, high), self._rng)
        elif kind == "string" and (text := text_of(schema, name, self._rng, self._policy.today)) is not None:
            return text
        return _NOTHING


def _merged(schema: dict[str, Any], part: Any) -> dict[str, Any]:
    """A schema together with one that holds beside it; where both say something, the part's word counts."""
    if not isinstance(part, dict):
        return schema
    merged = {**schema, **part}
    if isinstance(schema.get("properties"), dict) and isinstance(part.get("properties"), dict):
        merged["properties"] = {**schema["properties"], **part["properties"]}
    if schema.get("required") and part.get("required"):
        merged["required"] = list(dict.fromkeys((*schema["required"], *part["required"])))
    return merged


def bounded(schema: dict[str, Any], kind: str) -> dict[str, Any]:
    """What a decoder is held to for a hole: its type with bounds. Full validation follows after decoding."""
    if kind == "integer":
        least, most = bounds_of(schema, kind)
        low = int(least) if least is not None else 1 if most is None or most >= 1 else int(most) - 9999
        return {"type": "integer", "minimum": low, "maximum": low + 9999 if most is None else int(most)}
    if kind == "number":
        return {"type": "number"}
    return {
        "type": "string",
        "minLength": max(1, min(int(schema.get("minLength", 1)), MAX_STRING)),
        "maxLength": min(int(schema.get("maxLength", MAX_STRING)), MAX_STRING),
    }


def fill(value: Any, holes: list[Hole], answers: dict[str, Any]) -> Any:
    """`value` with each hole's answer in its place."""
    for hole in holes:
        answer = answers[hole.name]
        answer = answer.strip() if isinstance(answer, str) else answer
        if not hole.path:
            return answer
        node = value
        for key in hole.path[:-1]:
            node = node[key]
        node[hole.path[-1]] = answer
    return value


def hole_schema(holes: list[Hole]) -> dict[str, Any]:
    """The decoding schema of an object with one property a hole."""
    return {
        "type": "object",
        "properties": {hole.name: hole.schema for hole in holes},
        "required": [hole.name for hole in holes],
        "additionalProperties": False,
    }
