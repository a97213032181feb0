"""The tool agent: what calls return within one dialog (paper section 2.2).

Invariants: a result validates against the API's returns, or is an error the API documents (or one that any service may
give, records.api.TRANSIENT); the same call gives the same answer again unless something was changed in between; what an
earlier call said of a thing stays true of it.
"""

from __future__ import annotations

import json
import random
from typing import Any

from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.prompts import prompt
from toolace_ray.records.api import TRANSIENT, Api, ApiError, is_error
from toolace_ray.records.dialog import ToolCall
from toolace_ray.records.json import canonical_json, load_json
from toolace_ray.schemas.draw import Hole, draw, fill, hole_schema
from toolace_ray.schemas.validate import errors
from toolace_ray.schemas.walk import schema_at
from toolace_ray.sdg.execution import Session
from toolace_ray.sdg.invented import MAX_HOLE_TOKENS, Unfit, checked, plain_words
from toolace_ray.sdg.plans import Intent, Plan
from toolace_ray.sdg.pool import VERBS, corrections, identifying, listings, words

COUNTS = {"total", "count", "number", "size", "found", "hit", "match"}  # words of fields that count what was found
MIN_NAME = 4  # characters of an identifier by which a thing is remembered


class ToolAgent:
    """Answers the calls of one dialog: values of the call where names agree, drawn values, a model's words for the rest.

    Args:
        servers: asked for the tools that they run.
        strict: an error of theirs that the plan knows nothing of makes the dialog unfit.
    """

    def __init__(
        self, plan: Plan, rng: random.Random, engines: TaskEngines, servers: Session | None = None, strict: bool = False
    ) -> None:
        self._plan, self._rng, self._engines = plan, rng, engines
        self._servers, self._strict = servers, strict
        self._changes = 0
        self._answered: dict[str, Any] = {}
        self._refused: dict[str, Any] = {}
        self._things: dict[tuple[frozenset[str], str], dict[str, Any]] = {}

    async def call(self, api: Api, call: ToolCall, intent: Intent | None = None, attempt: int = 0) -> Any:
        """The result of a call; `attempt` counts the calls of an intent, whose first one its trouble strikes.

        Raises:
            Unfit: no valid result was found.
            EngineError: the engine could not be asked.
        """
        if call.key() in self._refused:
            return self._refused[call.key()]
        if intent is not None and (error := self._trouble(intent, api, attempt)):
            error_result = {"error": {"code": error.code, "message": error.message}}
            if intent.trouble != "retry":
                self._refused[call.key()] = error_result  # the same call fails again
            return error_result
        if self._servers is not None and self._servers.runs(api):
            result = await self._servers.call(api, call)
            if is_error(result):
                if self._strict:
                    raise Unfit("execution", f"{api.name}: {result['error']['message']}")
                return result
            if intent is not None and intent.trouble == "empty" and result:
                raise Unfit("execution", f"{api.name} finds something where nothing was to be found")
            return checked(api.returns, result, "output")
        key = f"{self._changes}/{call.key()}"
        if key not in self._answered:
            empty = intent is not None and intent.trouble == "empty"
            result = await self._result(api, call.arguments, empty)
            if api.side_effects:
                self._changes += 1
                key = f"{self._changes}/{call.key()}"
            self._answered[key] = result
            self._remember(api, call.arguments, result, api.side_effects)
        return self._answered[key]

    def _trouble(self, intent: Intent, api: Api, attempt: int) -> ApiError | None:
        if attempt > 0 or intent.trouble in ("", "empty"):
            return None
        if intent.trouble == "retry":
            return self._rng.choice(TRANSIENT)
        documented = [error for name, error in corrections(api) if name == intent.varied]
        return self._rng.choice(documented if intent.trouble == "correct" else list(api.errors))

    def _remember(self, api: Api, arguments: dict[str, Any], result: Any, changed: bool) -> None:
        """Note what is known now of the thing that the call is about: the one it returns an identifier of, or is given."""
        values = {**arguments, **(result if isinstance(result, dict) else {})}
        new = {name for name in values if name not in arguments}
        named = [name for name, value in values.items() if identifying(name) and _names_one(value)]
        about = [name for name in named if name in new] or named
        if len(about) != 1:
            return
        key = _thing_key(about[0], api, values[about[0]])
        facts = {name: value for name, value in values.items() if not isinstance(value, dict | list)}
        previous = self._things.get(key, {})
        self._things[key] = {**previous, **facts} if changed else {**facts, **previous}

    def _remembered(self, api: Api, arguments: dict[str, Any]) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        for name, value in arguments.items():
            if identifying(name) and _names_one(value):
                facts |= self._things.get(_thing_key(name, api, value), {})
        return facts | arguments

    async def _result(self, api: Api, arguments: dict[str, Any], empty: bool) -> Any:
        if (api.returns.get("type") or "object") != "object":
            if empty:
                return checked(api.returns, [], "output")
            wrapped = {"type": "object", "properties": {"result": api.returns}, "required": ["result"]}
            value, holes = draw(wrapped, self._rng, self._plan.today, 1)
            filled = await self._invent(api, arguments, value, holes)
            return checked(api.returns, filled["result"], "output")
        value, holes = draw(api.returns, self._rng, self._plan.today, 0.8, usual=0.75)
        if empty:
            for name in listings(api):
                value[name] = []
            for name, item in value.items():
                if words(name) & COUNTS and isinstance(item, int) and not isinstance(item, bool):
                    value[name] = 0
            emptied = {*listings(api), *(name for name in value if words(name) & COUNTS)}
            holes = [hole for hole in holes if hole.path[0] not in emptied]
        for name, item in self._remembered(api, arguments).items():
            if name in value and not errors(schema_at(api.returns, (name,)), item, 1):
                value[name] = item
                holes = [hole for hole in holes if hole.path[0] != name]
        return checked(api.returns, await self._invent(api, arguments, value, holes), "output")

    async def _invent(self, api: Api, arguments: dict[str, Any], value: Any, holes: list[Hole]) -> Any:
        if not holes:
            return value
        request = GenerateRequest(
            messages=prompt("output").render(description=api.description, call=arguments, holes=holes),
            n=2,
            max_tokens=MAX_HOLE_TOKENS,
            temperature=0.8,
            seed=self._rng.getrandbits(31),
            json_schema=hole_schema(holes),
        )
        answer = await self._engines.generate("tool", request)
        reason = "no candidate"
        for sample in answer.samples:
            try:
                hole_values = load_json(sample.text)
                if not isinstance(hole_values, dict):
                    raise ValueError("the answer is no object")
                plain_words(hole_values, api)
                filled = fill(json.loads(canonical_json(value)), holes, hole_values)
                if (api.returns.get("type") or "object") == "object":
                    checked(api.returns, filled, "output")
                return filled
            except (ValueError, KeyError, TypeError, Unfit) as error:
                reason = str(error)
        raise Unfit("output", reason)


def _thing_key(name: str, api: Api, value: str) -> tuple[frozenset[str], str]:
    """What an identifier names: a field that is just `id` names what its API is about."""
    name_words = words(name)
    return (name_words | (words(api.name) - VERBS) if len(name_words) == 1 else name_words), value


def _names_one(value: Any) -> bool:
    """True for identifiers that no two things share by chance, as 1 and "A" may."""
    return isinstance(value, str) and len(value) >= MIN_NAME
