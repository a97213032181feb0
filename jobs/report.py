"""The report of a run as a command: report/index.html and report/statistics.json."""

from __future__ import annotations

import json

import yaml

from toolace_ray.corpus.report import ApiReservoir, render
from toolace_ray.records.api import Api
from toolace_ray.store.storage import RunStore
from toolace_ray.tss import intake, saved
from toolace_ray.tss.statistics import PoolStatistics, distances, tree_counts


def statistics(store: RunStore, sample: ApiReservoir | None = None) -> tuple[PoolStatistics, list[str]]:
    """The pool's statistics and its keys, in one pass over its rows. The sample takes every API that streams by."""
    pool, keys = PoolStatistics(), []
    seen: set[str] = set()
    for row in store.rows("apis", ["id", "key", "record"]):
        if row["id"] in seen:
            continue
        seen.add(row["id"])
        api = Api.model_validate_json(row["record"])
        pool.take(api)
        keys.append(row["key"])
        if sample is not None:
            sample.take(api)
    for row in store.rows("rejected", ["type", "stage", "rule"]):
        if row["type"] in ("api", "imported"):
            pool.reject(row["stage"], row["rule"])
    return pool, keys


def report(store: RunStore) -> str:
    """Write the report and say where it lies. Raises UserError on a full disk."""
    run = yaml.safe_load(store.read_bytes("run.yaml")) or {}
    config = run.get("config", {})
    seed = int(config.get("run", {}).get("seed", 0))
    pools = config.get("pools", {})
    writers = config.get("roles", {}).get("writer", "")
    simulated = any(
        pools.get(name, {}).get("engine") == "simulated"
        for name in ([writers] if isinstance(writers, str) else writers)
    )
    sample = ApiReservoir(seed)
    pool, keys = statistics(store, sample)
    nodes = saved.load_nodes(store)
    nearest = distances(keys, seed)
    intakes = intake.of_run(store)
    page = render(f"Report of {store.uri}", store.uri, simulated, pool, nearest, nodes, sample.chosen, intakes)
    figures = {
        **pool.as_json(),
        "tree": tree_counts(nodes),
        "nearest": [round(value, 4) for value in sorted(nearest)],
        "read": [item.as_json() for item in intakes],
    }
    store.make("report")
    store.write_bytes("report", "statistics.json", json.dumps(figures, indent=1, ensure_ascii=False).encode())
    store.write_bytes("report", "index.html", page.encode())
    return f"{store.path('report')}: index.html, statistics.json ({pool.apis:,} APIs)"
