"""What the flows of one command share: the run's lock, Ray, the pools, the progress line."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from actors.planner import NOTHING, Spent
from actors.pools import Pools
from jobs import flow as flows
from jobs.check import expected_tokens
from jobs.cluster import lock_on_cluster, locked, ray_session
from jobs.progress import Progress
from toolace_ray.config.tree import Config
from toolace_ray.dlv.layer import layer
from toolace_ray.engines.build import api_key
from toolace_ray.errors import UserError
from toolace_ray.models import resolve
from toolace_ray.store import ledger
from toolace_ray.store.settle import Flow
from toolace_ray.store.storage import REFUSED, RunStore


def new_epoch() -> str:
    """Names one start of a job: its time (sortable) and a random part."""
    return f"{int(time.time()):09x}{secrets.token_hex(2)}"


@dataclass
class Session:
    """What the flows of one command share: Ray and the pools are started when the first flow needs them; `budget` says which
    one is spent, since the last flow."""

    config: Config
    store: RunStore
    progress: Progress
    epoch: str = field(default_factory=new_epoch)
    budget: str | None = None
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _pools: Pools | None = None
    _ray: bool = False
    _has_models: bool = False
    _flow_count: int = 0
    _spent: Spent | None = None  # by the run so far, whichever flow spent it; None without a budget

    def ray(self, models: bool = True) -> None:
        """Meet Ray, once. Without `models` neither they nor room for them need to be there: no pool is going to be asked."""
        if models and not self._has_models:
            # Before Ray: what is missing is fetched by child processes, and said before anything starts.
            check_models(self.config, self.progress)
            self._has_models = True
        if not self._ray:
            with self.progress.phase("starting Ray"):
                self._stack.enter_context(ray_session(self.config, self.progress.say, check=models))
            self._ray = True
            self._lock = lock_on_cluster(self.store)

    def pools(self) -> Pools:
        """The pools, started once."""
        if self._pools is None:
            self.ray()
            with self.progress.phase("loading the models"):
                self._pools = self._stack.enter_context(
                    Pools(self.config, self.progress.say, expected_tokens(self.config))
                )
        return self._pools

    def release(self) -> None:
        """Stop the pools, so that something else can have their memory; they start again when a flow needs them."""
        if self._pools is not None:
            self._pools.stop()
            self._pools = None

    def run_flow(self, flow: Flow, what: str) -> dict[str, Any]:
        """Bring a flow to its end; a flow that is done starts nothing.

        Returns its last status, with `new` telling whether anything was played.
        """
        if self._spent is None and (flow.max_tokens or flow.max_cost):
            self._spent = ledger.spending(self.store)  # all of the run is read for it, so once
        planner = flows.survey(flow, self.store, self._spent or NOTHING)
        self.budget = planner.over_budget
        if planner.done:
            return {**planner.status(), "new": False}
        pools = self.pools()
        self._flow_count += 1
        with self.progress.phase(what) as phase:
            tokens_before = planner.tokens

            def report(status: dict[str, Any], seconds: float) -> None:
                phase.observe(status)
                self.progress.show(what, status, seconds)

            self.progress.begin()
            try:
                status = flows.run_flow(
                    flow,
                    planner,
                    self.config,
                    self.store,
                    pools.handles,
                    f"{self.epoch}{self._flow_count:04x}",  # a flow that is played twice must not write the same files twice
                    report,
                    self.progress.say,
                )
            finally:  # what is said of an error begins a line of its own
                self.progress.end()
            phase.tokens = status["tokens"] - tokens_before
        self.budget = status["budget"]
        if self._spent is not None:
            self._spent = status["tokens"], status["prompt_tokens"], status["cost"]
        return {**status, "new": True}


@contextlib.contextmanager
def session(config: Config, progress: Progress) -> Iterator[Session]:
    """A session that holds the run's lock and stops everything at its end. Raises UserError."""
    layer(config.verify)  # says what is wrong with the rules before anything starts
    store = RunStore(config.run.path)
    with contextlib.ExitStack() as lock:
        try:
            lock.enter_context(locked(store))
            store.sweep()
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            raise UserError(f"run.path: {config.run.path}: cannot write there ({error.strerror})") from error
        current = Session(config, store, progress)
        with current._stack:
            if not store.local:
                current.ray()  # there is no file to lock there: the cluster's lock comes first
            yield current


def check_models(config: Config, progress: Progress) -> None:
    """Make sure before anything starts that the models of all pools, or the keys to them, are there. Raises UserError."""
    for name, pool in config.used_pools.items():
        if pool.engine == "vllm":
            resolve(pool.model, progress=progress.say)
        elif pool.engine == "openai":
            api_key(pool, name)
