"""What a dialog is to be, decided in code before a model is asked: its APIs, candidates, date and variant.

Invariants: a plan depends on the pool, the configuration and the task's seed alone; candidates are drawn without
replacement; in a non-tool dialog of the kind `no_function` no candidate shares the wanted API's domain or name.
"""

from __future__ import annotations

import datetime
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toolace_ray.config import GenerateConfig
from toolace_ray.schema import KINDS, Api, DialogType, Kind

FIRST_DAY = datetime.date(2024, 1, 1)
DAYS = 3 * 365
MAX_SPOKEN = 5  # values that one request can carry and still sound like a person


FieldKey = tuple[str, str]  # a field's name in lower case, and its type
_IDENTIFYING = re.compile(r"(^|_)(id|code|number|reference|key)$")


@dataclass(frozen=True)
class Link:
    """The value `name` of `source`'s result feeds `target`'s parameter of the same name."""

    source: Api
    target: Api
    name: str


@dataclass(frozen=True)
class Pool:
    """The API pool with the indexes that planning needs, linear in its size; made once a process.

    `producers` and `consumers` are the tool graph: a returned identifier feeds an equally named and typed required
    parameter of another API. A field that the source itself takes as a parameter is no link: its value is the user's.
    """

    apis: tuple[Api, ...]
    domains: dict[str, tuple[Api, ...]]
    producers: dict[FieldKey, tuple[Api, ...]]
    consumers: tuple[tuple[Api, str, FieldKey], ...]

    @staticmethod
    def of(apis: Sequence[Api]) -> Pool:
        """Index a pool. Its order does not matter: APIs are sorted by id."""
        ordered = sorted(apis, key=lambda api: api.id)
        domains: dict[str, list[Api]] = {}
        producers: dict[FieldKey, list[Api]] = {}
        for api in ordered:
            domains.setdefault(domain(api), []).append(api)
            for name in api.returns.get("required") or ():
                schema = (api.returns.get("properties") or {}).get(name)
                if name not in api.properties and isinstance(schema, dict):
                    producers.setdefault(_field_key(name, schema), []).append(api)
        consumers = [
            (api, name, key)
            for api in ordered
            for name in api.required
            if _IDENTIFYING.search(name.lower()) and (key := _field_key(name, api.properties[name])) in producers
        ]
        return Pool(tuple(ordered), _frozen(domains), _frozen(producers), tuple(consumers))

    def links(self, target: Api, name: str, key: FieldKey) -> list[Link]:
        """The links into one parameter."""
        return [Link(source, target, name) for source in self.producers[key] if source.id != target.id]


def _field_key(name: str, schema: dict[str, Any]) -> FieldKey:
    return name.lower(), str(schema.get("type"))


def _frozen(index: dict[Any, list[Api]]) -> dict[Any, tuple[Api, ...]]:
    return {key: tuple(value) for key, value in index.items()}


def domain(api: Api) -> str:
    """The root of the API's domain path, lower case."""
    return api.domain[0].lower() if api.domain else ""


@dataclass(frozen=True)
class Task:
    """One attempt at one dialog. `seed` is below 2**31."""

    id: str
    kind: Kind
    attempt: int
    seed: int

    @property
    def type(self) -> DialogType:
        """The dialog's type."""
        return KINDS[self.kind]


@dataclass(frozen=True)
class Plan:
    """A plan. `variant` refines the type: plain, error, same_api, two_apis, chain, no_function, missing."""

    task: Task
    today: datetime.date
    variant: str
    wanted: tuple[Api, ...]
    tools: tuple[Api, ...]
    link: Link | None = None
    missing: str | None = None


class NoPlan(Exception):
    """The pool has no API, or no link, that this type of dialog needs."""


def callable_apis(apis: Sequence[Api]) -> list[Api]:
    """APIs whose required values a person can say in one breath."""
    return [api for api in apis if 1 <= _spoken(api) <= MAX_SPOKEN]


def _spoken(api: Api) -> int:
    return sum(
        len(schema.get("properties") or ()) or 1
        for name in api.required
        if isinstance(schema := api.properties.get(name), dict)
    )


def make_plan(task: Task, pool: Pool, config: GenerateConfig) -> Plan:
    """Plan a dialog. Raises NoPlan when the pool can't carry the type."""
    rng = random.Random(f"plan/{task.seed}")
    today = FIRST_DAY + datetime.timedelta(days=rng.randrange(DAYS))
    usable = callable_apis(pool.apis)
    if not usable:
        raise NoPlan("no API of the pool has between one and five required values")
    if task.type == "dependent":
        link = _draw_link(pool, rng)
        wanted: tuple[Api, ...] = (link.source, link.target)
        return Plan(task, today, "chain", wanted, _candidates(wanted, pool, config, rng), link)
    api = _balanced(usable, rng)
    if task.type == "parallel":
        short = [item for item in usable if _spoken(item) <= 3] or usable
        api = _balanced(short, rng)
        others = [item for item in short if domain(item) == domain(api) and item.name != api.name]
        if others and rng.random() < 0.5:
            wanted = (api, rng.choice(others))
            return Plan(task, today, "two_apis", wanted, _candidates(wanted, pool, config, rng))
        return Plan(task, today, "same_api", (api, api), _candidates((api,), pool, config, rng))
    if task.kind == "no_function":
        tools = _foreign(api, pool, config, rng)
        return Plan(task, today, "no_function", (api,), tools)
    if task.kind == "missing":
        # A boolean can't be seen to be missing, and an identifier is no thing to ask a person for first.
        askable = [
            (item, name)
            for item in usable
            for name in item.required
            if item.properties[name].get("type") in ("string", "integer", "number")
            and not _IDENTIFYING.search(name.lower())
        ]
        if not askable:
            raise NoPlan("no API of the pool has a required value to ask for")
        apis = sorted({item.id for item, _ in askable})
        chosen = rng.choice(apis)
        api, missing = rng.choice([pair for pair in askable if pair[0].id == chosen])
        return Plan(task, today, "missing", (api,), _candidates((api,), pool, config, rng), missing=missing)
    variant = "error" if api.errors and rng.random() < config.error_share else "plain"
    return Plan(task, today, variant, (api,), _candidates((api,), pool, config, rng))


def _draw_link(pool: Pool, rng: random.Random) -> Link:
    for target, name, key in rng.sample(pool.consumers, len(pool.consumers)):
        links = [
            link
            for link in pool.links(target, name, key)
            # The linked value is not said by the user.
            if _spoken(link.source) >= 1 and _spoken(link.source) + _spoken(target) <= MAX_SPOKEN + 1
        ]
        if links:
            return rng.choice(links)
    raise NoPlan("no result of one API feeds a parameter of another (equal names that end in id, code, number ...)")


def _balanced(apis: Sequence[Api], rng: random.Random) -> Api:
    """An API from a domain drawn first, so that a large imported spec does not drown the rest."""
    chosen = rng.choice(sorted({domain(api) for api in apis}))
    return rng.choice([api for api in apis if domain(api) == chosen])


def _candidates(wanted: tuple[Api, ...], pool: Pool, config: GenerateConfig, rng: random.Random) -> tuple[Api, ...]:
    """The wanted APIs among distractors, mostly of their own domain, all names different, in random order."""
    count = max(rng.randint(config.min_tools, config.max_tools), len(wanted))
    chosen = list({api.id: api for api in wanted}.values())
    names = {api.name for api in chosen}
    near = list(pool.domains.get(domain(wanted[0]), ()))
    rng.shuffle(near)
    tries = 0
    while len(chosen) < count and tries < 8 * count:
        tries += 1
        api = near.pop() if near and rng.random() < 0.7 else rng.choice(pool.apis)
        if api.name not in names:
            chosen.append(api)
            names.add(api.name)
    rng.shuffle(chosen)
    return tuple(chosen)


def _foreign(wanted: Api, pool: Pool, config: GenerateConfig, rng: random.Random) -> tuple[Api, ...]:
    """Candidates of other domains than the wanted API's."""
    count = rng.randint(config.min_tools, config.max_tools)
    chosen: dict[str, Api] = {}
    for _ in range(16 * count):
        api = rng.choice(pool.apis)
        if domain(api) != domain(wanted) and api.name != wanted.name:
            chosen.setdefault(api.name, api)
        if len(chosen) == count:
            break
    if not chosen:
        raise NoPlan("the pool has no API outside the wanted one's domain")
    return tuple(chosen.values())
