"""The pool client: what a worker process has of a pool. It is an Engine; it routes by itself.

Invariants: a request is answered once or fails with one EngineError; it is never given to a replica that is known to be
full while another one has room; no request outlives its deadline. A replica's load is what it last replied, and that
report halves every HALF_LIFE seconds: nobody tells a client when another one's burst is over, so a replica that it does
not ask would otherwise stay busy for it for ever. (Drawing two replicas at random and taking the less loaded one would
not help: of two replicas both are drawn, and the old report decides.)
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError, RayTaskError, TaskCancelledError

from actors.replica import Reply
from toolace_ray.engines.protocol import (
    BadRequest,
    Capabilities,
    EngineDead,
    EngineError,
    EngineFull,
    EngineTimeout,
    GenerateRequest,
    Generation,
    Score,
    ScoreRequest,
    reason,
)

REMEMBERED = 4096  # dialogs whose last replica is kept in mind
DEATHS = 5  # replicas that may die while they hold a request before the request is taken for the cause
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
HALF_LIFE = 0.5  # seconds after which a report of others' requests counts half


@dataclasses.dataclass
class _ReplicaView:
    """What this client knows of a replica: its own requests there, and what others had there when it last replied, at
    the time `heard`."""

    mine: int = 0
    others: int = 0
    reported_at: float = 0.0
    down_until: float = 0.0

    def load(self, now: float) -> float:
        """Requests in flight there, as far as is known; others' fade."""
        return self.mine + self.others * 0.5 ** ((now - self.reported_at) / HALF_LIFE)


class PoolClient:
    """An Engine over the replicas of one pool.

    Args:
        name: the pool's name, for messages.
        replicas: actor handles of Replica.
        capabilities: the replicas', all equal.
        margin: how many more requests than the least loaded the replica used last may have and still be chosen.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        name: str,
        replicas: Sequence[Any],
        capabilities: Capabilities,
        margin: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._clock = clock
        self.capabilities = capabilities
        self._replicas = list(replicas)
        self._margin = margin
        self._views = [_ReplicaView() for _ in self._replicas]
        self._last_replica: OrderedDict[str, int] = OrderedDict()

    async def generate(self, request: GenerateRequest) -> Generation:
        """See Engine.generate."""
        value = await self._send("generate", request)
        assert isinstance(value, Generation)
        return value

    async def score(self, request: ScoreRequest) -> Score:
        """See Engine.score."""
        value = await self._send("score", request)
        assert isinstance(value, Score)
        return value

    def pick(self, affinity: str, avoid: frozenset[int] | set[int] = frozenset()) -> int | None:
        """The index of the replica for a request: the one that `affinity` used last, unless it has more than `margin`
        requests more than the least loaded, else that one. None when all are to be avoided or down."""
        now = self._clock()
        usable = [i for i, view in enumerate(self._views) if i not in avoid and view.down_until <= now]
        if not usable:
            return None
        least = min(usable, key=lambda i: self._views[i].load(now))
        last = self._last_replica.get(affinity) if affinity else None
        if last in usable and self._views[last].load(now) <= self._views[least].load(now) + self._margin:
            return last
        return least

    def _take_report(self, index: int, load: int) -> None:
        """Take a replica's own word on its load."""
        view = self._views[index]
        view.others, view.reported_at = max(0, load - view.mine), self._clock()

    async def _send(self, method: str, request: Any) -> Any:
        deadline = self._clock() + request.timeout
        refused: set[int] = set()
        pause = FIRST_PAUSE
        last_failure = ""
        deaths = 0
        while True:
            seconds_left = deadline - self._clock()
            if seconds_left <= 0:
                if last_failure:  # the engine's fault, not the request's
                    raise EngineDead(
                        f"pool {self.name}: no replica served for {request.timeout:.0f} s; last: {last_failure}"
                    )
                raise EngineTimeout(f"pool {self.name}: no answer within {request.timeout:.0f} s")
            index = self.pick(request.affinity, refused)
            if index is None:
                await asyncio.sleep(min(pause, seconds_left))
                pause = min(2 * pause, LONGEST_PAUSE)
                refused.clear()
                continue
            view = self._views[index]
            view.mine += 1
            try:
                reply = await self._ask(index, method, dataclasses.replace(request, timeout=seconds_left), seconds_left)
            except RayTaskError as error:  # a fault of ours in the replica: this request's, not the replica's
                raise EngineError(f"pool {self.name}: {reason(error)}") from error
            except RayError as error:  # died, unavailable, out of memory
                # Ray restarts it; until then the others serve, or we wait.
                last_failure = next(iter(str(error).splitlines()), type(error).__name__)
                deaths += isinstance(error, ActorDiedError)
                if deaths >= DEATHS:
                    raise BadRequest(
                        f"pool {self.name}: {deaths} replicas died on this request: {last_failure}"
                    ) from error
                view.others, view.down_until = 0, self._clock() + pause
                refused.add(index)
                continue
            finally:
                view.mine -= 1
            last_failure = ""
            self._take_report(index, reply.load)
            if reply.status == "ok":
                self._remember(request.affinity, index)
                return reply.value
            if isinstance(reply.value, EngineDead):
                view.down_until = self._clock() + pause
                last_failure = str(reply.value)
            elif isinstance(reply.value, EngineError) and not isinstance(reply.value, EngineFull):
                raise reply.value
            refused.add(index)

    async def _ask(self, index: int, method: str, request: Any, seconds_left: float) -> Reply:
        reference = getattr(self._replicas[index], method).remote(request)
        try:
            # The replica keeps the deadline itself; the extra seconds let its own word arrive first.
            reply = await asyncio.wait_for(reference, seconds_left + 5)
        except asyncio.CancelledError:
            ray.cancel(reference)
            raise
        except (TimeoutError, TaskCancelledError) as error:
            ray.cancel(reference)
            raise EngineTimeout(f"pool {self.name}: a replica did not answer in time") from error
        assert isinstance(reply, Reply)
        return reply

    def _remember(self, affinity: str, index: int) -> None:
        if affinity:
            self._last_replica[affinity] = index
            self._last_replica.move_to_end(affinity)
            if len(self._last_replica) > REMEMBERED:
                self._last_replica.popitem(last=False)
