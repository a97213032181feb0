"""A worker: an async actor that plays many attempts at once and commits what they gave in small shards.

Invariants: a finished attempt is committed without waiting for another one; what is committed is on disk before the
planner hears of it; a lease is played, released or lost with the process, never dropped.
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
from toolace_ray.engines.roles import Engines
from toolace_ray.records.usage import Usage
from toolace_ray.records.verdict import Verdict
from toolace_ray.store.folder import attempt_id, type_of
from toolace_ray.store.rows import DRAFT, LEDGER, ledger_row, usage_columns
from toolace_ray.store.storage import RunStore

logger = logging.getLogger(__name__)
LEASE_WAIT = 5.0  # seconds a lease request may wait in the planner
PATIENCE = 20  # failures in a row, without one attempt that worked, after which the worker gives up;
PATIENCE_SECONDS = 120.0  # engine failures must also have lasted so long: many are in flight when an engine hiccups


class Worker:
    """The actor class.

    Args:
        name: unique among all workers of the run's epoch; part of the shards' names.
        player: `documents`, `nodes`, `apis` or `dialogs`.
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
        engines = Engines(config, clients(pools, config.execution.affinity_margin))
        self._player: Player = PLAYERS[player](config, self._store, engines)
        self._buffer: list[Played] = []
        self._oldest = 0.0
        self._shards = 0
        self._failures = 0
        self._last_success = time.monotonic()
        self._starving = False

    async def run(self) -> None:
        """Play until the planner says that the flow is done. Raises EngineError when no engine answers any more."""
        limit = self._config.execution.in_flight
        active: dict[asyncio.Task[None], Lease] = {}
        asking: asyncio.Task[list[Lease] | None] | None = None
        try:
            while True:
                if asking is None and len(active) < limit:
                    asking = asyncio.ensure_future(self._lease(limit - len(active)))
                waiting = {*active, *([asking] if asking else [])}
                timeout = self._until_commit()
                await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                if asking is not None and asking.done():
                    leases = asking.result()
                    asking = None
                    if leases is None:
                        break
                    self._starving = not leases
                    for lease in leases:
                        active[asyncio.ensure_future(self._play(lease))] = lease
                for task in [played for played in active if played.done()]:
                    task.result()
                    del active[task]
                if self._due(bool(active)):
                    await self._commit()
        finally:
            for running in (*active, *([asking] if asking else [])):
                running.cancel()
            await asyncio.gather(*active, return_exceptions=True)
            await self._commit()

    async def _lease(self, count: int) -> list[Lease] | None:
        wait = LEASE_WAIT if not self._starving else min(LEASE_WAIT, 1.0)
        leases: list[Lease] | None = await self._planner.lease.remote(self._name, count, wait)
        return leases

    def _until_commit(self) -> float | None:
        if not self._buffer:
            return None
        return max(0.0, self._oldest + self._config.execution.shard_seconds - time.monotonic())

    def _due(self, busy: bool) -> bool:
        """A shard is due when it is full or old, or when nothing else is there to wait for."""
        if not self._buffer:
            return False
        execution = self._config.execution
        old = time.monotonic() - self._oldest >= execution.shard_seconds
        return len(self._buffer) >= execution.shard_rows or old or (self._starving and not busy)

    async def _play(self, lease: Lease) -> None:
        kind, attempt = lease
        try:
            played = await self._player.play(kind, attempt)
            self._failures = 0
            self._last_success = time.monotonic()
        except EngineTimeout as error:
            played = self._failed(kind, attempt, "timeout", error)
        except (BadRequest, Unsupported) as error:
            played = self._failed(kind, attempt, "request_refused", error)
        except EngineError as error:
            self._failures += 1
            logger.warning("%s %s: %s", kind, attempt, error)
            await self._planner.release.remote(self._name, [lease])
            lasting = time.monotonic() - self._last_success > PATIENCE_SECONDS
            if isinstance(error, EngineRefused) or (self._failures >= PATIENCE and lasting):
                raise
            await asyncio.sleep(min(0.1 * 2 ** min(self._failures, 8), 5.0))
            return
        except Exception as error:  # one bad row never stops a run; many in a row are a fault of ours
            logger.exception("%s %s", kind, attempt)
            self._failures += 1
            if self._failures >= PATIENCE:
                raise
            played = self._failed(kind, attempt, "internal", error)
        if not self._buffer:
            self._oldest = time.monotonic()
        self._buffer.append(played)

    def _failed(self, kind: str, attempt: int, rule: str, error: Exception) -> Played:
        verdict = Verdict(stage="generate", rule=rule, evidence=f"{type(error).__name__}: {error}"[:300])
        base = {"id": attempt_id(self._config, kind, attempt), "type": type_of(kind), "kind": kind, "attempt": attempt}
        row = ledger_row(base, [verdict], None, usage_columns(Usage(), 0.0))
        return Played(kind, attempt, False, row, Usage())

    async def _commit(self) -> None:
        batch, self._buffer = self._buffer, []
        if not batch:
            return
        self._shards += 1
        name = f"{self._name}-{self._shards:06d}.parquet"
        passed = [played.row for played in batch if played.passed]
        failed = [played.row for played in batch if not played.passed]
        # Writing blocks the loop for some milliseconds a shard; the dialogs wait for engines meanwhile anyway.
        if failed:
            self._store.write("rejected", name, failed, LEDGER)
        if passed:
            self._store.write(self._drafts, name, passed, DRAFT)
        spent = (
            sum(played.usage.tokens for played in batch),
            sum(played.usage.prompt_tokens for played in batch),
            sum(played.usage.cost for played in batch),
        )
        await self._planner.committed.remote(
            name if passed else "",
            [(row["kind"], row["attempt"], row["key"]) for row in passed],
            [(row["kind"], row["attempt"]) for row in failed],
            spent,
        )
