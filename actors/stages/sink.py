"""The stream's sink: accepted rows and ledger rows.

Invariants: a row is in `accepted` or in the ledger, never in both, never in neither; one with a verdict on disk keeps it,
and no file is written over.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import ray
from ray.data import Datasink

from actors.stages.verdicts import fault_verdict
from toolace_ray.dlv.layer import masked, rejects
from toolace_ray.records.api import Api
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.json import digest
from toolace_ray.records.usage import Usage
from toolace_ray.store.rows import API, DIALOG, LEDGER, USAGE_COLUMNS, api_row, dialog_row, ledger_row, verdicts_from
from toolace_ray.store.settle import Flow
from toolace_ray.store.storage import RunStore


class VerdictSink(Datasink[None]):
    """Writes accepted rows and ledger rows, then tells the planner.

    Args:
        epoch: of this start; with the flow's name it begins the files' names.
    """

    def __init__(self, uri: str, flow: Flow, planner: Any, epoch: str) -> None:
        self._uri, self._accepted, self._dialogs = uri, flow.accepted, flow.makes_dialogs
        self._planner, self._prefix = planner, f"{epoch}-{flow.name}"

    @property
    def min_rows_per_write(self) -> int | None:
        """None: each block is written as it comes, so that no verdict waits for others."""
        return None

    def write(self, blocks: Iterable[pa.Table], ctx: Any) -> None:
        """Write one task's blocks."""
        for block in blocks:
            if block.num_rows:
                self._write(block.to_pylist())

    def _write(self, rows: list[dict[str, Any]]) -> None:
        store = RunStore(self._uri)
        # The names come from the rows: a task that Ray runs again meets what its earlier runs wrote, whatever the judge says now.
        stem = f"{self._prefix}-{digest(*sorted(row['id'] for row in rows), length=20)}"
        decided: dict[str, str | None] = {}
        free_names: dict[str, str] = {}
        for folder in (self._accepted, "rejected"):
            for name in _file_names(stem):
                if not store.exists(folder, name):
                    free_names[folder] = name
                    break
                for row in store.table(folder, name, ["id", "key"]).to_pylist():
                    decided[row["id"]] = (row["key"] or "") if folder == self._accepted else None
        accepted, ledger, outcomes = [], [], []
        spent = Usage()
        for row in rows:
            if row["id"] in decided:
                outcomes.append((row["kind"], row["attempt"], decided[row["id"]]))
                continue
            verdicts = verdicts_from(row["verdicts"])
            passed = not rejects(verdicts)
            if passed:
                try:
                    accepted.append(encode_dialog(row) if self._dialogs else encode_api(row))
                except Exception as error:
                    passed = False
                    verdicts = [*verdicts, fault_verdict("rules" if self._dialogs else "gate", error)]
            if not passed:
                ledger.append(
                    ledger_row(row, verdicts, row["record"], {column: row[column] for column in USAGE_COLUMNS})
                )
            outcomes.append((row["kind"], row["attempt"], (row["key"] or "") if passed else None))
            spent.tokens += row["judge_tokens"]
            spent.prompt_tokens += row["judge_prompt_tokens"]
            spent.cost += row["judge_cost"]
        if ledger:
            store.write("rejected", free_names["rejected"], ledger, LEDGER)
        if accepted:
            store.write(self._accepted, free_names[self._accepted], accepted, DIALOG if self._dialogs else API)
        ray.get(self._planner.verified.remote(outcomes, (spent.tokens, spent.prompt_tokens, spent.cost)))


def _file_names(stem: str) -> Iterator[str]:
    """The names that the runs of one task give their files, in turn."""
    yield f"{stem}.parquet"
    for number in itertools.count(2):
        yield f"{stem}-{number}.parquet"


def encode_dialog(row: dict[str, Any]) -> dict[str, Any]:
    """A judged draft as an accepted dialog; warnings and masks stay with it."""
    verdicts = tuple(verdicts_from(row["verdicts"]))
    dialog = masked(Dialog.of(row["record"]), verdicts)
    return dialog_row(dialog.model_copy(update={"verdicts": verdicts}), row)


def encode_api(row: dict[str, Any]) -> dict[str, Any]:
    """A judged draft as an API of the pool."""
    return api_row(Api.model_validate_json(row["record"]), row)
