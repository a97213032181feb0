"""What code can say by itself where a schema wants one text or number: dates, addresses, codes, bounded numbers, words."""

from __future__ import annotations

import datetime
import math
import random
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from toolace_ray.schemas.patterns import sample
from toolace_ray.schemas.validate import errors

WORDS = [
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbor", "island", "juniper", "kelp", "lagoon", "maple", "north",
    "orchid", "prairie", "quartz", "river", "summit", "tundra", "upland", "valley", "willow", "yarrow", "zenith", "breeze", "canyon",
    "dune", "echo", "forest", "glacier", "meadow",
]  # fmt: skip
FORMATS: dict[str, Callable[[random.Random], str]] = {
    "email": lambda rng: f"{rng.choice(WORDS)}.{rng.choice(WORDS)}@mail.example",
    "uri": lambda rng: f"https://{rng.choice(WORDS)}.example/{rng.choice(WORDS)}",
    "hostname": lambda rng: f"{rng.choice(WORDS)}.{rng.choice(WORDS)}.example",
    "ipv4": lambda rng: f"192.0.2.{rng.randint(1, 254)}",
    "ipv6": lambda rng: f"2001:db8::{rng.randint(1, 9999):x}",
    "duration": lambda rng: f"PT{rng.randint(1, 59)}M",
    "uuid": lambda rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
}
"""Format (JSON Schema, draft 2020-12) -> a value of it. Hosts and addresses are the ones reserved for documentation."""
DESCRIPTIVE = 8  # a string of this least length is a description: it begins with a word of what it is about


def example_of(schema: dict[str, Any]) -> Any:
    """The first example or default that a schema carries, else None."""
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        return examples[0]
    return schema.get("example", schema.get("default"))


def text_of(schema: dict[str, Any], name: str, rng: random.Random, today: datetime.date) -> str | None:
    """A text that a schema says enough of: a time, an address, a code like its example; None where it wants words."""
    if (text := _time_text(schema, rng, today)) is not None:
        return text
    if schema.get("format") in FORMATS:
        text = FORMATS[schema["format"]](rng)
        if "pattern" not in schema or _fits(schema, text):
            return text
        if _fits(schema, text.upper()):
            return text.upper()
    if "pattern" in schema and (text := _like_example(schema, rng)) is not None:
        return text
    example = example_of(schema)
    if isinstance(example, str) and is_code(name, example):
        return re.sub(r"\d", lambda _: str(rng.randint(1, 9)), example)
    return None


def _time_text(schema: dict[str, Any], rng: random.Random, today: datetime.date) -> str | None:
    description = f"{schema.get('description', '')}".lower()
    room = int(schema.get("maxLength", 40))
    kind = schema.get("format")
    if kind == "date" or ("yyyy-mm-dd" in description and room >= 10 and kind not in ("date-time", "time")):
        return str(today + datetime.timedelta(days=rng.randint(1, 60)))
    clock = f"{rng.randint(7, 21):02d}:{rng.choice((0, 15, 30, 45)):02d}"
    if kind == "time" or ("hh:mm" in description and room >= 5 and kind != "date-time"):
        return f"{clock}:00Z" if kind == "time" else clock
    if kind == "date-time":
        return f"{today + datetime.timedelta(days=rng.randint(1, 60))}T{clock}:00Z"
    return None


def _like_example(schema: dict[str, Any], rng: random.Random) -> str | None:
    """A value that a pattern lets pass, made from the schema's example with other digits; None where there is none."""
    example = example_of(schema)
    if not isinstance(example, str):
        return None
    tries = [re.sub(r"\d", lambda _: str(rng.randint(0, 9)), example) for _ in range(4)]
    return next((text for text in (*tries, example) if not errors(schema, text, 1)), None)


def is_code(name: str, example: str) -> bool:
    """True for identifiers such as FL-2041: a name that says id, number or code and an example with digits."""
    words = set(re.split(r"[_\W]+", name.lower()))
    says_code = bool(words & {"id", "number", "code", "reference", "key", "no"})
    return says_code and len(example) <= 16 and " " not in example and sum(map(str.isdigit, example)) >= 2


def bounds_of(schema: dict[str, Any], kind: str) -> tuple[float | None, float | None]:
    """The least and the greatest number that a schema allows, None where it states none.

    Exclusive bounds are moved inwards: by 1 for integers, else by 0.1 or, in narrow ranges, by a quarter.
    """
    low, high = schema.get("minimum"), schema.get("maximum")
    above, under = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if kind == "integer":
        low, high = None if low is None else math.ceil(low), None if high is None else math.floor(high)
        above = None if above is None else math.floor(above) + 1
        under = None if under is None else math.ceil(under) - 1
    elif above is not None or under is not None:
        least, most = _tighter(max, low, above), _tighter(min, high, under)
        step = 0.1 if least is None or most is None else min(0.1, (most - least) / 4)
        above, under = None if above is None else above + step, None if under is None else under - step
    return _tighter(max, low, above), _tighter(min, high, under)


def _tighter(of: Callable[[float, float], float], first: float | None, second: float | None) -> float | None:
    return second if first is None else first if second is None else of(first, second)


def number(schema: dict[str, Any], kind: str, bounds: tuple[float, float], rng: random.Random) -> int | float:
    """A number within bounds, as people name them: small, round, and near the schema's example."""
    low, high = bounds
    example = example_of(schema)
    if isinstance(example, int | float) and not isinstance(example, bool) and high - low > 20 and example > 0:
        low, high = max(low, example * 0.4), min(high, example * 2.5)  # the example tells what is usual
    # A wide range is drawn near its lower end.
    value = rng.uniform(low, high) if high - low <= 100 else low + (high - low) * rng.random() ** 3
    if step := schema.get("multipleOf"):
        times = min(max(round(value / step), math.ceil(bounds[0] / step)), math.floor(bounds[1] / step))
        return int(times * step) if kind == "integer" else round(float(times * step), 9)
    step = (5 if high - low > 200 else 1) if kind == "integer" else 0.1
    value = min(max(round(value / step) * step, bounds[0]), bounds[1])
    if kind == "integer":
        return int(value)
    return rounded if bounds[0] <= (rounded := round(float(value), 2)) <= bounds[1] else float(value)


_TRIES = 8
LONGEST = 4096  # characters of a text that is made up; what asks for a longer one gets one that does not fit
_TEXT_KEYWORDS = ("pattern", "minLength", "maxLength", "format")


def _fits(schema: dict[str, Any], text: str) -> bool:
    return not errors({key: schema[key] for key in _TEXT_KEYWORDS if key in schema}, text, 1)


def _matching(schema: dict[str, Any], rng: random.Random) -> str | None:
    """A text that a schema's pattern lets pass; None where a few tries find none."""
    tries = (sample(schema["pattern"], rng) for _ in range(_TRIES))
    return next((text for text in tries if text is not None and _fits(schema, text)), None)


def made_up(schema: dict[str, Any], kind: str, rng: random.Random, words: Sequence[str]) -> Any:
    """A value without meaning for a leaf of which the schema says too little: a number, else words.

    A pattern is answered by an identifier such as amber_birch_kdl, which suits the patterns that our own schemas use, or else by
    a text that it lets pass where one is found. The first word of an identifier or a description is one of `words` where there are any. Texts have no digits: numbers are facts.
    """
    if kind in ("integer", "number"):
        least, most = bounds_of(schema, kind)
        low = least if least is not None else 0 if most is None or most >= 0 else most - 100
        return number(schema, kind, (low, low + 100 if most is None else most), rng)
    if "pattern" in schema:
        identifier = (
            f"{rng.choice(words or WORDS)[:16]}_{rng.choice(WORDS)}_{''.join(rng.choices('bcdfgklmnprstvz', k=3))}"
        )
        return identifier if _fits(schema, identifier) else _matching(schema, rng) or identifier
    least, most = int(schema.get("minLength", 1)), int(schema.get("maxLength", 40))
    first = rng.choice(words if words and least >= DESCRIPTIVE else WORDS)
    text = f"{first} {rng.choice(WORDS)} {rng.choice(WORDS)}"
    if len(text) > most:
        text = text[:most].strip() or "a"
    return text + "x" * max(0, min(least, LONGEST) - len(text))
