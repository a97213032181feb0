"""Reading the sources through Ray Data: files in, documents, APIs and reasons out, in the order of the files.

Invariants: what a file holds never stops the run; a row says what became of it. The last row of a file says how long reading
it took.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pyarrow as pa

from toolace_ray.errors import UserError
from toolace_ray.records.api import Api
from toolace_ray.schemas import gate
from toolace_ray.store.rows import verdicts_json
from toolace_ray.tss import specs
from toolace_ray.tss.readers import Limits, read, readable

READ = pa.schema(
    [
        ("kind", pa.string()),  # document, api, refused (an operation or tool), unread (a file or a row of it) or end
        ("path", pa.string()),
        ("id", pa.string()),
        ("part", pa.int32()),
        ("text", pa.string()),  # a document's text, an API as JSON, or the reason
        ("verdicts", pa.string()),  # the gate's, of an API
        ("seconds", pa.float64()),  # CPU time that reading the file took, in its last row
    ]
)
FILES_A_BLOCK, MOST_BLOCKS = 8, 1000
ROWS = 256  # of one output batch
READ_CPUS = 0.5


def ingest(files: Sequence[tuple[str, str]], limits: Limits) -> Iterator[pa.Table]:
    """Read (kind, path) pairs; tables of READ, in the order of the files."""
    from actors.ordered import in_order  # imports Ray Data, which sources that were read before do without

    blocks = min(max(len(files) // FILES_A_BLOCK, 1), MOST_BLOCKS)
    table = pa.table({"source": [kind for kind, _ in files], "path": [path for _, path in files]})
    return in_order(table, _read_all, (limits,), blocks, READ_CPUS, ROWS)


def _read_all(table: pa.Table, limits: Limits) -> Iterator[pa.Table]:
    rows: list[dict[str, object]] = []
    for file in table.to_pylist():
        started = time.thread_time()  # not the clock: whoever takes the rows may let us wait
        for row in _file_rows(file["source"], file["path"], limits):
            rows.append(row)
            if len(rows) >= ROWS:
                yield pa.Table.from_pylist(rows, schema=READ)
                rows = []
        rows.append({"kind": "end", "path": file["path"], "seconds": time.thread_time() - started})
    yield pa.Table.from_pylist(rows, schema=READ)


def import_row(path: str, item: Api | str) -> dict[str, object]:
    """An imported API with the gate's verdicts, or the reason why an operation or tool is none, as a row of READ."""
    row: dict[str, object] = {"path": path, "id": "", "part": 0, "verdicts": "", "kind": "refused"}
    if not isinstance(item, Api):
        return {**row, "text": readable(item)}
    try:
        fields = {"id": item.id, "text": item.model_dump_json(), "verdicts": verdicts_json(gate.check(item))}
        return {**row, **fields, "kind": "api"}
    except Exception as error:  # schemas of strangers: what can't be judged is refused, and the others go on
        return {**row, "text": readable(f"{item.name}: {type(error).__name__}: {str(error)[:200]}")}


def _file_rows(source: str, path: str, limits: Limits) -> Iterator[dict[str, object]]:
    base = {"path": path, "id": "", "part": 0, "verdicts": ""}
    if source == "document":
        for item in read(path, limits):
            if isinstance(item, str):
                yield {**base, "kind": "unread", "text": item}
            else:
                yield {**base, "kind": "document", "id": item.id, "part": item.part, "text": item.text}
        return
    try:
        for imported in specs.IMPORTERS[source](path, limits.undescribed):
            yield import_row(path, imported)
    except UserError as error:  # one of many files of a folder: the others go on
        yield {**base, "kind": "unread", "text": readable(str(error).removeprefix(f"{path}: "))}
    except Exception as error:  # nobody foresees all that files of strangers lead to
        yield {**base, "kind": "unread", "text": readable(f"{type(error).__name__}: {str(error)[:200]}")}
