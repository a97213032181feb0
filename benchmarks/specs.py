"""What the import makes of specifications: operations, imported, refused by reason, pruned, and seconds, one row a document.

    python -m benchmarks.specs FILE...

Files are OpenAPI or Swagger documents and MCP tools/list results, also as .xz. The last line is one JSON object: document ->
its row, where `refused` maps each reason, without its names and numbers, to its count and to one example of it.
"""

from __future__ import annotations

import json
import lzma
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolace_ray.errors import UserError
from toolace_ray.records.api import Api
from toolace_ray.schemas import gate
from toolace_ray.text.dedup import NearDuplicates, api_key
from toolace_ray.tss import specs
from toolace_ray.tss.intake import IMPORT, Intake

NEAR_DUPLICATE = 0.8  # evolve.near_duplicate


def main(paths: list[str]) -> int:
    """Print the table and the JSON object."""
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    rows = {}
    print(f"{'document':34} {'operations':>10} {'imported':>8} {'pruned':>7} {'noted':>6} {'seconds':>8}  refused")
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            row = rows[Path(path).name] = measured(_unpacked(Path(path), Path(folder)))
        reasons = ", ".join(f"{count} {reason}" for reason, (count, _) in row["refused"].items()) or row["error"] or "-"
        numbers = f"{row['operations']:10} {row['imported']:8} {row['pruned']:7} {row['noted']:6} {row['seconds']:8.1f}"
        print(f"{Path(path).name[:34]:34} {numbers}  {reasons}")
    print(json.dumps(rows, ensure_ascii=False))
    return 0


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
    return ("duplicate", f"{item.name} is {twin}") if twin else None


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
