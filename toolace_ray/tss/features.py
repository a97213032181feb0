"""What an API's schemas are made of: leaves, nesting, constraints, types; from these complexity and quality.

Invariant: everything here is a function of the schemas alone, so that a post-condition can compare two of them.
"""

from __future__ import annotations

from toolace_ray.records.api import Api
from toolace_ray.schemas.walk import fields, shape

BINS = (4, 7, 11, 16)  # complexities at which the next bin of the example buffer begins
MAX_BIN = len(BINS)


def complexity(api: Api) -> int:
    """What a caller has to get right in an API's parameters: values, 2 for each level of nesting below the first, constraints."""
    measured = shape(api.parameters)
    return len(measured.leaves) + 2 * (measured.depth - 1) + measured.constraints.total()


def complexity_bin(api: Api) -> int:
    """The API's column of the example buffer, 0 to MAX_BIN."""
    value = complexity(api)
    return sum(value >= edge for edge in BINS)


def quality(api: Api) -> float:
    """How well an API is described, 0 to 1: the mean of the share of seven signs of care and the share of the properties that
    are described in three words or more. It decides which of two APIs of one kind is the better example."""
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
        len(str(sub.schema.get("description") or "").split()) >= 3
        for schema in (api.parameters, api.returns)
        for sub in fields(schema)
        if sub.named
    ]
    share = sum(described) / len(described) if described else 0.0
    return round((sum(points) / len(points) + share) / 2, 4)
