"""Walking JSON Schemas of the common kind: values that code can draw, the holes that a model must fill, the leaves.

A *hole* is a value that needs words or judgement: a free string, or a number without bounds. Everything else (enums,
booleans, bounded numbers, dates, times) is drawn from a seeded generator: it costs no tokens and never collapses to the
model's favourite.
"""

from __future__ import annotations

import datetime
import random
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from toolace_ray.schemas.validate import errors
from toolace_ray.schemas.walk import Path

MAX_STRING = 40
WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "harbor",
    "island",
    "juniper",
    "kelp",
    "lagoon",
    "maple",
    "north",
    "orchid",
    "prairie",
    "quartz",
    "river",
    "summit",
    "tundra",
    "upland",
    "valley",
    "willow",
    "yarrow",
    "zenith",
    "breeze",
    "canyon",
    "dune",
    "echo",
    "forest",
    "glacier",
    "meadow",
]
FORMATS: dict[str, Callable[[random.Random], str]] = {
    "email": lambda rng: f"{rng.choice(WORDS)}.{rng.choice(WORDS)}@mail.example",
    "uri": lambda rng: f"https://{rng.choice(WORDS)}.example/{rng.choice(WORDS)}",
    "hostname": lambda rng: f"{rng.choice(WORDS)}.{rng.choice(WORDS)}.example",
    "ipv4": lambda rng: f"192.0.2.{rng.randint(1, 254)}",
    "uuid": lambda rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
}
"""Format (JSON Schema, draft 2020-12) -> a value of it. Hosts and addresses are the ones reserved for documentation."""


@dataclass(frozen=True)
class Hole:
    """A value for a model to invent. `path` leads to it; `name` is unique among its siblings in one request."""

    path: Path
    name: str
    description: str
    example: Any
    schema: dict[str, Any]


def example_of(schema: dict[str, Any]) -> Any:
    """The first example or default that a schema carries, else None."""
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        return examples[0]
    return schema.get("example", schema.get("default"))


def draw(
    schema: dict[str, Any], rng: random.Random, today: datetime.date, optional: float, usual: float = 0.0
) -> tuple[Any, list[Hole]]:
    """A value for an object schema with None at its holes, and the holes.

    Args:
        optional: share of the optional values that are given.
        usual: share of the enums that answer with their example: results are mostly as one expects (confirmed, sent).
    """
    holes: list[Hole] = []
    value = _draw(schema, rng, _Drawing(today, optional, usual, holes), (), "")
    return value, holes


@dataclass(frozen=True)
class _Drawing:
    today: datetime.date
    optional: float
    usual: float
    holes: list[Hole]


def _draw(schema: dict[str, Any], rng: random.Random, drawing: _Drawing, path: Path, name: str) -> Any:
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        example = example_of(schema)
        return example if example in schema["enum"] and rng.random() < drawing.usual else rng.choice(schema["enum"])
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    if kind == "object":
        properties = schema.get("properties") or {}
        given = {key for key in properties if key in set(schema.get("required", ())) or rng.random() < drawing.optional}
        for key, needed in (schema.get("dependentRequired") or {}).items():
            given |= set(needed) if key in given else set()
        return {
            key: _draw(below, rng, drawing, (*path, key), f"{name}_{key}" if name else key)
            for key, below in properties.items()
            if isinstance(below, dict) and key in given
        }
    if kind == "array":
        low = int(schema.get("minItems", 1))
        count = rng.randint(max(low, 1), max(low, 1, min(int(schema.get("maxItems", 2)), 2)))
        items = schema.get("items") or {}
        if items.get("enum"):
            return rng.sample(items["enum"], min(count, len(items["enum"])))
        if count == 1:
            return [_draw(items, rng, drawing, (*path, 0), name)]
        return [_draw(items, rng, drawing, (*path, index), f"{name}_{index + 1}") for index in range(count)]
    if kind == "boolean":
        return rng.random() < 0.75
    if kind in ("integer", "number") and (bounds := _bounds(schema, kind)):
        return _number(schema, kind, bounds, rng)
    if kind == "string" and (text := _timed(schema, rng, drawing.today)) is not None:
        return text
    if kind == "string" and schema.get("format") in FORMATS:
        return FORMATS[schema["format"]](rng)
    if kind == "string" and "pattern" in schema and (text := _alike(schema, rng)) is not None:
        return text
    if kind == "null":
        return None
    example = example_of(schema)
    if kind == "string" and isinstance(example, str) and is_code(name, example):
        return _renumber(example, rng)
    drawing.holes.append(Hole(path, name, str(schema.get("description") or name), example, bounded(schema, kind)))
    return None


def _alike(schema: dict[str, Any], rng: random.Random) -> str | None:
    """A value that a pattern lets pass, made from the schema's example with other digits; None where there is none."""
    example = example_of(schema)
    if not isinstance(example, str):
        return None
    tries = [re.sub(r"\d", lambda _: str(rng.randint(0, 9)), example) for _ in range(4)]
    return next((text for text in (*tries, example) if not errors(schema, text, 1)), None)


def is_code(name: str, example: str) -> bool:
    """True for identifiers such as FL-2041: a name that says id, number or code and an example with digits."""
    words = set(re.split(r"[_\W]+", name.lower()))
    named = bool(words & {"id", "number", "code", "reference", "key", "no"})
    return named and len(example) <= 16 and " " not in example and sum(map(str.isdigit, example)) >= 2


def _renumber(example: str, rng: random.Random) -> str:
    return re.sub(r"\d", lambda _: str(rng.randint(1, 9)), example)


def _bounds(schema: dict[str, Any], kind: str) -> tuple[float, float] | None:
    step = 1 if kind == "integer" else 0.1
    low = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else None)
    return None if low is None or high is None or low > high else (low, high)


def _number(schema: dict[str, Any], kind: str, bounds: tuple[float, float], rng: random.Random) -> Any:
    low, high = bounds
    example = example_of(schema)
    if isinstance(example, int | float) and not isinstance(example, bool) and high - low > 20 and example > 0:
        low, high = max(low, example * 0.4), min(high, example * 2.5)  # the example tells what is usual
    # People name small, round numbers; a wide range is drawn near its lower end.
    value = rng.uniform(low, high) if high - low <= 100 else low + (high - low) * rng.random() ** 3
    step = schema.get("multipleOf") or (1 if kind == "integer" else 0.1)
    if kind == "integer" and high - low > 200 and "multipleOf" not in schema:
        step = 5
    value = min(max(round(value / step) * step, bounds[0]), bounds[1])
    return int(value) if kind == "integer" else round(float(value), 2)


def _timed(schema: dict[str, Any], rng: random.Random, today: datetime.date) -> str | None:
    described = f"{schema.get('description', '')}".lower()
    if schema.get("format") == "date" or "yyyy-mm-dd" in described:
        return str(today + datetime.timedelta(days=rng.randint(1, 60)))
    clock = f"{rng.randint(7, 21):02d}:{rng.choice((0, 15, 30, 45)):02d}"
    if schema.get("format") == "time" or "hh:mm" in described:
        return f"{clock}:00Z" if schema.get("format") == "time" else clock
    if schema.get("format") == "date-time":
        return f"{today + datetime.timedelta(days=rng.randint(1, 60))}T{clock}:00Z"
    return None


def bounded(schema: dict[str, Any], kind: str) -> dict[str, Any]:
    """What a decoder is held to for a hole: its type with bounds. Full validation follows after decoding."""
    if kind == "integer":
        low = int(schema.get("minimum", 1))
        return {"type": "integer", "minimum": low, "maximum": int(schema.get("maximum", low + 9999))}
    if kind == "number":
        return {"type": "number"}
    return {
        "type": "string",
        "minLength": max(1, min(int(schema.get("minLength", 1)), MAX_STRING)),
        "maxLength": min(int(schema.get("maxLength", MAX_STRING)), MAX_STRING),
    }


def fill(value: Any, holes: list[Hole], found: dict[str, Any]) -> Any:
    """`value` with each hole's answer in its place."""
    for hole in holes:
        node = value
        for key in hole.path[:-1]:
            node = node[key]
        answer = found[hole.name]
        node[hole.path[-1]] = answer.strip() if isinstance(answer, str) else answer
    return value


def hole_schema(holes: list[Hole]) -> dict[str, Any]:
    """The decoding schema of an object with one property a hole."""
    return {
        "type": "object",
        "properties": {hole.name: hole.schema for hole in holes},
        "required": [hole.name for hole in holes],
        "additionalProperties": False,
    }


DESCRIPTIVE = 8  # a string of this least length is a description: it begins with a word of what it is about


def instance(
    schema: Any, rng: random.Random, first_choice: float = 0.5, words: Sequence[str] = (), depth: int = 0
) -> Any:
    """A random value that is valid under a schema of the common keywords (no $ref or conditionals).

    A pattern is answered by an identifier such as amber_birch_kdl, which suits the patterns that our own schemas use; its
    first word is one of `words` where there are any.
    """
    if not isinstance(schema, dict) or depth > 16:
        return None
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0] if rng.random() < first_choice else rng.choice(schema["enum"])
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return instance(rng.choice(schema[key]), rng, first_choice, words, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    if kind == "object":
        required = set(schema.get("required", ()))
        return {
            name: instance(below, rng, first_choice, words, depth + 1)
            for name, below in (schema.get("properties") or {}).items()
            if name in required or rng.random() < 0.5
        }
    if kind == "array":
        low = int(schema.get("minItems", 1))
        count = rng.randint(low, max(low, min(int(schema.get("maxItems", low + 2)), low + 2)))
        return [instance(schema.get("items", {}), rng, first_choice, words, depth + 1) for _ in range(count)]
    if kind in ("integer", "number"):
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0) + (1 if "exclusiveMinimum" in schema else 0))
        high = schema.get("maximum", low + 100)
        if kind == "integer":
            return rng.randint(int(-(-low // 1)), max(int(-(-low // 1)), int(high)))
        return round(min(max(rng.uniform(low, high), low), high), 1) if high - low >= 1 else low
    if kind == "boolean":
        return rng.random() < first_choice
    return None if kind == "null" else _string(schema, rng, words)


def _string(schema: dict[str, Any], rng: random.Random, words: Sequence[str]) -> str:
    match schema.get("format"):
        case "date":
            return str(datetime.date(2026, 1, 1) + datetime.timedelta(days=rng.randrange(700)))
        case "time":
            return f"{rng.randrange(24):02d}:{rng.randrange(60):02d}:00Z"
        case "date-time":
            return f"{datetime.date(2026, 1, 1) + datetime.timedelta(days=rng.randrange(700))}T{rng.randrange(24):02d}:00:00Z"
        case form if form in FORMATS:
            return FORMATS[form](rng)
    low, high = int(schema.get("minLength", 1)), int(schema.get("maxLength", 40))
    if "pattern" in schema:
        # No digits in names: what is said of them would be taken for a number that nobody gave.
        return f"{rng.choice(words or WORDS)[:16]}_{rng.choice(WORDS)}_{''.join(rng.choices('bcdfgklmnprstvz', k=3))}"
    first = rng.choice(words if words and low >= DESCRIPTIVE else WORDS)
    text = f"{first} {rng.choice(WORDS)} {rng.choice(WORDS)}"  # no digits: numbers are facts
    if len(text) > high:
        text = text[:high].strip() or "a"
    return text + "x" * max(0, low - len(text))


def example_object(schema: dict[str, Any]) -> Any:
    """The example of an object schema from its properties' examples; None unless all required ones have one."""
    found = example_of(schema)
    if isinstance(found, dict) or (schema.get("type") or "object") != "object":
        return found
    result = {}
    for name, below in (schema.get("properties") or {}).items():
        if not isinstance(below, dict):
            continue
        value = example_of(below)
        if value is None and below.get("enum"):
            value = below["enum"][0]
        if value is None and below.get("properties"):
            value = example_object(below)
        if value is not None:
            result[name] = value
    return result if set(schema.get("required", ())) <= set(result) else None
