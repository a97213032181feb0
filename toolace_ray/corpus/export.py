"""The accepted dialogs of a run as one JSONL file a format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from toolace_ray.corpus.formats import FORMATS
from toolace_ray.rows import row_dialog
from toolace_ray.schema import Dialog
from toolace_ray.storage import RunStore


def export(store: RunStore) -> list[str]:
    """Write corpus/<format>.jsonl for every format; rows stream, memory stays flat. Returns the files' paths."""
    for name, convert in FORMATS.items():
        store.write_lines("corpus", f"{name}.jsonl", _lines(store, convert))
    return [store.path("corpus", f"{name}.jsonl") for name in FORMATS]


def _lines(store: RunStore, convert: Callable[[Dialog], dict[str, Any]]) -> Iterator[str]:
    for row in store.rows("dialogs"):
        yield json.dumps(convert(row_dialog(row)), ensure_ascii=False)
