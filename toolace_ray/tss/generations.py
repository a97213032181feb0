"""The generations of a run's pool: what each one is to make, what it is shown, and what all of them made so far.

Invariants: a generation's designs and its snapshot of the example buffer are written once, from the pool as it was when
the generation before it was finished; a finished generation never changes; what a generation knows of earlier ones
depends on their accepted APIs alone.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from toolace_ray.config.tree import EvolveConfig
from toolace_ray.records.api import Api
from toolace_ray.store.rows import DESIGN, ELITE
from toolace_ray.store.storage import RunStore
from toolace_ray.text.dedup import NearDuplicates
from toolace_ray.tss.adaptation import Adaptation, Design, History, Subtree, claim
from toolace_ray.tss.buffer import Buffer
from toolace_ray.tss.fields import flat
from toolace_ray.tss.indicators import INDICATORS
from toolace_ray.tss.speciation import Node

FOLDER = "evolution"


def name_of(number: int) -> str:
    """A generation's name: what quotas and rows call `kind`."""
    return f"g{number:04d}"


@dataclass
class Evolution:
    """What the next generation needs of the pool so far; `count` is the number of synthesised APIs."""

    novelty: NearDuplicates
    history: History = field(default_factory=History)
    buffer: Buffer = field(default_factory=Buffer)
    count: int = 0

    def take(self, rows: Iterable[dict[str, Any]], known: bool = False) -> None:
        """Take rows of the pool; `known` when their keys are in the index already."""
        for row in rows:
            api = Api.model_validate_json(row["record"])
            self.buffer.offer(api)
            if not known:
                self.novelty.repeats(row["key"], f"{row['kind']}-{row['attempt']:06d}")
            self._count(api)

    def _count(self, api: Api) -> None:
        if api.lineage.source == "synthesised":
            self.count += 1
            self.history.claimed.add(claim(api.functionalities))
            self.history.domains[api.domain[0]] += 1
            self.history.nodes.update(api.functionalities)
            for node in api.functionalities:
                self.history.names.setdefault(node, []).append(api.name)
            self.history.worked.update(api.lineage.indicators)
            self.history.dropped.update(reason.partition(":")[0] for reason in api.lineage.dropped)


def prepare(
    store: RunStore, number: int, evolution: Evolution, nodes: list[Node], config: EvolveConfig, seed: int
) -> int:
    """Freeze a generation's snapshot and designs, unless they are; returns the number of designs."""
    kind = name_of(number)
    if not store.exists(FOLDER, f"{kind}-designs.parquet"):
        # Only what the writer's form can show is an example.
        elites: list[dict[str, Any]] = [
            {"domain": cell[0], "bin": cell[1], "quality": value, "id": api.id, "record": api.model_dump_json()}
            for cell, value, api in evolution.buffer.elites()
            if flat(api) is not None
        ]
        store.write(FOLDER, f"{kind}-snapshot.parquet", elites, ELITE)
        adaptation = Adaptation(
            nodes,
            f"{seed}/{kind}",
            evolution.history,
            config.max_level,
            list(INDICATORS),
            config.max_indicators,
            len(elites),
        )
        count = _functionalities(nodes)
        store.write_bytes(FOLDER, f"{kind}-opened.json", json.dumps({"functionalities": count}).encode())
        designs = itertools.islice(adaptation, config.max_attempts * config.generation_size)
        rows = [
            {
                "attempt": attempt,
                "domain": list(design.subtree.domain),
                "nodes": list(design.subtree.nodes),
                "added": design.subtree.added,
                "indicators": list(design.indicators),
                "steps": design.steps,
                "example": design.example,
                "taken": list(design.taken),
            }
            for attempt, design in enumerate(designs)
        ]
        if rows:  # a tree that has nothing now may have grown at the next start
            store.write(FOLDER, f"{kind}-designs.parquet", rows, DESIGN)
        return len(rows)
    return int(store.table(FOLDER, f"{kind}-designs.parquet", ["attempt"]).num_rows)


def outgrown(store: RunStore, number: int, nodes: list[Node]) -> bool:
    """True for a generation that was planned when the tree had fewer functionalities."""
    kind = name_of(number)
    if not store.exists(FOLDER, f"{kind}-designs.parquet"):
        return False
    opened = json.loads(store.read_bytes(FOLDER, f"{kind}-opened.json"))
    return bool(opened["functionalities"] < _functionalities(nodes))


def _functionalities(nodes: list[Node]) -> int:
    return sum(node.kind == "functionality" and not node.apis for node in nodes)


def finish(store: RunStore, number: int, accepted: int, attempts: int) -> None:
    """Write that a generation is finished: APIs accepted, and attempts made."""
    text = json.dumps({"accepted": accepted, "attempts": attempts})
    store.write_bytes(FOLDER, f"{name_of(number)}-finished.json", text.encode())


def finished(store: RunStore, number: int) -> dict[str, int] | None:
    """The counts `accepted` and `attempts` of a finished generation; None for one that is not finished."""
    name = f"{name_of(number)}-finished.json"
    return dict(json.loads(store.read_bytes(FOLDER, name))) if store.exists(FOLDER, name) else None


class Generation:
    """A generation as its workers see it: Arrow tables, of which single rows become objects."""

    def __init__(self, store: RunStore, kind: str) -> None:
        self.number = int(kind[1:])
        self._designs = store.table(FOLDER, f"{kind}-designs.parquet")
        self._examples = store.table(FOLDER, f"{kind}-snapshot.parquet", ["record"])

    def design(self, attempt: int) -> Design:
        """The design of an attempt."""
        row = self._designs.slice(attempt, 1).to_pylist()[0]
        subtree = Subtree(tuple(row["domain"]), tuple(row["nodes"]), row["added"])
        return Design(subtree, tuple(row["indicators"]), row["steps"], row["example"], tuple(row["taken"]))

    def example(self, design: Design) -> Api | None:
        """The example that a design's writer is shown."""
        if design.example is None:
            return None
        return Api.model_validate_json(self._examples["record"][design.example].as_py())
