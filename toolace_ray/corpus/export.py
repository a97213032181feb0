"""The accepted dialogs of a run as one JSONL file a format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from toolace_ray.corpus.formats import WRITERS
from toolace_ray.records.dialog import Dialog
from toolace_ray.store.rows import row_dialog
from toolace_ray.store.storage import RunStore

MARK = "exported"


def export(store: RunStore) -> list[str]:
    """Bring corpus/<format>.jsonl up to date with dialogs/; rows stream, memory stays flat. Returns the files' paths.

    A mark written last names the files of dialogs/ that the export was made from: while they are the same, so is it.
    """
    mark = "\n".join(store.files("dialogs")).encode()
    if not (store.exists("corpus", MARK) and store.read_bytes("corpus", MARK) == mark):
        for name, convert in WRITERS.items():
            store.write_lines("corpus", f"{name}.jsonl", _lines(store, convert))
        store.write_bytes("corpus", MARK, mark)
    return [store.path("corpus", f"{name}.jsonl") for name in WRITERS]


def _lines(store: RunStore, convert: Callable[[Dialog], dict[str, Any]]) -> Iterator[str]:
    for row in store.rows("dialogs"):
        yield json.dumps(convert(row_dialog(row)), ensure_ascii=False)
