"""Starting the pools: one actor and one placement group for each replica, and the clients over them.

Invariants: a vLLM replica is told its share of its machine when it is made, so that it has the same cores after a restart;
the shares of one machine's replicas, of all pools, do not overlap.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.client import PoolClient
from actors.replica import Replica
from toolace_ray.config.tree import Config, PoolConfig
from toolace_ray.engines.cores import Share
from toolace_ray.engines.protocol import Capabilities, Engine, EngineError, reason
from toolace_ray.errors import UserError

START_TIMEOUT = 1800.0  # seconds for a replica to be placed and to load its model
QUIET = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}


@dataclass(frozen=True)
class PoolHandles:
    """A running pool as it travels to workers."""

    name: str
    replicas: tuple[Any, ...]
    capabilities: Capabilities


def clients(pools: dict[str, PoolHandles], margin: int) -> dict[str, Engine]:
    """One client a pool for this process."""
    return {name: PoolClient(name, pool.replicas, pool.capabilities, margin) for name, pool in pools.items()}


def shares(replicas: Sequence[PoolConfig], nodes: Sequence[str], cpus: dict[str, float]) -> list[Share]:
    """Each replica's share of the machine it was placed on.

    Args:
        replicas: the configuration of each replica's pool.
        nodes: the node that each replica was placed on.
        cpus: node -> the CPUs that Ray counts there.
    """
    weights: defaultdict[str, list[float]] = defaultdict(list)
    found = []
    for config, node in zip(replicas, nodes, strict=True):
        # The user's own number of threads: on its node it could not be told from the one that Ray gives every worker.
        threads = config.env.get("OMP_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS", "")
        found.append(Share((), len(weights[node]), cpus.get(node, 0.0), int(threads) if threads.isdigit() else 0))
        if config.engine == "vllm":  # what a replica on a GPU reserves is left free for it
            weights[node].append(config.cpus)
    return [replace(share, weights=tuple(weights[node])) for share, node in zip(found, nodes, strict=True)]


class Pools:
    """The pools that the roles of a configuration use, started; a context manager that stops them.

    Args:
        say: is told what is started.
        tokens: those that all of their replicas together are expected to generate.
    """

    def __init__(self, config: Config, say: Callable[[str], None] = lambda _: None, tokens: int = 0) -> None:
        self._config = config
        self._say = say
        self._tokens = tokens
        self._groups: list[Any] = []
        self._actors: list[Any] = []
        self.handles: dict[str, PoolHandles] = {}

    def __enter__(self) -> Pools:
        used = self._config.used_pools
        try:
            placed = [(name, config, group) for name, config in used.items() for group in self._place(name)]
            started: dict[str, list[Any]] = {name: [] for name in used}
            work = self._tokens / max(1, len(placed))
            for (name, config, group), share in zip(placed, self._shares(placed), strict=True):
                started[name].append(self._start(name, config, group, share, work))
            for name, actors in started.items():
                self.handles[name] = self._await(name, actors)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _place(self, name: str) -> list[Any]:
        """Ask for the placement groups of a pool's replicas."""
        config = self._config.pools[name]
        model = "" if config.engine == "simulated" else f" {config.model}"
        self._say(f"pool {name}: starting {config.replicas} x {config.engine}{model}")
        groups = []
        for _ in range(config.replicas):
            # One bundle for the actor; with several GPUs one more for each, where vLLM's own Ray workers go.
            bundles: list[dict[str, float]] = [
                {"CPU": config.cpus} if config.gpus != 1 else {"CPU": config.cpus, "GPU": 1}
            ]
            if config.gpus > 1:
                bundles += [{"CPU": 0.1, "GPU": 1} for _ in range(config.gpus)]
            groups.append(placement_group(bundles, strategy="PACK"))
        self._groups += groups
        return groups

    def _shares(self, placed: Sequence[tuple[str, PoolConfig, Any]]) -> list[Share]:
        """Each replica's share of its machine, once Ray has said which machine that is. Raises UserError."""
        deadline = time.monotonic() + START_TIMEOUT
        nodes = []
        for name, _, group in placed:
            if not group.wait(max(0.0, deadline - time.monotonic())):
                raise self._late(name)
            nodes.append(placement_group_table(group)["bundles_to_node_id"][0])
        cpus = {node["NodeID"]: node["Resources"].get("CPU", 0.0) for node in ray.nodes()}
        return shares([config for _, config, _ in placed], nodes, cpus)

    def _start(self, name: str, config: PoolConfig, group: Any, share: Share, work: float) -> Any:
        environment = {**QUIET, **config.env}
        actor = (
            ray.remote(Replica)
            .options(
                num_cpus=config.cpus,
                num_gpus=1 if config.gpus == 1 else 0,
                max_restarts=-1,
                max_task_retries=0,
                max_concurrency=config.max_in_flight * 2 + 8,  # the refusals need room too
                scheduling_strategy=PlacementGroupSchedulingStrategy(
                    group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
                ),
                runtime_env={"env_vars": environment},
            )
            .remote(name, config, share, work)
        )
        self._actors.append(actor)
        return actor

    def _await(self, name: str, actors: list[Any]) -> PoolHandles:
        try:
            found = ray.get([actor.ready.remote() for actor in actors], timeout=START_TIMEOUT)
        except (UserError, EngineError) as error:
            raise UserError(f"pools.{name}: the engine could not start: {reason(error)}") from error
        except ray.exceptions.GetTimeoutError as error:
            raise self._late(name) from error
        except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as error:
            told = " ".join(str(error).split())[:300]
            raise UserError(
                f"pools.{name}: a replica died while it started, most likely for want of memory; give it a machine with more, "
                f"or a smaller model, a shorter context (options.max_model_len) or fewer replicas; Ray says: {told}"
            ) from error
        return PoolHandles(name, tuple(actors), found[0])

    def _late(self, name: str) -> UserError:
        return UserError(
            f"pools.{name}: no replica was ready within {START_TIMEOUT:.0f} s; the cluster may lack its "
            f"{self._config.pools[name].cpus:g} CPUs and {self._config.pools[name].gpus} GPUs (see `ray status`)"
        )

    def stop(self) -> None:
        """End all replicas and give their resources back."""
        for actor in self._actors:
            ray.kill(actor)
        for group in self._groups:
            remove_placement_group(group)
        self._actors, self._groups = [], []
