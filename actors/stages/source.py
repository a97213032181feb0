"""The stream's source: committed shards of drafts, pulled from the planner.

Invariant: a read task that Ray runs again gets the same shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import ray
from ray.data import Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from toolace_ray.store.rows import DRAFT, completed
from toolace_ray.store.storage import RunStore

SHARDS_A_TASK = 4


class DraftSource(Datasource):
    """Shards of drafts as the planner hands them out. `first` is the index of the first read task."""

    def __init__(self, uri: str, folder: str, planner: Any, first: int, count: int) -> None:
        self._uri, self._folder, self._planner = uri, folder, planner
        self._first, self._count = first, count

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown."""
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        """One task an index."""
        uri, folder, planner = self._uri, self._folder, self._planner

        def read(index: int) -> Iterator[pa.Table]:
            store = RunStore(uri)
            tables = []
            for name, keep in ray.get(planner.next_shards.remote(index, SHARDS_A_TASK)):
                table = store.table(folder, name)
                if keep is not None:
                    table = table.filter(pa.compute.is_in(table["id"], pa.array(keep, pa.string())))
                tables.append(completed(table, DRAFT))
            yield pa.concat_tables(tables) if tables else DRAFT.empty_table()

        metadata = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None)
        return [
            ReadTask(lambda index=index: read(index), metadata, schema=DRAFT)
            for index in range(self._first, self._first + self._count)
        ]
