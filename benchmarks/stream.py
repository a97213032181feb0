"""Two ways to feed Ray Data while generation goes on: short executions one after another, or one that pulls.

    python -m benchmarks.stream --shards 40

Both judge the same shards (64 rows each) by the rule layer and write them. The last line is one JSON object: wall and CPU
seconds of each way, all of Ray's processes counted, and how many rows it accepted, which is the same for both.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.data import TaskPoolStrategy

from actors.planner import Planner, PlannerActor
from actors.stages.rules import apply_rules
from actors.stages.sink import VerdictSink
from actors.stages.stream import RULE_CPUS, SINK_CPUS, quiet, stream
from benchmarks.measuring import cpu_seconds
from toolace_ray.config.load import parse
from toolace_ray.config.tree import Config
from toolace_ray.dlv.duplicates import dialog_key
from toolace_ray.engines.roles import Engines
from toolace_ray.engines.simulated import SimulatedEngine
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.usage import Usage
from toolace_ray.sdg.plans import Task
from toolace_ray.sdg.pool import Pool
from toolace_ray.sdg.rollout import rollout
from toolace_ray.store.rows import DRAFT, usage_columns
from toolace_ray.store.settle import Flow
from toolace_ray.store.storage import RunStore
from toolace_ray.tss.specs import import_mcp, import_openapi

ROWS = 64
SHARDS_AN_EXECUTION = 4


def drafts(config: Config, shards: int) -> Iterator[list[dict[str, Any]]]:
    """Rows of `shards` shards, each dialog under an attempt of its own."""
    apis = [
        *import_openapi("examples/specs/travel.openapi.json"),
        *import_mcp("examples/specs/office.mcp.json"),
    ]
    pool = Pool.of([api for api in apis if not isinstance(api, str)])
    engines = Engines(config, {"small": SimulatedEngine(latency_ms=0, slip=0)})

    async def play() -> list[tuple[Dialog, Usage]]:
        made = [
            await rollout(Task(f"single-{i}", "single.plain", i, i), pool, config, engines.for_task(str(i)))
            for i in range(ROWS)
        ]
        return [(outcome.dialog, outcome.usage) for outcome in made if outcome.dialog]

    outcomes = asyncio.run(play())
    for shard in range(shards):
        rows = []
        for index in range(ROWS):
            played, usage = outcomes[index % len(outcomes)]
            attempt = shard * ROWS + index
            dialog = played.model_copy(update={"id": f"single-{attempt}", "attempt": attempt})
            rows.append(
                {"id": dialog.id, "type": "single", "kind": "single", "attempt": attempt, "key": dialog_key(dialog) + str(attempt),
                 "record": dialog.model_dump_json(), **usage_columns(usage, 0.0)}
            )  # fmt: skip
        yield rows


def measure(name: str, work: Callable[[], None]) -> dict[str, float]:
    started, used = time.monotonic(), cpu_seconds()
    work()
    wall, spent = time.monotonic() - started, cpu_seconds() - used
    print(f"{name}: {wall:.1f} s wall, {spent:.1f} s CPU", flush=True)
    return {"wall_s": round(wall, 2), "cpu_s": round(spent, 2)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shards", type=int, default=40)
    arguments = parser.parse_args()
    config = parse({"verify": {"experts": {}}})
    with tempfile.TemporaryDirectory() as run:
        store = RunStore(run)
        store.make("drafts/dialogs", "dialogs", "rejected", "other", "warm")
        names = []
        for index, rows in enumerate(drafts(config, arguments.shards)):
            names.append(f"{index:05d}.parquet")
            store.write("drafts/dialogs", names[-1], rows, DRAFT)
        total = arguments.shards * ROWS
        ray.init(address="local", include_dashboard=False, log_to_driver=False)
        quiet()

        def planner() -> Any:
            made = Planner({"single": (total, total)})
            made.shards = [(name, None) for name in names]
            return ray.remote(PlannerActor).options(num_cpus=0, max_concurrency=1000).remote(made)

        def short(folder: str, names: list[str]) -> None:
            told = planner()
            for first in range(0, len(names), SHARDS_AN_EXECUTION):
                paths = [store.path("drafts/dialogs", name) for name in names[first : first + SHARDS_AN_EXECUTION]]
                data = ray.data.read_parquet(paths, num_cpus=0.01)
                data = data.map_batches(
                    apply_rules, fn_args=(config,), num_cpus=RULE_CPUS, batch_format="pyarrow", batch_size=None,
                    compute=TaskPoolStrategy(size=2),
                )  # fmt: skip
                sink = VerdictSink(store.uri, Flow("dialogs", "dialogs", "drafts/dialogs", folder, {}), told, "e")
                data.write_datasink(sink, ray_remote_args={"num_cpus": SINK_CPUS})

        short("warm", names[:8])
        result: dict[str, Any] = {"rows": total, "shards": len(names)}
        result["short_executions"] = measure("short executions", lambda: short("other", names))

        def pull() -> None:
            stream(Flow("dialogs", "dialogs", "drafts/dialogs", "dialogs", {}), store.uri, config, {}, planner(), "e")

        result["pull"] = measure("pull", pull)
        for name, folder in (("short_executions", "other"), ("pull", "dialogs")):
            result[name]["accepted"] = sum(1 for _ in store.rows(folder, ["id"]))
        ray.shutdown()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
