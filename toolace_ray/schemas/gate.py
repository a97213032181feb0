"""The gate every API passes before it joins the pool, real or synthesised.

Each check is one rule with an id; all of an API's faults are reported, not the first alone. What we draw ourselves never
decides on an imported API: it is real, whether or not a value for it can be made up.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

from toolace_ray.records.api import Api
from toolace_ray.records.verdict import Verdict
from toolace_ray.schemas.draw import instance
from toolace_ray.schemas.validate import SchemaError, check_schema, errors
from toolace_ray.schemas.walk import FIELDS, fields, keywords, walk

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MAX_PARAMETERS = 32
MAX_ITEMS, MAX_LENGTH, MAX_NUMBER, MAX_DRAWN = 32, 1000, 1e15, 256
_LIMITS = {
    "minItems": MAX_ITEMS,
    "minLength": MAX_LENGTH,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), MAX_NUMBER),
}
_PARTS = keywords("anyOf", "oneOf", "allOf")


_MOST_CHECKED = 1 << 15  # verdict lists kept; nearly all are empty
_CHECKED: dict[tuple[str, bool], list[Verdict]] = {}


def check(api: Api) -> list[Verdict]:
    """The gate's findings; an empty list lets the API in. Kept by content: a dialog's tools are checked once a process."""
    key = api.content, api.lineage.source == "synthesised"
    if key not in _CHECKED:
        if len(_CHECKED) >= _MOST_CHECKED:
            _CHECKED.clear()
        _CHECKED[key] = [Verdict(stage="gate", rule=rule, evidence=text[:300]) for rule, text in _findings(api)]
    return _CHECKED[key]


def _findings(api: Api) -> Iterator[tuple[str, str]]:
    if not NAME.fullmatch(api.name):
        yield "name", f"{api.name!r} does not match {NAME.pattern}"
    if len(api.description.strip()) < 10:
        yield "description", f"{api.name} has no real description: {api.description!r}"
    sound = True
    for part, schema in (("parameters", api.parameters), ("returns", api.returns)):
        try:
            check_schema(schema, key=f"{api.id}/{part}")
        except SchemaError as error:
            sound = False
            yield "schema", f"{part} of {api.name}: {error}"
    if not sound:
        return
    if api.parameters.get("type") != "object":
        yield "parameters_object", f"the parameters of {api.name} are no object schema"
        return
    if len(api.properties) > MAX_PARAMETERS:
        yield "parameter_count", f"{api.name} has {len(api.properties)} parameters, the limit is {MAX_PARAMETERS}"
    stray = set(api.required) - set(api.properties)
    if stray:
        yield "required", f"{api.name} requires {sorted(stray)}, which are not among its properties"
        return
    for part, schema in (("parameters", api.parameters), ("returns", api.returns)):
        if reason := unwieldy(schema):
            yield "unwieldy", f"{part} of {api.name}: {reason}"
            return
    for path in undescribed(api.parameters):
        yield "parameter_description", f"{api.name}: parameter {path} has no description"
    bare = _PARTS.keys().isdisjoint(api.returns) and not api.returns.get("properties")
    if bare and api.returns.get("type") in (None, "object"):
        yield "returns", f"{api.name} does not say what it returns"
    yield from _examples(api)


def _examples(api: Api) -> Iterator[tuple[str, str]]:
    rng = random.Random(api.id)
    for rule, part, schema, example in (
        ("example_call", "parameters", api.parameters, api.example_arguments),
        ("example_return", "returns", api.returns, api.example_return),
    ):
        if example is None and api.lineage.source != "synthesised":
            continue  # its import has tried, and the lineage's notes tell what came of it
        # An API without examples is tried with a drawn value: a schema nothing fits must not pass.
        value = instance(schema, rng) if example is None else example
        if violations := errors(schema, value, 1, key=f"{api.id}/{part}"):
            yield rule, f"{api.name}: {violations[0]}"


def unwieldy(schema: Any) -> str | None:
    """Why a schema can't be drawn from, else None: a property or item that is no schema object, a number beyond its keyword's
    limit, or lists that have more than MAX_DRAWN values at least."""
    sizes: list[int] = []  # of the schemas on the way to this one: how many values their lists have at least
    for sub in walk(schema, FIELDS | _PARTS):
        node = sub.schema
        if not isinstance(node, dict):
            if isinstance(node, bool) and sub.step is not None and sub.step[0] in _PARTS:
                continue
            return f"a property or item is {node!r}, not a schema"
        for key, value in node.items():
            if key in _LIMITS and isinstance(value, int | float) and abs(value) > _LIMITS[key]:
                return f"{key} is beyond {_LIMITS[key]:g}"
        del sizes[sub.depth :]
        sizes.append((sizes[-1] if sizes else 1) * max(int(node.get("minItems") or 1), 1))
        if sizes[-1] > MAX_DRAWN:
            return f"its lists have {sizes[-1]} values at least, the limit is {MAX_DRAWN}"
    return None


def undescribed(schema: Any) -> Iterator[str]:
    """Places of the properties, at any depth, without a description."""
    for sub in fields(schema):
        if sub.named and not str(sub.schema.get("description") or "").strip():
            yield sub.place
