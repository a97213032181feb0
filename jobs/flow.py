"""One flow, from quotas to accepted rows: planner, workers, the verifying stream, and settling at the end.

Invariants: whatever was killed, running the same flow again ends with exactly the accepted rows asked for; nothing that
is on disk with a verdict is played or judged again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from actors.planner import Planner, PlannerActor
from actors.pools import PoolHandles
from toolace_ray.config.tree import Config
from toolace_ray.engines.protocol import EngineError
from toolace_ray.errors import UserError
from toolace_ray.store import ledger
from toolace_ray.store.rows import spent_in
from toolace_ray.store.settle import Flow
from toolace_ray.store.storage import RunStore

POLL = 0.5  # seconds between two looks at the planner
RESTARTS = 10  # workers that may die in a flow before it gives up

Report = Callable[[dict[str, Any], float], None]


def limits(config: Config) -> dict[str, Any]:
    """The fields of a Flow that bound what it plays."""
    settings = config.generate
    return {
        "max_tokens": settings.max_tokens,
        "max_cost": settings.max_cost,
    }


def survey(flow: Flow, store: RunStore) -> Planner:
    """The planner with all that earlier starts left in the run's folder."""
    telling = flow.telling(copied=True)
    planner = Planner(flow.quotas, flow.max_tokens, flow.max_cost, flow.verify, telling)
    resolved = list(ledger.resolved(store, flow.accepted, flow.quotas, flow.part))
    judged = {(kind, attempt) for kind, attempt, _ in resolved}
    shards = ledger.drafted(store, flow.drafts, flow.quotas, flow.part) if flow.verify else {}
    waiting: list[tuple[str, int]] = []
    taken: set[str] = set()
    for name, rows in shards.items():
        keep = [row_id for kind, attempt, row_id in rows if (kind, attempt) not in judged and row_id not in taken]
        taken.update(keep)
        waiting += [(kind, attempt) for kind, attempt, row_id in rows if row_id in keep]
        if keep:
            planner.shards.append((name, keep))
    planner.restore(resolved, waiting)
    if flow.max_tokens or flow.max_cost:  # the run's, whichever flow spent it
        planner.spend(*ledger.spending(store))
    return planner


def play(
    flow: Flow,
    planner: Planner,
    config: Config,
    store: RunStore,
    pools: dict[str, PoolHandles],
    epoch: str,
    report: Report,
) -> dict[str, Any]:
    """Run the flow to its end and return the planner's last status.

    Raises:
        EngineError: no engine answers any more.
        UserError: the disk is full.
    """
    import ray

    from actors.stages import stream

    handle = ray.remote(PlannerActor).options(num_cpus=0, max_concurrency=1000).remote(planner)
    started = time.monotonic()
    crew = _Crew(flow, config, store, pools, handle, epoch)
    failure: list[BaseException] = []

    def judge() -> None:
        try:
            stream(flow.name, flow.player, store.uri, flow.drafts, flow.accepted, config, pools, handle, epoch)
        except BaseException as error:
            failure.append(error)

    judging = threading.Thread(target=judge, name="stream", daemon=True)
    if flow.verify:
        judging.start()
    for _ in range(config.execution.workers):
        crew.hire()
    try:
        while True:
            status: dict[str, Any] = ray.get(handle.status.remote())
            report(status, time.monotonic() - started)
            if failure:
                raise _plain(failure[0])
            crew.look_after()
            if status["done"]:
                break
            crew.wait(POLL)
        crew.dismiss()
        if flow.verify:
            judging.join()
            if failure:
                raise _plain(failure[0])
        return dict(ray.get(handle.status.remote()))
    finally:
        crew.end()
        ray.kill(handle)


def _plain(error: BaseException) -> BaseException:
    """The error inside Ray's wrapping, where it is one that the user is to see."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, UserError | EngineError):
            return type(seen)(str(getattr(seen, "cause", None) or seen).strip().splitlines()[-1])
        seen = getattr(seen, "cause", None) or seen.__cause__
    return error


class _Crew:
    """The workers of a flow; one that dies is replaced and what it had is leased again."""

    def __init__(
        self, flow: Flow, config: Config, store: RunStore, pools: dict[str, PoolHandles], planner: Any, epoch: str
    ) -> None:
        self._flow, self._config, self._store, self._pools = flow, config, store, pools
        self._planner, self._epoch = planner, epoch
        self._hired = 0
        self._at_work: dict[Any, tuple[str, Any]] = {}

    def hire(self) -> None:
        """Start one worker."""
        import ray

        from actors.worker import Worker

        self._hired += 1
        name = f"{self._epoch}-{self._flow.name}-w{self._hired:03d}"
        worker = (
            ray.remote(Worker)
            .options(num_cpus=self._config.execution.worker_cpus, max_concurrency=16)
            .remote(
                name, self._flow.player, self._flow.drafts, self._config, self._store.uri, self._pools, self._planner
            )
        )
        self._at_work[worker.run.remote()] = (name, worker)

    def wait(self, seconds: float) -> None:
        """Wait until a worker ends, at most `seconds`."""
        import ray

        if self._at_work:
            ray.wait(list(self._at_work), timeout=seconds)
        else:
            time.sleep(seconds)  # all workers have ended; the stream is still judging

    def look_after(self) -> None:
        """Replace workers that died; raise what a worker raised."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        for reference in (
            ray.wait(list(self._at_work), num_returns=len(self._at_work), timeout=0)[0] if self._at_work else []
        ):
            name, worker = self._at_work.pop(reference)
            try:
                ray.get(reference)
            except RayTaskError as error:
                raise _plain(error) from error
            except RayError as error:  # it died, ran out of memory, or its node is away
                ray.kill(worker)  # one that is only out of reach must not commit any more
                if self._hired >= self._config.execution.workers + RESTARTS:
                    raise RuntimeError(f"{RESTARTS} workers died; the last one: {error}") from error
                self._recover(name)
                self.hire()

    def _recover(self, name: str) -> None:
        """Register what the dead worker committed without a word, then take its leases back."""
        import ray

        columns = ["kind", "attempt", "key", "tokens", "prompt_tokens", "cost"]
        found: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for folder in ("spent", "rejected", self._flow.drafts):
            for file in self._store.files(folder, f"{name}-"):
                found.setdefault(file, {})[folder] = self._store.table(folder, file, columns).to_pylist()
        for file, rows in sorted(found.items()):
            drafts = [(row["kind"], row["attempt"], row["key"]) for row in rows.get(self._flow.drafts, ())]
            failed = [(row["kind"], row["attempt"]) for row in rows.get("rejected", ())]
            spent = spent_in(row for some in rows.values() for row in some)
            ray.get(self._planner.committed.remote(name, file, drafts, failed, spent))
        ray.get(self._planner.lost.remote(name))

    def dismiss(self) -> None:
        """Wait for the workers to commit and leave; they saw that the flow is done."""
        import ray

        ray.wait(list(self._at_work), num_returns=len(self._at_work), timeout=60) if self._at_work else None

    def end(self) -> None:
        """End all workers at once."""
        import ray

        for _, worker in self._at_work.values():
            ray.kill(worker)
        self._at_work.clear()
