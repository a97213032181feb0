"""Blueprints: the gold calls and their results, made before a word is said (APIGen-MT, ToolACE-MT, Magnet).

Invariants: every gold call validates against its API's parameters and every result against its returns (or is an error
that the API documents); a linked argument equals the result field it comes from; no two calls of a dialog are the same,
but for those made again after an error.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from toolace_ray.engines.roles import TaskEngines
from toolace_ray.records.api import Api
from toolace_ray.records.dialog import ToolCall
from toolace_ray.sdg import invented
from toolace_ray.sdg.execution import Session
from toolace_ray.sdg.invented import Unfit
from toolace_ray.sdg.plans import Intent, Plan, PlannedGroup
from toolace_ray.sdg.tools import ToolAgent
from toolace_ray.text.values import caseless

OPTIONAL_SHARE = 0.3  # of an API's optional parameters a caller gives
REDRAWS = 4


@dataclass(frozen=True)
class GoldCall:
    """A call and what it returns."""

    call: ToolCall
    result: Any


@dataclass(frozen=True)
class Gold:
    """What becomes of an intent: its calls in order (two where the first one fails and is made again), and what is said.

    Attributes:
        said: arguments that the user's request states.
        later: arguments that the user states when asked.
    """

    intent: Intent
    calls: tuple[GoldCall, ...]
    said: dict[str, Any]
    later: dict[str, Any]

    @property
    def api(self) -> Api:
        """The API that is called."""
        return self.intent.api

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the last call."""
        return self.calls[-1].call.arguments


async def gold_calls(
    plan: Plan, rng: random.Random, engines: TaskEngines, servers: Session | None = None
) -> list[Gold]:
    """What becomes of each intent of a plan, in order; an intent that no function fits has a call without a result.

    Raises:
        Unfit: no valid arguments or results were found.
        EngineError: an engine could not be asked.
    """
    agent = ToolAgent(plan, rng, engines, servers, strict=True)
    gold: list[Gold] = []
    seen: set[str] = set()
    for group in plan.groups:
        for intent in group.intents:
            answered = group.kind == "calls" and group.ends == "answer"
            gold.append(await _gold(intent, group, plan, gold, seen, agent if answered else None, rng, engines))
    return gold


async def _gold(
    intent: Intent,
    group: PlannedGroup,
    plan: Plan,
    earlier: list[Gold],
    seen: set[str],
    agent: ToolAgent | None,
    rng: random.Random,
    engines: TaskEngines,
) -> Gold:
    api = intent.api
    fixed_values: dict[str, Any] = {}
    if intent.link is not None:
        source = earlier[intent.link.source].calls[-1].result
        if not isinstance(source, dict) or intent.link.field not in source:
            raise Unfit("arguments", f"the result has no {intent.link.field}")
        fixed_values = {intent.link.name: source[intent.link.field]}
    elif intent.like is not None:
        fixed_values = {name: value for name, value in earlier[intent.like].arguments.items() if name != intent.varied}
    # An intent that is repeated, or of which a value is to be missing, is said with what it needs and no more.
    with_optional = (
        intent.missing is None
        and not any(other.like == intent.number for other in plan.intents)
        and intent.like is None
    )
    arguments = await _fresh(intent, fixed_values, OPTIONAL_SHARE if with_optional else 0.0, plan, seen, rng, engines)
    if agent is None:
        call = ToolCall(id="", name=api.name, arguments=arguments)
        return Gold(intent, (GoldCall(call, None),), _without(arguments, intent.missing), {})
    calls = [await _gold_call(intent, arguments, 0, agent, len(seen))]
    said = _without(arguments, intent.link.name if intent.link else None, intent.missing)
    later = {intent.missing: arguments[intent.missing]} if intent.missing else {}
    if intent.like is not None and intent.varied is not None and not group.parallel:
        said = {intent.varied: arguments[intent.varied]}
    if intent.trouble == "retry":
        calls.append(await _gold_call(intent, arguments, 1, agent, len(seen), "b"))
    elif intent.trouble == "correct" and intent.varied is not None:
        corrected = await _fresh(intent, _without(arguments, intent.varied), 0.0, plan, seen, rng, engines)
        calls.append(await _gold_call(intent, corrected, 1, agent, len(seen)))
        later = {intent.varied: corrected[intent.varied]}
    return Gold(intent, tuple(calls), said, later)


async def _fresh(
    intent: Intent,
    fixed_values: dict[str, Any],
    optional: float,
    plan: Plan,
    seen: set[str],
    rng: random.Random,
    engines: TaskEngines,
) -> dict[str, Any]:
    """Arguments that no call of the dialog has."""
    for _ in range(REDRAWS):
        arguments = await invented.arguments(intent.api, fixed_values, optional, plan, rng, engines)
        key = caseless(ToolCall(name=intent.api.name, arguments=arguments).key())
        if key not in seen:
            seen.add(key)
            return arguments
    raise Unfit("arguments", f"two calls of {intent.api.name} are the same")


async def _gold_call(
    intent: Intent, arguments: dict[str, Any], attempt: int, agent: ToolAgent, number: int, suffix: str = ""
) -> GoldCall:
    call = ToolCall(id=f"call_{number}{suffix}", name=intent.api.name, arguments=arguments)
    return GoldCall(call, await agent.call(intent.api, call, intent, attempt))


def _without(arguments: dict[str, Any], *names: str | None) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in names}
