"""Blueprints: the gold calls and their results, made before a word is said (APIGen-MT, ToolACE-MT, Magnet).

Invariants: every gold call validates against its API's parameters and every result against its returns (or is an error
the API documents); a linked argument equals the result field it comes from.
"""

from __future__ import annotations

import datetime
import json
import random
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.instances import Hole, draw, fill, hole_schema, leaves, schema_at
from toolace_ray.limits import load_json
from toolace_ray.prompts import prompt
from toolace_ray.schema import Api, ToolCall, canonical_json
from toolace_ray.sdg.plans import Plan
from toolace_ray.validation import errors

OPTIONAL_SHARE = 0.3  # of an API's optional parameters a caller gives
MAX_HOLE_TOKENS = 160


@dataclass(frozen=True)
class GoldCall:
    """A call, its result, and the parameter (if any) whose value comes from the result before."""

    api: Api
    call: ToolCall
    result: Any
    linked: str | None = None


class Unfit(Exception):
    """What the model made can't be used. `step` is the ledger's rule, the message its evidence."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(reason)
        self.step = step


async def gold_calls(plan: Plan, rng: random.Random, engines: TaskEngines) -> list[GoldCall]:
    """The calls of a plan with their results; for non-tool plans the call that can't be made, its result None.

    Raises:
        Unfit: no valid arguments or results were found.
        EngineError: an engine could not be asked.
    """
    made: list[GoldCall] = []
    for index, api in enumerate(plan.wanted):
        known: dict[str, Any] = {}
        linked = None
        if plan.link is not None and index == 1:
            linked = plan.link.name
            known = {linked: made[0].result[linked]}
        elif plan.variant == "same_api" and index == 1:
            known = _kept(made[0], rng)
        arguments = await _arguments(api, known, plan, rng, engines)
        if any(item.call.name == api.name and item.call.arguments == arguments for item in made):
            raise Unfit("arguments", f"two parallel calls of {api.name} are the same")
        call = ToolCall(id=f"call_{index + 1}", name=api.name, arguments=arguments)
        result: Any = None
        if plan.variant == "error":
            error = rng.choice(api.errors)
            result = {"error": {"code": error.code, "message": error.message}}
        elif plan.task.type != "non_tool":
            result = await _result(api, arguments, plan, rng, engines)
        made.append(GoldCall(api, call, result, linked))
    return made


def _kept(first: GoldCall, rng: random.Random) -> dict[str, Any]:
    """The arguments that a second call of the same API repeats: most often all but one that is free to differ."""
    names = list(first.call.arguments)
    free = [name for name in names if len(schema_at(first.api.parameters, (name,)).get("enum") or (1, 2)) > 1] or names
    varied = {rng.choice(free)}
    if rng.random() < 0.4:
        varied |= {name for name in names if rng.random() < 0.5}
    return {name: value for name, value in first.call.arguments.items() if name not in varied}


async def _arguments(
    api: Api, known: dict[str, Any], plan: Plan, rng: random.Random, engines: TaskEngines
) -> dict[str, Any]:
    # A second call of one API has the parameters of the first, or the request gets muddled.
    optional = OPTIONAL_SHARE if plan.variant not in ("same_api", "missing") else 0.0
    value, holes = draw(api.parameters, rng, plan.today, optional)
    value |= known
    holes = [hole for hole in holes if hole.path[0] not in known]
    if not holes:
        return _checked(api.parameters, value, "arguments")
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
            found = load_json(sample.text)
            candidate = fill(json.loads(canonical_json(value)), holes, found)
            _checked(api.parameters, candidate, "arguments")
            _not_copied(found, holes)
            _plain_words(found, api)
            return dict(candidate)
        except (ValueError, KeyError, TypeError, Unfit) as error:
            reason = str(error)
    raise Unfit("arguments", reason)


def _has_hole(name: str, holes: list[Hole]) -> bool:
    return any(hole.path[0] == name for hole in holes)


def _not_copied(found: dict[str, Any], holes: list[Hole]) -> None:
    """A value must be more than its parameter's name or description repeated, and words, not code."""
    for hole in holes:
        text = found[hole.name]
        if isinstance(text, str) and text.strip().lower().replace("_", " ") in (
            hole.name.lower().replace("_", " "),
            hole.description.lower().rstrip("."),
        ):
            raise ValueError(f"{hole.name} is its own name: {text!r}")
        if isinstance(text, str) and "_" in text and "_" not in str(hole.example or ""):
            raise ValueError(f"{hole.name} is written like code: {text!r}")


def _plain_words(found: dict[str, Any], api: Api) -> None:
    """Words are words: small models leave scraps of JSON, and multilingual ones fall into another script, which only APIs
    about languages may do on purpose."""
    for name, value in found.items():
        if isinstance(value, str) and not re.match(r"""\s*["'(#$]?\w""", value):
            raise ValueError(f"{name} does not begin like a value: {value!r}")
    text = "".join(value for value in found.values() if isinstance(value, str))
    if (
        not text.isascii()
        and api.description.isascii()
        and not re.search(r"languag|translat|dictionar", api.description, re.I)
    ):
        foreign = next((c for c in text if c.isalpha() and not unicodedata.name(c, "?").startswith("LATIN")), None)
        if foreign:
            raise ValueError(f"the character {foreign!r} is of another script")


def _checked(schema: dict[str, Any], value: Any, step: str) -> Any:
    if found := errors(schema, value, 1):
        raise Unfit(step, found[0])
    return value


async def _result(api: Api, arguments: dict[str, Any], plan: Plan, rng: random.Random, engines: TaskEngines) -> Any:
    """What the call returns: values of the call where names agree, drawn values, and a model's words for the rest."""
    if (api.returns.get("type") or "object") != "object":
        text, holes = draw(
            {"type": "object", "properties": {"result": api.returns}, "required": ["result"]}, rng, plan.today, 1
        )
        return (await _invent(api, arguments, text, holes, None, rng, engines))["result"]
    value, holes = draw(api.returns, rng, plan.today, 0.8, usual=0.75)
    for path, item in leaves(arguments):
        if len(path) == 1 and path[0] in value and not errors(schema_at(api.returns, path), item, 1):
            value[path[0]] = item
            holes = [hole for hole in holes if hole.path != path]
    return await _invent(api, arguments, value, holes, api.returns, rng, engines)


async def _invent(
    api: Api,
    arguments: dict[str, Any],
    value: Any,
    holes: list[Hole],
    schema: dict[str, Any] | None,
    rng: random.Random,
    engines: TaskEngines,
) -> Any:
    if holes:
        request = GenerateRequest(
            messages=prompt("output").render(description=api.description, call=arguments, holes=holes),
            n=2,
            max_tokens=MAX_HOLE_TOKENS,
            temperature=0.8,
            seed=rng.getrandbits(31),
            json_schema=hole_schema(holes),
        )
        answer = await engines.generate("tool", request)
        reason = "no candidate"
        for sample in answer.samples:
            try:
                found = load_json(sample.text)
                _plain_words(found, api)
                candidate = fill(json.loads(canonical_json(value)), holes, found)
                if schema is not None:
                    _checked(schema, candidate, "output")
                return candidate
            except (ValueError, KeyError, TypeError, Unfit) as error:
                reason = str(error)
        raise Unfit("output", reason)
    return value if schema is None else _checked(schema, value, "output")


def day(date: datetime.date) -> str:
    """A date as the system prompt gives it: weekday and ISO 8601."""
    return f"{date:%A}, {date.isoformat()}"
