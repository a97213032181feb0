"""Values that a model invents for the holes of a drawn value, and what they must hold."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from typing import Any

from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.prompts import prompt
from toolace_ray.records.api import Api
from toolace_ray.records.json import canonical_json, load_json
from toolace_ray.schemas.draw import Hole, draw, fill, hole_schema
from toolace_ray.schemas.validate import errors
from toolace_ray.sdg.plans import Plan

MAX_HOLE_TOKENS = 160


class Unfit(Exception):
    """What the model made can't be used. `step` is the ledger's rule, the message its evidence."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(reason)
        self.step = step


async def arguments(
    api: Api, fixed_values: dict[str, Any], optional: float, plan: Plan, rng: random.Random, engines: TaskEngines
) -> dict[str, Any]:
    """Valid arguments of a call: `fixed_values`, drawn ones, and a model's words for the rest.

    Args:
        fixed_values: parameter -> value that it must have.
        optional: share of the optional parameters that are given.

    Raises:
        Unfit: no candidate was valid.
        EngineError: the writer could not be asked.
    """
    value, holes = draw(api.parameters, rng, plan.today, optional)
    value |= fixed_values
    holes = [hole for hole in holes if hole.path[0] not in fixed_values]
    if not holes:
        valid: dict[str, Any] = checked(api.parameters, value, "arguments")
        return valid
    request = GenerateRequest(
        messages=prompt("arguments").render(
            description=api.description,
            known={name: item for name, item in value.items() if not _has_hole(name, holes)},
            holes=holes,
        ),
        n=3,
        max_tokens=MAX_HOLE_TOKENS,
        temperature=1.0,
        seed=rng.getrandbits(31),
        json_schema=hole_schema(holes),
    )
    answer = await engines.generate("writer", request)
    reason = "no candidate"
    for sample in answer.samples:
        try:
            hole_values = load_json(sample.text)
            candidate = fill(json.loads(canonical_json(value)), holes, hole_values)
            checked(api.parameters, candidate, "arguments")
            _not_copied(hole_values, holes)
            plain_words(hole_values, api)
            return dict(candidate)
        except (ValueError, KeyError, TypeError, Unfit) as error:
            reason = str(error)
    raise Unfit("arguments", reason)


def _has_hole(name: str, holes: list[Hole]) -> bool:
    return any(hole.path[0] == name for hole in holes)


def _not_copied(hole_values: dict[str, Any], holes: list[Hole]) -> None:
    """A value must be more than its parameter's name or description repeated, and words, not code."""
    for hole in holes:
        text = hole_values[hole.name]
        if isinstance(text, str) and text.strip().lower().replace("_", " ") in (
            hole.name.lower().replace("_", " "),
            hole.description.lower().rstrip("."),
        ):
            raise ValueError(f"{hole.name} is its own name: {text!r}")
        # Some values are written like code: time zones (America/New_York), and whatever the API itself gives as an example.
        if isinstance(text, str) and "_" in text and "_" not in f"{hole.example or ''}{hole.description}":
            raise ValueError(f"{hole.name} is written like code: {text!r}")


def plain_words(hole_values: dict[str, Any], api: Api) -> None:
    """Raise ValueError for a text that does not begin like a value, or that has letters of another script than Latin.

    Small models leave scraps of JSON, and multilingual ones change scripts. Other scripts are allowed where the API's
    description has one itself or speaks of languages.
    """
    for name, value in hole_values.items():
        if isinstance(value, str) and not re.match(r"""\s*["'(#$]?\w""", value):
            raise ValueError(f"{name} does not begin like a value: {value!r}")
    text = "".join(value for value in hole_values.values() if isinstance(value, str))
    if (
        not text.isascii()
        and api.description.isascii()
        and not re.search(r"languag|translat|dictionar", api.description, re.I)
    ):
        foreign = next((c for c in text if c.isalpha() and not unicodedata.name(c, "?").startswith("LATIN")), None)
        if foreign:
            raise ValueError(f"the character {foreign!r} is of another script")


def checked(schema: dict[str, Any], value: Any, step: str) -> Any:
    """The value. Raises Unfit where it is not valid."""
    if problems := errors(schema, value, 1):
        raise Unfit(step, problems[0])
    return value
