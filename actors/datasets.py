"""Ray Data over a data set that somebody else made: portions of files in, verified rows out, in the order of the set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from toolace_ray.config.tree import VerifyConfig
from toolace_ray.corpus.datasets import Portion, rows
from toolace_ray.corpus.verification import verify_row
from toolace_ray.store.rows import verdicts_json

PORTION = pa.schema([("path", pa.string()), ("start", pa.int64()), ("end", pa.int64()), ("key", pa.string())])
VERIFIED = pa.schema(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("accepted", pa.bool_()),  # null at a portion's end, whose `row` is how many rows it has
        ("verdicts", pa.string()),  # null where there are none
        ("line", pa.string()),
        ("key", pa.string()),
        ("path", pa.string()),
        ("row", pa.int64()),  # counted from 1 in its portion, empty lines too
    ]
)
MOST_BLOCKS = 2000
ROWS = 256  # of one output batch
VERIFY_CPUS = 1


def verified_rows(portions: Sequence[Portion], format: str, config: VerifyConfig) -> Iterator[dict[str, Any]]:
    """Rows of VERIFIED, in the order of the portions, which is that of their files; `row` counts from 1 in its file."""
    from actors.ordered import in_order  # imports Ray

    blocks = min(len(portions), MOST_BLOCKS)
    return numbered(in_order(as_table(portions), verify_all, (format, config), blocks, VERIFY_CPUS))


def as_table(portions: Iterable[Portion]) -> pa.Table:
    """Portions as they travel to the tasks that read them."""
    return pa.Table.from_pylist([asdict(portion) for portion in portions], schema=PORTION)


def numbered(tables: Iterable[pa.Table]) -> Iterator[dict[str, Any]]:
    """Rows of VERIFIED, counted from 1 in their file instead of in their portion; the portions' ends are left out."""
    before: Counter[str] = Counter()  # rows of a file's earlier portions
    for table in tables:
        for row in table.to_pylist():
            number = before[row["path"]] + row["row"]
            if row["accepted"] is None:
                before[row["path"]] = number
            else:
                yield {**row, "row": number}


def verify_all(table: pa.Table, format: str, config: VerifyConfig) -> Iterator[pa.Table]:
    """Tables of VERIFIED on portions, with a row at the end of each."""
    batch: list[dict[str, object]] = []
    for item in table.to_pylist():
        number = 0
        for number, text in enumerate(rows(Portion(**item)), 1):
            if text is None:
                continue
            verified = verify_row(text, format, config)
            batch.append(
                {
                    "id": verified.id,
                    "type": verified.type,
                    "accepted": verified.accepted,
                    "verdicts": verdicts_json(verified.verdicts) if verified.verdicts else None,
                    "line": verified.line,
                    "key": verified.key,
                    "path": item["path"],
                    "row": number,
                }
            )
            if len(batch) >= ROWS:
                yield pa.Table.from_pylist(batch, schema=VERIFIED)
                batch = []
        batch.append({"path": item["path"], "row": number})
    yield pa.Table.from_pylist(batch, schema=VERIFIED)
