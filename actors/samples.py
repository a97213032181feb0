"""Ray Data over a data set that somebody else made: portions of files in, judged rows out, in the order of the set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from toolace_ray.config.tree import VerifyConfig
from toolace_ray.corpus.samples import Portion, rows
from toolace_ray.corpus.verification import judge
from toolace_ray.store.rows import verdicts_json

JUDGED = pa.schema(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("accepted", pa.bool_()),
        ("verdicts", pa.string()),  # null where there are none
        ("line", pa.string()),
        ("key", pa.string()),
        ("blank", pa.int32()),  # empty lines before this one
    ]
)
MOST_BLOCKS = 2000
ROWS = 256  # of one output batch
JUDGE_CPUS = 1


def judged(portions: Sequence[Portion], format: str, config: VerifyConfig) -> Iterator[pa.Table]:
    """Tables of JUDGED, in the order of the portions."""
    import ray
    from ray.data import DataContext

    from actors.stages import quiet

    quiet()
    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    try:
        columns = {name: [getattr(item, name) for item in portions] for name in ("path", "start", "end")}
        blocks = min(len(portions), MOST_BLOCKS)
        data = ray.data.from_arrow(pa.table(columns)).repartition(blocks, shuffle=False)
        data = data.map_batches(
            _judge_all, fn_args=(format, config), batch_format="pyarrow", batch_size=None, num_cpus=JUDGE_CPUS
        )
        yield from data.iter_batches(batch_format="pyarrow", batch_size=None)
    finally:
        context.execution_options.preserve_order = False


def _judge_all(table: pa.Table, format: str, config: VerifyConfig) -> Iterator[pa.Table]:
    found: list[dict[str, object]] = []
    blank = 0
    for item in table.to_pylist():
        for text in rows(Portion(**item)):
            if text is None:
                blank += 1
                continue
            told = judge(text, format, config)
            found.append(
                {
                    "id": told.id,
                    "type": told.type,
                    "accepted": told.accepted,
                    "verdicts": verdicts_json(told.verdicts) if told.verdicts else None,
                    "line": told.line,
                    "key": told.key,
                    "blank": blank,
                }
            )
            blank = 0
            if len(found) >= ROWS:
                yield pa.Table.from_pylist(found, schema=JUDGED)
                found = []
    yield pa.Table.from_pylist(found, schema=JUDGED)
