"""Which cores an engine on a CPU computes on: the engines of a machine divide its cores among themselves.

Invariants: a share follows from the machine and the replicas placed there alone, so that a replica that is started again
has the cores it had; where there are as many cores as engines no core belongs to two of them; a share lies within one NUMA
node, and has one logical CPU of each of its physical cores.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SYSTEM = Path("/sys/devices/system/cpu")
LEAST = 0.01  # the weight of an engine that reserves nothing


@dataclass(frozen=True)
class Core:
    """A physical core: the logical CPU of it that an engine uses, and its NUMA node."""

    cpu: int
    node: int = 0


@dataclass(frozen=True)
class Share:
    """A replica's part of its machine.

    Args:
        weights: what each engine on the machine reserves, in an order that all of them know (pools.<name>.cpus).
        index: which of them this one is.
        cpus: the CPUs that Ray counts on the machine; below those that a process may run on where a container's limit or
            the user allows less.
        threads: the threads that the user asked for (OMP_NUM_THREADS); 0 when the share tells.
    """

    weights: tuple[float, ...] = (1.0,)
    index: int = 0
    cpus: float = float("inf")
    threads: int = 0


@dataclass(frozen=True)
class Place:
    """What an engine computes with: threads, and the logical CPUs they are bound to (none: wherever the system puts them)."""

    threads: int
    cpus: tuple[int, ...] = ()


def machine() -> list[Core]:
    """The physical cores that this process may run on, by NUMA node."""
    if not hasattr(os, "sched_getaffinity"):  # macOS binds no threads
        return [Core(cpu) for cpu in range(os.cpu_count() or 1)]
    cores: dict[str, Core] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        folder = SYSTEM / f"cpu{cpu}"
        try:
            siblings = (folder / "topology" / "thread_siblings_list").read_text().strip()
        except OSError:  # not every system tells
            siblings = str(cpu)
        node = min((int(path.name[4:]) for path in folder.glob("node[0-9]*")), default=0)
        cores.setdefault(siblings, Core(cpu, node))
    return sorted(cores.values(), key=lambda core: (core.node, core.cpu))


def place(cores: Sequence[Core], allowed: int, share: Share) -> Place:
    """The place of one engine.

    Args:
        cores: those of the machine, by NUMA node.
        allowed: logical CPUs that a process may run on.
    """
    weights = [max(weight, LEAST) for weight in share.weights]
    if share.cpus < allowed:
        # Somebody else may use these cores too, and which of them are free nobody knows here: threads alone.
        part = share.cpus * weights[share.index] / sum(weights)
        return Place(share.threads or max(1, min(int(part + 1e-9), len(cores))))
    if len(cores) <= len(weights):
        mine = [cores[share.index % len(cores)]]
    else:
        # Everybody gets one, and the rest is divided by weight: a bound is rounded in the same way for both its neighbours.
        rest = len(cores) - len(weights)
        bounds = [i + round(rest * sum(weights[:i]) / sum(weights)) for i in range(len(weights) + 1)]
        mine = list(cores[bounds[share.index] : bounds[share.index + 1]])
    node = Counter(core.node for core in mine).most_common(1)[0][0]
    cpus = tuple(core.cpu for core in mine if core.node == node)
    return Place(share.threads or len(cpus), cpus if hasattr(os, "sched_setaffinity") else ())


def own_place(share: Share) -> Place:
    """The place of an engine in this process's machine."""
    cores = machine()
    return place(
        cores, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, share
    )
