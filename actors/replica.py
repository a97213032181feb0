"""One engine replica: an actor that owns an engine and its share of the machine.

Invariants: a replica never queues beyond its limit, it refuses with its load; a replica whose engine has died ends its
process at once, so that Ray restarts it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass
from typing import Any, Literal

from ray.util.metrics import Counter, Gauge, Histogram

from toolace_ray.config.tree import PoolConfig
from toolace_ray.engines.build import build
from toolace_ray.engines.cores import Share
from toolace_ray.engines.protocol import (
    Capabilities,
    Engine,
    EngineDead,
    EngineError,
    GenerateRequest,
    Generation,
    Score,
    ScoreRequest,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """What a replica sends back. `load` is its requests in flight when it answered."""

    status: Literal["ok", "full", "error"]
    load: int
    value: Generation | Score | EngineError | None = None


class Replica:
    """The actor class. Requests are served concurrently on its event loop."""

    def __init__(self, pool: str, config: PoolConfig, share: Share, work: float = 0) -> None:
        self._pool, self._config = pool, config
        self._share, self._work = share, work
        self._engine: Engine | None = None
        self._building = asyncio.Lock()
        self._active = 0
        tags = {"pool": pool}
        self._tokens = Counter("toolace_generated_tokens", "Generated tokens.", ("pool",))
        self._prompt_tokens = Counter("toolace_prompt_tokens", "Prompt tokens.", ("pool",))
        self._cached_tokens = Counter("toolace_cached_tokens", "Prompt tokens served by the prefix cache.", ("pool",))
        self._load = Gauge("toolace_requests_in_flight", "Requests in flight in a replica.", ("pool",))
        self._latency = Histogram(
            "toolace_request_seconds", "Time of a request in its replica.", [0.1, 0.3, 1, 3, 10, 30, 100], ("pool",)
        )
        for metric in (self._tokens, self._prompt_tokens, self._cached_tokens, self._load, self._latency):
            metric.set_default_tags(tags)

    async def ready(self) -> Capabilities:
        """Load the engine, if it is not loaded yet, try it, and say what it can do. Raises UserError or EngineError."""
        engine = await self._built()
        if self._config.engine == "vllm":  # a model that loads but can't run must be known before work is handed out
            await engine.generate(GenerateRequest([{"role": "user", "content": "Hello"}], max_tokens=1))
        return engine.capabilities

    async def _built(self) -> Engine:
        async with self._building:  # after a restart the first request loads it
            if self._engine is None:
                # In a thread: a model loads for seconds or minutes, and whoever asks meanwhile is to have an answer.
                self._engine = await asyncio.to_thread(build, self._config, self._share, self._pool, self._work)
        return self._engine

    async def pid(self) -> int:
        """The process id of the actor (for tests and operators)."""
        return os.getpid()

    async def generate(self, request: GenerateRequest) -> Reply:
        """See Engine.generate."""
        return await self._serve("generate", request)

    async def score(self, request: ScoreRequest) -> Reply:
        """See Engine.score."""
        return await self._serve("score", request)

    async def _serve(self, method: str, request: Any) -> Reply:
        if self._active >= self._config.max_in_flight:
            return Reply("full", self._active)
        self._active += 1
        self._load.set(self._active)
        started = time.monotonic()
        try:
            value = await getattr(await self._built(), method)(request)
            if isinstance(value, Generation):
                counts = (value.tokens, value.prompt_tokens, value.cached_tokens)
                for counter, count in zip(
                    (self._tokens, self._prompt_tokens, self._cached_tokens), counts, strict=True
                ):
                    if count:  # Ray's counters refuse zero
                        counter.inc(count)
            self._latency.observe(time.monotonic() - started)
            return Reply("ok", self._active - 1, value)
        except EngineDead as error:
            if self._config.engine == "vllm":
                logger.exception("the engine has died; this replica ends, Ray starts it again")
                os._exit(1)  # exit_actor would count as intended and not be restarted
            return Reply("error", self._active - 1, error)
        except EngineError as error:
            return Reply("error", self._active - 1, error)
        finally:
            self._active -= 1
            self._load.set(self._active)
