"""A worker: an async actor that plays many attempts at once and commits what they gave in small shards.

Invariants: a finished attempt is committed without waiting for another one; what is committed is on disk before the
planner hears of it; a lease is played, released or lost with the process, never dropped; what was spent on an attempt is
committed with its row, or, where it gets none (it is given back, or the flow is done), as a row of `spent`. An engine's
failure is the attempt's own only if the pool that failed answered another request meanwhile or answers one afterwards;
a pool that answers nobody ends the worker once its patience is over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from actors.planner import Lease
from actors.players import PLAYERS, Played, Player
from actors.pools import PoolHandles, clients
from toolace_ray.config.tree import Config
from toolace_ray.engines.protocol import BadRequest, EngineError, EngineRefused, EngineTimeout, Unsupported
from toolace_ray.engines.roles import Engines, TaskEngines, in_flight
from toolace_ray.records.verdict import Verdict
from toolace_ray.store.folder import attempt_id, task_row
from toolace_ray.store.rows import DRAFT, LEDGER, SPENT, ledger_row, spent_in, usage_columns
from toolace_ray.store.storage import RunStore

logger = logging.getLogger(__name__)
LEASE_WAIT = 5.0  # seconds a lease request may wait in the planner
IDLE = 0.2  # seconds without a lease and with nothing in flight, after which what is there is committed
PATIENCE = 20  # failures in a row, without one answer or one attempt that worked, after which the worker gives up;
PATIENCE_SECONDS = 120.0  # engine failures must also have lasted so long: many are in flight when an engine hiccups


class Worker:
    """The actor class.

    Args:
        name: unique among all workers of the run's epoch; part of the shards' names.
        player: `descriptions`, `documents`, `nodes`, `apis`, `dialogs` or `contrasts`.
        drafts: folder of the shards.
    """

    def __init__(
        self, name: str, player: str, drafts: str, config: Config, uri: str, pools: dict[str, PoolHandles], planner: Any
    ) -> None:
        self._name = name
        self._drafts = drafts
        self._config = config
        self._store = RunStore(uri)
        self._planner = planner
        self._engines = Engines(config, clients(pools, config.execution.affinity_margin))
        self._limit = in_flight(config, {name: pool.capabilities for name, pool in pools.items()})
        self._player: Player = PLAYERS[player](config, self._store)
        self._buffer: list[Played] = []
        self._spent: list[dict[str, Any]] = []
        self._oldest = 0.0
        self._shards = 0
        self._faults = 0
        self._unanswered = 0
        self._last_answer = time.monotonic()

    async def run(self) -> None:
        """Play until the planner says that the flow is done.

        Raises:
            EngineError: an engine answers nobody any more, or refuses us altogether.
        """
        limit = self._limit
        active: dict[asyncio.Task[None], Lease] = {}
        asking: asyncio.Task[list[Lease] | None] | None = None
        try:
            while True:
                if asking is None and len(active) < limit:
                    asking = asyncio.ensure_future(self._lease(limit - len(active)))
                waiting = {*active, *([asking] if asking else [])}
                timeout = self._seconds_until_commit(bool(active))
                await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                if asking is not None and asking.done():
                    leases = asking.result()
                    asking = None
                    if leases is None:
                        break
                    for lease in leases:
                        active[asyncio.ensure_future(self._play(lease))] = lease
                for task in [played for played in active if played.done()]:
                    task.result()
                    del active[task]
                if self._commit_is_due(bool(active) or asking is None):
                    await self._commit()
        finally:
            for running in (*active, *([asking] if asking else [])):
                running.cancel()
            self._engines.close()
            await asyncio.gather(*active, return_exceptions=True)
            await self._commit()

    async def _lease(self, count: int) -> list[Lease] | None:
        leases: list[Lease] | None = await self._planner.lease.remote(self._name, count, LEASE_WAIT)
        return leases

    def _seconds_until_commit(self, busy: bool) -> float | None:
        """Seconds to wait at most: until the shard is old, or until it is clear that the planner has nothing to give."""
        if not self._buffer and not self._spent:
            return None
        old = max(0.0, self._oldest + self._config.execution.shard_seconds - time.monotonic())
        return old if busy else min(old, IDLE)

    def _commit_is_due(self, busy: bool) -> bool:
        """A shard is due when it is full or old, or when nothing is in flight and the planner keeps us waiting: what it waits
        for may be this shard."""
        if not self._buffer and not self._spent:
            return False
        execution = self._config.execution
        old = time.monotonic() - self._oldest >= execution.shard_seconds
        return len(self._buffer) >= execution.shard_rows or old or not busy

    async def _play(self, lease: Lease) -> None:
        engines = self._engines.for_task(attempt_id(self._config, *lease))
        played: Played | None = None
        try:
            played = await self._attempt(lease, engines)
        finally:  # cancelled, too: what it spent is known whatever becomes of it
            if not self._buffer and not self._spent:
                self._oldest = time.monotonic()
            if played is not None:
                self._buffer.append(played)
            elif engines.usage.requests:
                self._spent.append({**task_row(self._config, *lease), **usage_columns(engines.usage, 0.0)})

    async def _attempt(self, lease: Lease, engines: TaskEngines) -> Played | None:
        """Play an attempt; None when it was given back."""
        kind, attempt = lease
        try:
            played = await self._player.play(kind, attempt, engines)
        except (BadRequest, Unsupported) as error:
            return self._failure(lease, engines, "request_refused", error)
        except EngineError as error:
            logger.warning("%s %s: %s", kind, attempt, error)
            if await self._is_own(lease, engines, error):
                rule = "timeout" if isinstance(error, EngineTimeout) else "engine_failure"
                return self._failure(lease, engines, rule, error)
            await asyncio.sleep(min(0.1 * 2 ** min(self._unanswered, 8), 5.0))
            return None
        except Exception as error:  # one bad row never stops a run; many in a row are a fault of ours
            logger.exception("%s %s", kind, attempt)
            self._faults += 1
            if self._faults >= PATIENCE:
                raise
            return self._failure(lease, engines, "internal", error)
        self._faults = 0
        self._note_answer()
        return played

    async def _is_own(self, lease: Lease, engines: TaskEngines, error: EngineError) -> bool:
        """Whether an engine's failure ends its attempt: it is the attempt's own, and the last that it may have. A request that
        timed out was sent again until its deadline, so one is enough. Else the attempt is given back.

        Raises:
            EngineError: no request fares better, or the pool answers nobody any more.
        """
        if not isinstance(error, EngineRefused) and await engines.pool_answers():
            self._note_answer()
            return isinstance(error, EngineTimeout) or bool(await self._planner.failed.remote(self._name, lease))
        self._unanswered += 1
        await self._planner.release.remote(self._name, [lease])
        lasting = time.monotonic() - self._last_answer > PATIENCE_SECONDS
        if isinstance(error, EngineRefused) or (self._unanswered >= PATIENCE and lasting):
            raise error
        return False

    def _note_answer(self) -> None:
        self._unanswered = 0
        self._last_answer = time.monotonic()

    def _failure(self, lease: Lease, engines: TaskEngines, rule: str, error: Exception) -> Played:
        verdict = Verdict(stage="generate", rule=rule, evidence=f"{type(error).__name__}: {error}"[:300])
        row = ledger_row(task_row(self._config, *lease), [verdict], None, usage_columns(engines.usage, 0.0))
        return Played(*lease, False, row)

    async def _commit(self) -> None:
        batch, self._buffer = self._buffer, []
        spent, self._spent = self._spent, []
        if not batch and not spent:
            return
        self._shards += 1
        name = f"{self._name}-{self._shards:06d}.parquet"
        passed = [played.row for played in batch if played.passed]
        failed = [played.row for played in batch if not played.passed]

        def write() -> None:
            for folder, rows, schema in (
                ("spent", spent, SPENT),
                ("rejected", failed, LEDGER),
                (self._drafts, passed, DRAFT),
            ):
                if rows:
                    self._store.write(folder, name, rows, schema)

        await asyncio.to_thread(write)  # a store that must be asked again does not hold up the dialogs
        await self._planner.committed.remote(
            self._name,
            name,
            [(row["kind"], row["attempt"], row["key"]) for row in passed],
            [(row["kind"], row["attempt"]) for row in failed],
            spent_in([*passed, *failed, *spent]),
        )
