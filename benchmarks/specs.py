"""What the import makes of specifications: operations, imported, refused by reason, pruned, seconds and memory, one row a document.

    python -m benchmarks.specs FILE...
    python -m benchmarks.specs $(python -m benchmarks.spec_documents FOLDER)

Files are OpenAPI or Swagger documents and MCP tools/list results, also as .xz. Each is read in a process of its own; its peak
memory holds the interpreter and the modules, too. The table is Markdown. The last line is one JSON object: document -> its row,
where `refused` maps each reason, without its names and numbers, to its count and to one example of it.
"""

from __future__ import annotations

import json
import lzma
import multiprocessing
import re
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.spec_documents import DOCUMENTS
from toolace_ray.errors import UserError
from toolace_ray.records.api import Api
from toolace_ray.schemas import gate
from toolace_ray.text.dedup import NearDuplicates, api_key
from toolace_ray.tss import specs
from toolace_ray.tss.intake import IMPORT, Intake

NEAR_DUPLICATE = 0.8  # evolve.near_duplicate
COLUMNS = (
    "document",
    "operations",
    "imported",
    "with optional parts left out",
    "with notes",
    "seconds",
    "peak MiB",
    "refused",
)


def main(paths: list[str]) -> int:
    """Print the table and the JSON object."""
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    rows = {}
    print(_line(*COLUMNS), _line(*["---"] * len(COLUMNS)), sep="\n")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        for path, row in zip(paths, pool.map(_of_file, paths), strict=True):
            rows[Path(path).name] = row
            reasons = "; ".join(f"{count:,}: {reason}" for reason, (count, _) in row["refused"].items()) or row["error"]
            counts = (f"{row[key]:,}" for key in ("operations", "imported", "pruned", "noted"))
            print(
                _line(_named(Path(path)), *counts, f"{row['seconds']:.1f}", str(row["peak_mib"]), reasons), flush=True
            )
    print(json.dumps(rows, ensure_ascii=False))
    return 0


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _named(path: Path) -> str:
    """A document as the table calls it: by the package that ships it, where it is one of DOCUMENTS."""
    known = next((document for document in DOCUMENTS if document.file == path.name), None)
    if known is None:
        return path.name
    source = f"{known.client} `{known.package}` {known.version}, {known.licence}: `{known.member}`"
    return f"{known.name} ({source})"


def _of_file(path: str) -> dict[str, Any]:
    """The row of a file, measured in a process that has done nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        row = measured(_unpacked(Path(path), Path(folder)))
    return {**row, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}


def measured(path: str) -> dict[str, Any]:
    """A document's row."""
    index, started = NearDuplicates(NEAR_DUPLICATE), time.monotonic()
    taken, error = Intake(path), ""
    try:
        for item in _import(path):
            if fault := _refused(item, index):
                taken.met += 1
                taken.refuse(*fault)
            elif isinstance(item, Api):
                taken.take(item.lineage.notes)
    except UserError as wrong:
        error = str(wrong).removeprefix(f"{path}: ")
    counts = {"operations": taken.met, "imported": taken.apis, "pruned": taken.pruned, "noted": taken.noted}
    refused = {why: (count, taken.examples[why][:300]) for why, count in taken.refused.items()}
    return {**counts, "refused": refused, "error": error, "seconds": round(time.monotonic() - started, 2)}


def _refused(item: Api | str, index: NearDuplicates) -> tuple[str, str] | None:
    """The rule by which an operation does not join the pool, and the evidence; None where it does."""
    if isinstance(item, str):
        return IMPORT, item
    if verdicts := gate.check(item):
        return verdicts[0].rule, verdicts[0].evidence
    twin = index.repeats(api_key(item), item.name)
    return ("near-duplicate of another operation", f"{item.name} is {twin}") if twin else None


def _import(path: str) -> Iterator[Api | str]:
    """A document's operations, or a list's tools; which one it is, the document says."""
    text = Path(path).read_bytes()
    if b"inputSchema" in text and not re.search(rb"\b(?:openapi|swagger)\b\"?\s*:", text):
        return specs.import_mcp(path)
    return specs.import_openapi(path)


def _unpacked(path: Path, folder: Path) -> str:
    if path.suffix != ".xz":
        return str(path)
    copy = folder / path.stem
    copy.write_bytes(lzma.decompress(path.read_bytes()))
    return str(copy)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
