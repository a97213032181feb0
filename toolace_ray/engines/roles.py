"""Roles to pools: which engine answers for the user, the assistant, the judge, and what that costs.

Invariants: within one task a role always meets the same pool; every token that a task spends is in its Usage.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import random
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from toolace_ray.config.tree import Config, Role
from toolace_ray.engines.protocol import (
    BadRequest,
    Capabilities,
    Engine,
    EngineError,
    GenerateRequest,
    Generation,
    Sample,
    Score,
    ScoreRequest,
    Unsupported,
)
from toolace_ray.records.usage import Usage

Answer = TypeVar("Answer", Generation, Score)

PROBE = GenerateRequest([{"role": "user", "content": "Hello"}], max_tokens=1, timeout=30.0)
"""What tells whether a pool answers at all."""
SLACK = 1.5  # requests that an engine has for each that fills it: most of a request's samples end before its longest


def in_flight(config: Config, pools: Mapping[str, Capabilities]) -> int:
    """Dialogs that one worker plays at once: execution.in_flight, or as many as keep the pools that play them full.

    A dialog waits for one request at a time. Judges are asked by others, and keep a pool of their own busy.

    Args:
        pools: what the replicas of each pool can do.
    """
    if config.execution.in_flight != "auto":
        return config.execution.in_flight
    samples = (config.generate.query_samples + config.generate.answer_samples) / 2
    room = 0
    for name in {pool for role in config.roles if role != "judge" for pool in config.mix(role)}:
        pool, sequences = config.pools[name], pools[name].sequences
        full = math.ceil(SLACK * sequences / samples) if sequences else pool.max_in_flight
        room += pool.replicas * min(pool.max_in_flight, full)
    return max(1, math.ceil(room / config.execution.workers))


@dataclass(frozen=True)
class Failure:
    """A request that failed: who was asked, and whether the pool answered another request of this process meanwhile."""

    role: Role
    pool: str
    engine: Engine
    others_answered: bool


@dataclass
class TaskEngines:
    """The engines of one task (a dialog, a document, an API). `models` records role -> model asked; `panels` has all pools of
    a role's mix, for those who vote; `answered` counts the answers of each pool, for all tasks of the process together;
    `failure` is the last request that failed; `probes` asks a pool once for all tasks that want to know whether it answers."""

    chosen: Mapping[Role, tuple[str, Engine]]
    config: Config
    affinity: str
    usage: Usage = field(default_factory=Usage)
    models: dict[str, str] = field(default_factory=dict)
    panels: Mapping[Role, list[tuple[str, Engine]]] = field(default_factory=dict)
    answered: Counter[str] = field(default_factory=Counter)
    failure: Failure | None = None
    probes: dict[str, asyncio.Task[bool]] = field(default_factory=dict)

    async def generate(self, role: Role, request: GenerateRequest) -> Generation:
        """Ask the role's engine and count what it spent. Raises EngineError."""
        pool, engine = self.chosen[role]
        return await self._ask(role, pool, engine, request)

    async def _ask(self, role: Role, pool: str, engine: Engine, request: GenerateRequest) -> Generation:
        request = dataclasses.replace(
            request, affinity=self.affinity, timeout=min(request.timeout, self.config.execution.request_timeout)
        )
        answer = await self._answer(role, pool, engine, engine.generate(request))
        self._count(role, pool, answer)
        return answer

    async def _answer(self, role: Role, pool: str, engine: Engine, asked: Awaitable[Answer]) -> Answer:
        before = self.answered[pool]
        try:
            return await asked
        except EngineError:
            self.failure = Failure(role, pool, engine, self.answered[pool] > before)
            raise

    async def panel(self, role: Role, request: GenerateRequest, first: int) -> list[str]:
        """The request's samples as votes of all the role's pools in turn; `first` votes were given before. Raises EngineError."""
        pools = self.panels.get(role, ())
        if len(pools) < 2:
            return [sample.text for sample in (await self.generate(role, request)).samples]
        votes: list[Sample] = []
        for number in range(first, first + request.n):
            pool, engine = pools[number % len(pools)]
            votes += (await self._ask(role, pool, engine, dataclasses.replace(request, n=1))).samples
        return [sample.text for sample in votes]

    async def score(self, role: Role, request: ScoreRequest) -> Score:
        """Teacher-forced log-probabilities of the role's engine, counted as prompt tokens. Raises EngineError."""
        pool, engine = self.chosen[role]
        request = dataclasses.replace(
            request, affinity=self.affinity, timeout=min(request.timeout, self.config.execution.request_timeout)
        )
        answer = await self._answer(role, pool, engine, engine.score(request))
        self._count(role, pool, Generation((), len(request.token_ids)))
        return answer

    async def pool_answers(self) -> bool:
        """Whether the pool of the last failed request answers others: it did so meanwhile, or answers one token now.

        What asking costs is counted for the task that asks first.
        """
        failure = self.failure
        if failure is None or failure.others_answered:
            return True
        if failure.pool not in self.probes or self.probes[failure.pool].done():
            self.probes[failure.pool] = asyncio.ensure_future(self._probe(failure))
        return await asyncio.shield(self.probes[failure.pool])

    async def _probe(self, failure: Failure) -> bool:
        try:
            answer = await failure.engine.generate(PROBE)
        except (BadRequest, Unsupported):  # a refusal is an answer
            return True
        except EngineError:
            return False
        self._count(failure.role, failure.pool, answer)
        return True

    def _count(self, role: Role, pool: str, answer: Generation) -> None:
        self.answered[pool] += 1
        settings = self.config.pools[pool]
        self.models[role] = settings.model  # as configured: a folder of this machine's cache tells nobody anything
        self.usage.requests += 1
        self.usage.prompt_tokens += answer.prompt_tokens
        self.usage.cached_tokens += answer.cached_tokens
        self.usage.tokens += answer.tokens
        self.usage.estimated_tokens += answer.estimated
        price = answer.prompt_tokens * settings.price_prompt + answer.tokens * settings.price_completion
        self.usage.cost += price / 1_000_000


class Engines:
    """All pools of a process. `for_task` draws each role's pool from its mix, by the task's id."""

    def __init__(self, config: Config, pools: Mapping[str, Engine]) -> None:
        self._config = config
        self._pools = pools
        self._answered: Counter[str] = Counter()
        self._probes: dict[str, asyncio.Task[bool]] = {}

    def close(self) -> None:
        """End the probes that are under way."""
        for probe in self._probes.values():
            probe.cancel()

    def for_task(self, task_id: str) -> TaskEngines:
        """The engines of one task; deterministic in its id."""
        chosen: dict[Role, tuple[str, Engine]] = {}
        panels: dict[Role, list[tuple[str, Engine]]] = {}
        for role in self._config.roles:
            mix = self._config.mix(role)
            name = random.Random(f"{task_id}/{role}").choices(list(mix), list(mix.values()))[0]
            chosen[role] = (name, self._pools[name])
            panels[role] = [(other, self._pools[other]) for other in mix if other in self._pools]
        return TaskEngines(chosen, self._config, task_id, panels=panels, answered=self._answered, probes=self._probes)
