"""One flow, from quotas to verdicts: what is on disk, the planner, its workers and the verifying stream.

Invariants: whatever was killed, running the same flow again ends with all the verdicts that settling it needs for exactly the
accepted rows asked for (toolace_ray/store/settle.py); nothing that is on disk with a verdict is played or judged again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from actors.planner import NOTHING, Planner, PlannerActor, Spent
from actors.pools import PoolHandles
from toolace_ray.config.tree import Config
from toolace_ray.engines.protocol import EngineError, reason
from toolace_ray.errors import RunStopped, UserError
from toolace_ray.store import ledger
from toolace_ray.store.rows import spent_in
from toolace_ray.store.settle import Flow
from toolace_ray.store.storage import RunStore

logger = logging.getLogger(__name__)
POLL = 0.5  # seconds between two looks at the planner
RESTARTS = 10  # times that each worker may die, with no commit of any of them in between, before the run gives up
DISMISSAL = 60.0  # seconds that workers have for their last commit, and the stream for its end
GRACE = 10.0  # seconds in which the stream may end by itself when the flow is done
QUIET, REPEATED = 300.0, 1800.0  # seconds without a verdict after which that is said, and said again

Report = Callable[[dict[str, Any], float], None]


def budget(config: Config) -> dict[str, Any]:
    """The fields of a Flow that bound what it plays."""
    settings = config.generate
    return {
        "max_tokens": settings.max_tokens,
        "max_cost": settings.max_cost,
        "speculate": config.execution.speculate,
    }


def survey(flow: Flow, store: RunStore, spent: Spent = NOTHING) -> Planner:
    """The planner with all that earlier starts left in the run's folder; `spent` counts against the flow's budget."""
    novelty = flow.telling(copied=True)
    planner = Planner(flow.quotas, flow.max_tokens, flow.max_cost, flow.verify, novelty, flow.speculate)
    resolved = list(ledger.resolved(store, flow.accepted, flow.quotas, flow.part))
    with_verdict = {(kind, attempt) for kind, attempt, _ in resolved}
    shards = ledger.drafted(store, flow.drafts, flow.quotas, flow.part) if flow.verify else {}
    waiting: list[tuple[str, int]] = []
    taken: set[str] = set()
    for name, rows in shards.items():
        keep = [row_id for kind, attempt, row_id in rows if (kind, attempt) not in with_verdict and row_id not in taken]
        taken.update(keep)
        waiting += [(kind, attempt) for kind, attempt, row_id in rows if row_id in keep]
        if keep:
            planner.shards.append((name, keep))
    planner.restore(resolved, waiting)
    planner.spend(*spent)
    return planner


def run_flow(
    flow: Flow,
    planner: Planner,
    config: Config,
    store: RunStore,
    pools: dict[str, PoolHandles],
    epoch: str,
    report: Report,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Run the flow to its end and return the planner's last status. `say` is given what a person is to know.

    Raises:
        EngineError: no engine answers any more.
        UserError: the disk is full.
        RunStopped: the planner died, or workers die without getting anywhere.
    """
    # These import Ray Data, which a flow that is done does without.
    from actors.halting import halted_by
    from actors.stages.stream import stream

    handle = ray.remote(PlannerActor).options(num_cpus=0, max_concurrency=1000).remote(planner)
    started = time.monotonic()
    crew = Crew(flow, config, store, pools, handle, epoch, say)
    stall = Stall()
    failure: list[BaseException] = []
    halt = threading.Event()

    def verify_drafts() -> None:
        try:
            with halted_by(halt):
                stream(flow, store.uri, config, pools, handle, epoch)
        except BaseException as error:
            failure.append(error)

    stream_thread = threading.Thread(target=verify_drafts, name="stream", daemon=True)
    try:
        if flow.verify:
            stream_thread.start()
        for _ in range(config.execution.workers):
            crew.hire()
        while True:
            status: dict[str, Any] = ray.get(handle.status.remote())
            report(status, time.monotonic() - started)
            if status["done"]:  # before anything else: what fails from here on is not needed
                break
            if failure:
                raise _unwrapped(failure[0])
            crew.replace_dead(status["commits"])
            if stall.is_due(status):
                say(stall.sentence(status, ray.available_resources(), ray.cluster_resources()))
            crew.wait(POLL)
        crew.dismiss()
        if flow.verify:
            _end_stream(stream_thread, halt)
            if failure:
                logger.info("the stream ended after the flow was done: %s", failure[0])
        return dict(ray.get(handle.status.remote()))
    except (UserError, EngineError, RunStopped):
        raise
    except Exception as error:
        if _is_alive(handle):
            raise
        raise RunStopped(
            "the process that plans this run has died (it was killed, or its node ran out of memory); what was committed is "
            "kept, and the same command goes on from there"
        ) from error
    finally:
        halt.set()
        crew.end()
        ray.kill(handle)
        if stream_thread.is_alive():
            stream_thread.join(GRACE)  # what Ray does next must not meet a stream that still asks it for something


def _end_stream(stream_thread: threading.Thread, halt: threading.Event) -> None:
    """Let the stream end: what it still judges is surplus. It may wait for a judge that never answers, so not for ever."""
    stream_thread.join(GRACE)
    halt.set()
    stream_thread.join(DISMISSAL)
    if stream_thread.is_alive():
        logger.warning("the stream did not end within %.0f s after its flow", GRACE + DISMISSAL)


def _is_alive(planner: Any) -> bool:
    try:
        ray.get(planner.status.remote(), timeout=DISMISSAL)
    except RayError:
        return False
    return True


class Stall:
    """Notices when drafts wait and no verdict comes for QUIET seconds: on a cluster without a free CPU the stream's tasks
    never run, and nothing else would tell. The run goes on; there may be room later."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._verdicts = -1
        self._since = self._next = 0.0

    def is_due(self, status: dict[str, Any]) -> bool:
        """True when it is time to say that no verdict comes: QUIET seconds after the last one, then every REPEATED."""
        now = self._clock()
        waiting = any(item["unjudged"] for item in status["types"].values())
        if not waiting or status["verdicts"] != self._verdicts:
            self._verdicts, self._since, self._next = status["verdicts"], now, now + QUIET
        if now < self._next:
            return False
        self._next = now + REPEATED
        return True

    def sentence(self, status: dict[str, Any], free: dict[str, float], total: dict[str, float]) -> str:
        """What lacks, and the remedy, in one sentence. `free` and `total` are Ray's resources by name."""
        from actors.stages.stream import RULE_CPUS  # of the stream's largest task

        waiting = sum(item["unjudged"] for item in status["types"].values())
        minutes = (self._clock() - self._since) / 60
        cpus = free.get("CPU", 0.0)
        complaint = f"no verdict for {minutes:.0f} minutes while {waiting} drafts wait"
        if cpus < RULE_CPUS:
            return (
                f"{complaint}: the verification tasks need {RULE_CPUS:g} CPUs and {cpus:g} of the cluster's {total.get('CPU', 0):g} "
                "are free; add a node, or lower pools.<name>.cpus or execution.workers and start again (see `ray status`)"
            )
        return (
            f"{complaint}, although {cpus:g} CPUs are free for the verification tasks: the engine of roles.judge may not answer, or "
            "verify.rules or verify.modules may be very slow; `ray status` and Ray's logs tell more"
        )


def _unwrapped(error: BaseException) -> BaseException:
    """The error inside Ray's wrapping, where it is one that the user is to see."""
    cause: BaseException | None = error
    while cause is not None:
        inner = getattr(cause, "cause", None)
        known = inner or cause  # what Ray makes of an error is of the error's type, and says its traceback
        if isinstance(known, UserError | EngineError):
            return type(known)(reason(known))
        cause = inner or cause.__cause__
    return error


class Crew:
    """The workers of a flow; one that dies is replaced and what it had is leased again."""

    def __init__(
        self,
        flow: Flow,
        config: Config,
        store: RunStore,
        pools: dict[str, PoolHandles],
        planner: Any,
        epoch: str,
        say: Callable[[str], None],
    ) -> None:
        self._flow, self._config, self._store, self._pools = flow, config, store, pools
        self._planner, self._epoch, self._say = planner, epoch, say
        self._hired = 0
        self._deaths, self._commits = 0, 0
        self._at_work: dict[Any, tuple[str, Any]] = {}

    def hire(self) -> None:
        """Start one worker."""
        from actors.worker import Worker  # imports all that plays, which a flow that is done does without

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
        """Wait until a worker ends, `seconds` at most."""
        if self._at_work:
            ray.wait(list(self._at_work), timeout=seconds)
        else:
            time.sleep(seconds)  # all workers have ended; the stream is still judging

    def replace_dead(self, commits: int) -> None:
        """Replace workers that died; raise what a worker raised.

        Args:
            commits: the shards that were committed so far in this flow, by all workers.

        Raises:
            RunStopped: workers die again and again and nothing is committed in between.
        """
        for reference in (
            ray.wait(list(self._at_work), num_returns=len(self._at_work), timeout=0)[0] if self._at_work else []
        ):
            name, worker = self._at_work.pop(reference)
            try:
                ray.get(reference)
            except RayTaskError as error:
                raise _unwrapped(error) from error
            except RayError as error:  # it died, ran out of memory, or its node is away
                ray.kill(worker)  # one that is only out of reach must not commit any more
                self._deaths = self._deaths + 1 if commits == self._commits else 1
                self._commits = commits
                if self._deaths > RESTARTS * self._config.execution.workers:
                    raise RunStopped(
                        f"{self._deaths} worker processes died and nothing was committed in between, most likely for want of memory; "
                        "lower execution.in_flight or execution.workers, or give the nodes more, and run the same command again; "
                        f"the last one: {' '.join(str(error).split())[:300]}"
                    ) from error
                self._recover(name)
                self.hire()

    def _recover(self, name: str) -> None:
        """Register what the dead worker committed without a word, then take its leases back."""
        columns = ["kind", "attempt", "key", "tokens", "prompt_tokens", "cost"]
        files: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for folder in ("spent", "rejected", self._flow.drafts):
            for file in self._store.files(folder, f"{name}-"):
                files.setdefault(file, {})[folder] = self._store.table(folder, file, columns).to_pylist()
        for file, rows in sorted(files.items()):
            drafts = [(row["kind"], row["attempt"], row["key"]) for row in rows.get(self._flow.drafts, ())]
            failed = [(row["kind"], row["attempt"]) for row in rows.get("rejected", ())]
            spent = spent_in(row for folder_rows in rows.values() for row in folder_rows)
            ray.get(self._planner.committed.remote(name, file, drafts, failed, spent))
        ray.get(self._planner.lost.remote(name))

    def dismiss(self) -> None:
        """Wait for the workers to commit and leave; they saw that the flow is done. What they could not commit is beyond the
        quotas, so that it ends nothing, but its reason (a full disk) is said."""
        ended = (
            ray.wait(list(self._at_work), num_returns=len(self._at_work), timeout=DISMISSAL)[0] if self._at_work else []
        )
        for reference in ended:
            name, _ = self._at_work.pop(reference)
            try:
                ray.get(reference)
            except RayTaskError as error:
                self._say(f"a worker's last shard was lost, which the quotas do not need: {_unwrapped(error)}")
            except RayError as error:
                logger.warning("worker %s died after the flow was done: %s", name, error)
        if self._at_work:
            self._say(f"{len(self._at_work)} workers did not leave within {DISMISSAL:.0f} s; what they held is lost")

    def end(self) -> None:
        """End all workers at once."""
        for _, worker in self._at_work.values():
            ray.kill(worker)
        self._at_work.clear()
