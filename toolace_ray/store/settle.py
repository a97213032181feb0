"""Settling a flow: exactly the accepted rows asked for stay, surplus and duplicates go to the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from toolace_ray.records.api import Api
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.json import digest
from toolace_ray.records.verdict import Verdict
from toolace_ray.store import folder, ledger
from toolace_ray.store.rows import LEDGER, USAGE_COLUMNS, api_row, dialog_row, ledger_row, row_dialog
from toolace_ray.store.storage import RunStore
from toolace_ray.text.dedup import Exact, NearDuplicates, Novelty


@dataclass(frozen=True)
class Flow:
    """What sets a flow apart. `drafts` equals `accepted` where no verification follows.

    `name` is part of the names of the flow's files, `player` says what plays it; `novelty` knows what was accepted
    before the flow and tells its duplicates; without it `near` is the similarity from which two of a kind are one, 0
    where only equal ones are.
    """

    name: str
    player: str
    drafts: str
    accepted: str
    quotas: dict[str, tuple[int, int]]
    novelty: NearDuplicates | None = None
    near: float = 0.0
    max_tokens: int = 0
    max_cost: float = 0.0

    def telling(self, *, copied: bool) -> Callable[[], Novelty]:
        """What makes the judges of duplicates. `copied`: the planner's must not know yet what settling will tell the flow's."""
        if self.novelty is not None:
            shared = self.novelty.copy() if copied else self.novelty
            return lambda: shared
        return (lambda: NearDuplicates(self.near)) if self.near else Exact

    @property
    def part(self) -> str:
        """What the names of this flow's files hold."""
        return f"-{self.name}-"

    @property
    def verify(self) -> bool:
        """True when drafts go through the stream."""
        return self.drafts != self.accepted


def settle(flow: Flow, store: RunStore, schema: pa.Schema, epoch: str) -> bool:
    """Leave exactly the accepted rows in `accepted`: surplus and duplicates go to the ledger, surplus comes back
    when a larger quota wants it.

    Rows are written to their new place before they leave the old one; readers drop doubles by id, and the next settling
    mends what a kill in between left. Returns True when rows were moved.
    """
    quotas = {kind: wanted for kind, (wanted, _) in flow.quotas.items()}
    passing = {
        (row["kind"], row["attempt"]): row["key"] or ""
        for row in store.rows(flow.accepted, ["kind", "attempt", "key"], flow.part)
        if row["kind"] in quotas
    }
    shelved = {
        (row["kind"], row["attempt"]): row["key"] or ""
        for row in store.rows("rejected", ["kind", "attempt", "key", "stage"], flow.part)
        if row["kind"] in quotas and row["stage"] == "surplus"
    }
    everything = {**shelved, **passing}
    accepted, duplicates = ledger.select(
        ((kind, attempt, key) for (kind, attempt), key in everything.items()), quotas, flow.telling(copied=False)
    )
    back = accepted & set(shelved)
    seen: set[str] = set()
    if back:
        rows = []
        for row in store.rows("rejected", part=flow.part):
            if (row["kind"], row["attempt"]) in back and row["stage"] == "surplus" and row["id"] not in seen:
                seen.add(row["id"])
                if (row["kind"], row["attempt"]) not in passing:
                    rows.append(_accepted_row(flow, row))
        if rows:
            store.write(flow.accepted, f"{epoch}{flow.part}{folder.SETTLED}.parquet", rows, schema)
        rewrite(
            store,
            "rejected",
            LEDGER,
            f"{epoch}{flow.part}",
            lambda row: (row["kind"], row["attempt"]) in back and row["stage"] == "surplus",
            flow.part,
        )
    leaving = set(passing) - accepted
    if leaving:
        rows = []
        for row in store.rows(flow.accepted, part=flow.part):
            if (row["kind"], row["attempt"]) in leaving:
                twin = duplicates.get((row["kind"], row["attempt"]))
                verdict = Verdict(
                    stage=("gate" if flow.player == "apis" else "rules") if twin else "surplus",
                    rule="duplicate" if twin else "surplus",
                    evidence=twin or "passed beyond the quota",
                )
                rows.append(ledger_row(row, [verdict], _record(flow, row), {name: row[name] for name in USAGE_COLUMNS}))
        store.write("rejected", f"{epoch}{flow.part}{folder.SETTLED}.parquet", rows, LEDGER)
    twice: set[str] = set()

    def goes(row: dict[str, Any]) -> bool:
        if row["kind"] not in quotas:
            return False
        if (row["kind"], row["attempt"]) in leaving or row["id"] in twice:
            return True
        twice.add(row["id"])
        return False

    doubles = rewrite(store, flow.accepted, schema, f"{epoch}{flow.part}", goes, flow.part)
    return bool(back or leaving or doubles)


def rewrite(
    store: RunStore,
    folder: str,
    schema: pa.Schema,
    prefix: str,
    goes: Callable[[dict[str, Any]], bool],
    part: str = "",
    but: str = "\0",
) -> int:
    """Write a folder's files (with `part` in their names) without the rows that go, and count these.

    Files that keep all rows, and those whose names begin with `but`, stay as they are; the names of the new ones begin with
    `prefix`.
    """
    gone = 0
    for name in store.files(folder, part):
        if name.startswith(but):
            continue
        rows = store.table(folder, name).to_pylist()
        kept = [row for row in rows if not goes(row)]
        if len(kept) < len(rows):
            gone += len(rows) - len(kept)
            if kept:
                store.write(folder, f"{prefix}kept-{digest(prefix, name)}.parquet", kept, schema)
            store.delete(folder, name)
    return gone


def _record(flow: Flow, row: dict[str, Any]) -> str:
    if flow.drafts == "drafts/dialogs":
        return row_dialog(row).model_dump_json()
    return str(row["record"])


def _accepted_row(flow: Flow, row: dict[str, Any]) -> dict[str, Any]:
    if flow.drafts == "drafts/dialogs":
        return dialog_row(Dialog.model_validate_json(row["record"]), row)
    return api_row(Api.model_validate_json(row["record"]), row)
