"""A table through Ray Data, in the order of its rows.

Invariant: what else runs in the process finds Ray Data's settings as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import ray
from ray.data import DataContext

from actors.stages.stream import quiet


def in_order(
    table: pa.Table,
    work: Callable[..., Iterator[pa.Table]],
    arguments: tuple[Any, ...],
    blocks: int,
    cpus: float,
    batch_rows: int | None = None,
) -> Iterator[pa.Table]:
    """What `work(block, *arguments)` gives for the table's blocks, in their order.

    Args:
        blocks: parts of the table, a task each.
        cpus: that a task reserves.
        batch_rows: rows of a table that is given; as `work` made them when None.
    """
    quiet()
    options = DataContext.get_current().execution_options
    before = options.preserve_order
    options.preserve_order = True
    try:
        data = ray.data.from_arrow(table).repartition(blocks, shuffle=False)
        data = data.map_batches(work, fn_args=arguments, batch_format="pyarrow", batch_size=None, num_cpus=cpus)
        yield from data.iter_batches(batch_format="pyarrow", batch_size=batch_rows)
    finally:
        options.preserve_order = before
