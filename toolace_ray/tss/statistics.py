"""What a pool is made of, counted while its rows stream by.

Invariant: the figures depend on the rows alone, not on their order.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from toolace_ray.records.api import Api
from toolace_ray.schemas.walk import CONSTRAINTS, shape
from toolace_ray.text.dedup import nearest
from toolace_ray.tss.features import complexity_bin
from toolace_ray.tss.speciation import Node

SAMPLE = 1000  # APIs whose nearest neighbours are looked for


@dataclass
class PoolStatistics:
    """Counts over a pool. Shares are over `apis`; every Counter is over APIs unless its name says otherwise."""

    apis: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    generations: Counter[int] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    levels: Counter[int] = field(default_factory=Counter)
    parameters: Counter[int] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    constraints: Counter[str] = field(default_factory=Counter)
    bins: Counter[int] = field(default_factory=Counter)
    nested: int = 0
    constrained: int = 0
    applied: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    def take(self, api: Api) -> None:
        """Count one API of the pool."""
        schema_shape = shape(api.parameters)
        self.apis += 1
        self.sources[api.lineage.source] += 1
        self.domains[api.domain[0] if api.domain else ""] += 1
        self.parameters[len(api.properties)] += 1
        self.types.update(schema_shape.types)
        self.constraints.update(dict.fromkeys(schema_shape.constraints, 1))
        self.bins[complexity_bin(api)] += 1
        self.nested += schema_shape.depth > 1
        self.constrained += any(kind in schema_shape.constraints for kind in CONSTRAINTS)
        if api.lineage.source == "synthesised":
            self.generations[api.lineage.generation] += 1
            self.levels[len(api.functionalities)] += 1
        self.applied.update(api.lineage.indicators)
        self.dropped.update(reason.partition(":")[0] for reason in api.lineage.dropped)

    def reject(self, stage: str, rule: str) -> None:
        """Count one attempt at an API, or one imported operation, that is not in the pool; surplus is no rejection."""
        if stage != "surplus":
            self.rejected[f"{stage}/{rule}"] += 1

    @property
    def duplicate_rate(self) -> float:
        """Share of the APIs that passed all other checks and repeat one that is there."""
        duplicates = self.rejected["gate/duplicate"]
        return duplicates / (self.apis + duplicates) if self.apis + duplicates else 0.0

    @property
    def pass_rate(self) -> float:
        """Share of attempts and operations that are in the pool."""
        tried = self.apis + self.rejected.total()
        return self.apis / tried if tried else 0.0

    def as_json(self) -> dict[str, Any]:
        """The figures as plain JSON."""
        figures = {
            name: {str(key): number for key, number in sorted(value.items(), key=lambda item: (-item[1], str(item[0])))}
            if isinstance(value, Counter)
            else value
            for name, value in vars(self).items()
        }
        return {**figures, "duplicate_rate": round(self.duplicate_rate, 4), "pass_rate": round(self.pass_rate, 4)}


def tree_counts(nodes: Iterable[Node]) -> dict[str, int]:
    """Nodes by kind, and `leaves`: the functionalities without parts."""
    tree = list(nodes)
    parents = {node.parent for node in tree}
    counts = Counter(node.kind for node in tree)
    leaves = sum(node.kind == "functionality" and node.id not in parents for node in tree)
    return {
        "nodes": len(tree),
        **{kind: counts[kind] for kind in ("domain", "topic", "functionality")},
        "leaves": leaves,
    }


def distances(keys: Iterable[str], seed: int) -> list[float]:
    """Jaccard distances of up to SAMPLE APIs, drawn under the seed, to their nearest neighbours in the whole pool."""
    listed = sorted(keys)
    sample = random.Random(f"{seed}/distances").sample(range(len(listed)), min(SAMPLE, len(listed)))
    return nearest(listed, sorted(sample))
