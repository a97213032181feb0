"""Meeting Ray: a local instance of our own, or the cluster the job runs on; and the lock that keeps a run to one driver."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from toolace_ray.config.load import parse
from toolace_ray.config.tree import Config
from toolace_ray.errors import UserError
from toolace_ray.records.json import digest
from toolace_ray.store.storage import RunStore

NAMESPACE = "toolace-ray"


def _is_submitted() -> bool:
    """True in the driver of a submitted job."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


@contextmanager
def ray_session(config: Config, say: Callable[[str], None] = lambda _: None, *, check: bool = True) -> Iterator[None]:
    """Ray for the time of a job. Raises UserError when the cluster can't be reached or, with `check`, is too small."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # We reserve fractions of a CPU for what waits, and no accelerator is hidden from where none was asked for.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    import ray

    # Ray says at every start that it made a token; docs/configuration.md of Ray tells those who need to know.
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    submitted = _is_submitted()
    address = "auto" if submitted else config.ray.address
    options: dict[str, Any] = {
        "namespace": NAMESPACE,
        "logging_level": logging.WARNING,
        "log_to_driver": config.ray.log_to_driver,
    }
    if address == "local":
        options |= {
            "num_cpus": config.ray.num_cpus,
            "object_store_memory": int(config.ray.object_store_gb * 2**30),
            "include_dashboard": False,
        }
    try:
        ray.init(address=address, **options)
    except ConnectionError as error:
        raise UserError(
            f"ray.address: no Ray cluster answers at {address!r}; start one, or set ray.address to local"
        ) from error
    try:
        if submitted and "://" not in config.run.path and not os.path.isabs(config.run.path):
            say(
                f"run.path is relative: the run lies in {os.path.abspath(config.run.path)}, which may be a temporary copy"
            )
        if address == "local" and check:
            _check_size(config, ray.cluster_resources())
        yield
    finally:
        ray.shutdown()


def _check_size(config: Config, resources: dict[str, float]) -> None:
    """Raise UserError where a local Ray can't hold the replicas and the workers: they would wait for ever."""
    cpus, gpus = config.reserved
    cpus += 0.2  # the stream needs a little
    for name, key, needed in (("CPU", "cpus, replicas or ray.num_cpus", cpus), ("GPU", "gpus or replicas", gpus)):
        if needed > resources.get(name, 0.0) + 1e-9:
            raise UserError(
                f"pools: the replicas and workers ask for {needed:g} {name}s, this machine's Ray has {resources.get(name, 0):g}; "
                f"change {key}"
            )


class _Lock:
    """Does nothing: its name is the lock."""


@contextmanager
def locked(store: RunStore) -> Iterator[None]:
    """Hold the run, on this machine, until the process ends. Raises UserError when another driver has it."""
    if not store.local:
        yield
        return
    os.makedirs(store.root, exist_ok=True)
    with open(store.path(".lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{store.uri}: another command works on this run; wait for it or use another run.path"
            ) from error
        yield


@contextmanager
def held(store: RunStore) -> Iterator[None]:
    """Hold the run for a command that needs no Ray: on this machine, or in an object store on the cluster that works on it.

    Raises:
        UserError: another driver has it, or the cluster that would know is not named or does not answer.
    """
    if store.local:
        with locked(store):
            yield
        return
    address = "auto" if _is_submitted() else os.environ.get("RAY_ADDRESS", "")
    if not address or address.startswith("http"):  # where jobs are submitted to, no cluster to join
        raise UserError(
            f"{store.uri}: in an object store the lock on a run is on the Ray cluster that works on it; set RAY_ADDRESS to the "
            "cluster's address (host:6379), or give this command to `ray job submit`"
        )
    with ExitStack() as stack:
        try:
            stack.enter_context(ray_session(parse({"ray": {"address": address}}), check=False))
        except UserError as error:
            raise UserError(
                f"{store.uri}: the lock on the run is on the Ray cluster at {address}, which does not answer; see RAY_ADDRESS"
            ) from error
        lock = lock_on_cluster(store)
        yield
        del lock


def lock_on_cluster(store: RunStore) -> Any:
    """Hold the run on the whole cluster by a named actor that dies with this driver. Raises UserError when it is held."""
    import ray

    name = f"lock-{digest(store.uri.rstrip('/'))}"
    try:
        return ray.remote(_Lock).options(name=name, namespace=NAMESPACE, num_cpus=0).remote()
    except ValueError as error:
        raise UserError(f"{store.uri}: another job on this cluster works on this run; wait for it") from error
