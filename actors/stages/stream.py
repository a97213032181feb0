"""The Ray Data stream: committed drafts in, accepted rows and ledger rows out, while the workers go on.

How it is fed was chosen by measurement (docs/architecture.md): a pull-based Datasource whose read task number i waits
in the planner for the next shards. Blocks leave a read at its task's end, so one task is one portion; an execution has
a bounded number of read tasks and is followed by the next one until the flow is done.

Invariants: a draft is judged once in a start (a task that Ray runs again gets the same shards; rows with a verdict on
disk keep it, and no file is written over); a row is in `accepted` or in the ledger, never in both, never in neither; a
row that a stage can't bear is a row of the ledger, and only judges that answer nobody end the run.
"""

from __future__ import annotations

import logging
from typing import Any

import ray
from ray.data import DataContext, TaskPoolStrategy

from actors.pools import PoolHandles
from actors.stages.experts import Experts
from actors.stages.rules import apply_gate, apply_rules
from actors.stages.sink import VerdictSink
from actors.stages.source import DraftSource
from toolace_ray.config.tree import Config
from toolace_ray.store.settle import Flow

FIRST_TASKS, MOST_TASKS = 64, 2048  # read tasks of the first execution, and of any
WAITING_CPUS, RULE_CPUS, EXPERT_CPUS, SINK_CPUS = 0.01, 0.1, 0.05, 0.02


def quiet() -> None:
    """Keep Ray Data from drawing its own progress over ours."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def stream(flow: Flow, uri: str, config: Config, pools: dict[str, PoolHandles], planner: Any, epoch: str) -> None:
    """Judge drafts until the planner says that the flow is done. Blocks; run it in a thread of the driver."""
    quiet()
    first, count = 0, FIRST_TASKS
    compute = TaskPoolStrategy(size=config.execution.verify_concurrency)
    whole_blocks: dict[str, Any] = {"batch_format": "pyarrow", "batch_size": None, "compute": compute}
    while not ray.get(planner.status.remote())["done"]:
        source = DraftSource(uri, flow.drafts, planner, first, count)
        data = ray.data.read_datasource(source, override_num_blocks=count, num_cpus=WAITING_CPUS, compute=compute)
        # Different reservations keep Ray Data from fusing the stages into the read, which would wait and judge by turns.
        if flow.makes_dialogs:
            data = data.map_batches(apply_rules, fn_args=(config,), num_cpus=RULE_CPUS, **whole_blocks)
            if config.verify.experts:
                data = data.map_batches(
                    Experts.judge, fn_args=(config, pools, epoch), num_cpus=EXPERT_CPUS, **whole_blocks
                )
        else:
            data = data.map_batches(apply_gate, num_cpus=RULE_CPUS, **whole_blocks)
        data.write_datasink(VerdictSink(uri, flow, planner, epoch), ray_remote_args={"num_cpus": SINK_CPUS})
        first, count = first + count, min(2 * count, MOST_TASKS)
