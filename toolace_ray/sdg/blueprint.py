"""Blueprints: the gold calls and their results, made before a word is said (APIGen-MT, ToolACE-MT, Magnet).

Invariants: every gold call validates against its API's parameters and every result against its returns (or is an error
that the API documents); a linked argument equals the result field it comes from; no two calls of a dialog are the same,
but for those made again after an error.
"""

from __future__ import annotations

import datetime
import random
from dataclasses import dataclass
from typing import Any

from toolace_ray.engines.roles import TaskEngines
from toolace_ray.records.api import Api
from toolace_ray.records.dialog import ToolCall
from toolace_ray.sdg import invented
from toolace_ray.sdg.execution import Session
from toolace_ray.sdg.invented import Unfit
from toolace_ray.sdg.plans import Exchange, Plan, Wish
from toolace_ray.sdg.tools import ToolAgent
from toolace_ray.text.values import folded

OPTIONAL_SHARE = 0.3  # of an API's optional parameters a caller gives
REDRAWS = 4


@dataclass(frozen=True)
class GoldCall:
    """A call and what it returns."""

    call: ToolCall
    result: Any


@dataclass(frozen=True)
class Gold:
    """What becomes of a wish: its calls in order (two where the first one fails and is made again), and what is said.

    Attributes:
        said: arguments that the user's request states.
        later: arguments that the user states when asked.
    """

    wish: Wish
    calls: tuple[GoldCall, ...]
    said: dict[str, Any]
    later: dict[str, Any]

    @property
    def api(self) -> Api:
        """The API that is called."""
        return self.wish.api

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the last call."""
        return self.calls[-1].call.arguments


async def gold_calls(
    plan: Plan, rng: random.Random, engines: TaskEngines, servers: Session | None = None
) -> list[Gold]:
    """What becomes of each wish of a plan, in order; a wish that no function fits has a call without a result.

    Raises:
        Unfit: no valid arguments or results were found.
        EngineError: an engine could not be asked.
    """
    agent = ToolAgent(plan, rng, engines, servers, strict=True)
    made: list[Gold] = []
    seen: set[str] = set()
    for exchange in plan.exchanges:
        for wish in exchange.wishes:
            called = exchange.kind == "calls" and exchange.ends == "answer"
            made.append(await _gold(wish, exchange, plan, made, seen, agent if called else None, rng, engines))
    return made


async def _gold(
    wish: Wish,
    exchange: Exchange,
    plan: Plan,
    made: list[Gold],
    seen: set[str],
    agent: ToolAgent | None,
    rng: random.Random,
    engines: TaskEngines,
) -> Gold:
    api = wish.api
    known: dict[str, Any] = {}
    if wish.link is not None:
        source = made[wish.link.source].calls[-1].result
        if not isinstance(source, dict) or wish.link.field not in source:
            raise Unfit("arguments", f"the result has no {wish.link.field}")
        known = {wish.link.name: source[wish.link.field]}
    elif wish.like is not None:
        known = {name: value for name, value in made[wish.like].arguments.items() if name != wish.varied}
    # A wish that is repeated, or of which a value is to be missing, is said with what it needs and no more.
    plain = wish.missing is None and not any(other.like == wish.number for other in plan.wishes) and wish.like is None
    first = await _fresh(wish, known, OPTIONAL_SHARE if plain else 0.0, plan, seen, rng, engines)
    if agent is None:
        call = ToolCall(id="", name=api.name, arguments=first)
        return Gold(wish, (GoldCall(call, None),), _without(first, wish.missing), {})
    calls = [await _called(wish, first, 0, agent, len(seen))]
    said = _without(first, wish.link.name if wish.link else None, wish.missing)
    later = {wish.missing: first[wish.missing]} if wish.missing else {}
    if wish.like is not None and wish.varied is not None and not exchange.parallel:
        said = {wish.varied: first[wish.varied]}
    if wish.trouble == "retry":
        calls.append(await _called(wish, first, 1, agent, len(seen), "b"))
    elif wish.trouble == "correct" and wish.varied is not None:
        second = await _fresh(wish, _without(first, wish.varied), 0.0, plan, seen, rng, engines)
        calls.append(await _called(wish, second, 1, agent, len(seen)))
        later = {wish.varied: second[wish.varied]}
    return Gold(wish, tuple(calls), said, later)


async def _fresh(
    wish: Wish,
    known: dict[str, Any],
    optional: float,
    plan: Plan,
    seen: set[str],
    rng: random.Random,
    engines: TaskEngines,
) -> dict[str, Any]:
    """Arguments that no call of the dialog has."""
    for _ in range(REDRAWS):
        found = await invented.arguments(wish.api, known, optional, plan, rng, engines)
        key = folded(ToolCall(name=wish.api.name, arguments=found).key())
        if key not in seen:
            seen.add(key)
            return found
    raise Unfit("arguments", f"two calls of {wish.api.name} are the same")


async def _called(
    wish: Wish, arguments: dict[str, Any], attempt: int, agent: ToolAgent, number: int, suffix: str = ""
) -> GoldCall:
    call = ToolCall(id=f"call_{number}{suffix}", name=wish.api.name, arguments=arguments)
    return GoldCall(call, await agent.call(wish.api, call, wish, attempt))


def _without(arguments: dict[str, Any], *names: str | None) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in names}


def day(date: datetime.date) -> str:
    """A date as the system prompt gives it: weekday and ISO 8601."""
    return f"{date:%A}, {date.isoformat()}"
