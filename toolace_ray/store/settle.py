"""Settling a flow: exactly the accepted rows asked for stay, surplus and duplicates go to the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pyarrow as pa

from toolace_ray.records.api import Api
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.json import digest
from toolace_ray.records.verdict import Verdict
from toolace_ray.store import folder, ledger
from toolace_ray.store.rows import LEDGER, USAGE_COLUMNS, api_row, dialog_row, ledger_row, row_dialog
from toolace_ray.store.storage import RunStore
from toolace_ray.text.dedup import Exact, NearDuplicates, Novelty

Attempt = tuple[str, int]  # kind and number
TOLD_BY = ("id", "kind", "attempt", "stage")  # the columns, where a folder has them, that tell which rows move


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
    speculate: bool = False

    def telling(self, *, copied: bool) -> Callable[[], Novelty]:
        """A function that makes the judge of duplicates of one kind (see ledger.select).

        `copied`: judges with a copy of `novelty`, so that what the planner accepts is not in the one that settling asks.
        """
        if self.novelty is not None:
            shared = self.novelty.copy() if copied else self.novelty
            return lambda: shared
        return (lambda: NearDuplicates(self.near)) if self.near else Exact

    @property
    def part(self) -> str:
        """What the names of this flow's files hold."""
        return f"-{self.name}-"

    @property
    def makes_dialogs(self) -> bool:
        """True when dialogs are played; what other flows make and verify are APIs."""
        return self.player in ("dialogs", "contrasts")

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
    passing = _keys(store.rows(flow.accepted, ["kind", "attempt", "key"], flow.part), flow)
    rejected = list(store.rows("rejected", ["kind", "attempt", "key", "stage"], flow.part))
    shelved = _keys((row for row in rejected if row["stage"] == "surplus"), flow)
    failed = set(_keys((row for row in rejected if row["stage"] == "generate"), flow))
    keys = {**shelved, **passing}
    accepted, duplicates = ledger.select(
        ((kind, attempt, key) for (kind, attempt), key in keys.items()), quotas, flow.telling(copied=False)
    )
    prefix = f"{epoch}{flow.part}"
    returning, leaving = accepted & set(shelved), set(passing) - accepted
    late = failed & set(keys)  # a worker that was given up wrote it down when another one had played it already
    if late:
        rewrite(store, "rejected", LEDGER, f"{prefix}late-", partial(_has_failed, attempts=late), flow.part)
    if returning:
        _restore(flow, store, schema, prefix, returning, already=set(passing))
    if leaving:
        _shelve(flow, store, prefix, leaving, duplicates)
    leaves = partial(_leaves, flow=flow, leaving=leaving, seen=set())
    moved = rewrite(store, flow.accepted, schema, prefix, leaves, flow.part)
    return bool(returning or leaving or late or moved)


def _keys(rows: Iterable[dict[str, Any]], flow: Flow) -> dict[Attempt, str]:
    """(kind, attempt) -> duplicate key of the rows that are the flow's."""
    return {_attempt(row): row["key"] or "" for row in rows if row["kind"] in flow.quotas}


def _attempt(row: dict[str, Any]) -> Attempt:
    return row["kind"], row["attempt"]


def _restore(
    flow: Flow, store: RunStore, schema: pa.Schema, prefix: str, returning: set[Attempt], already: set[Attempt]
) -> None:
    """Bring surplus back from the ledger; what is among the accepted already only leaves the ledger."""
    rows: dict[Attempt, dict[str, Any]] = {}
    for row in store.rows("rejected", part=flow.part):
        if _is_surplus(row, returning) and _attempt(row) not in already:
            rows.setdefault(_attempt(row), _accepted_row(flow, row))
    if rows:
        store.write(flow.accepted, f"{prefix}{folder.SETTLED}.parquet", list(rows.values()), schema)
    rewrite(store, "rejected", LEDGER, prefix, partial(_is_surplus, attempts=returning), flow.part)


def _is_surplus(row: dict[str, Any], attempts: set[Attempt]) -> bool:
    return row["stage"] == "surplus" and _attempt(row) in attempts


def _has_failed(row: dict[str, Any], attempts: set[Attempt]) -> bool:
    return row["stage"] == "generate" and _attempt(row) in attempts


def _shelve(flow: Flow, store: RunStore, prefix: str, leaving: set[Attempt], duplicates: dict[Attempt, str]) -> None:
    """Write what is no longer accepted to the ledger, as duplicates of what they repeat or as surplus."""
    rows = []
    for row in store.rows(flow.accepted, part=flow.part):
        if _attempt(row) not in leaving:
            continue
        repeated = duplicates.get(_attempt(row))
        if repeated is None:
            verdict = Verdict(stage="surplus", rule="surplus", evidence="passed beyond the quota")
        else:
            stage: Literal["gate", "rules"] = "rules" if flow.makes_dialogs else "gate"
            verdict = Verdict(stage=stage, rule="duplicate", evidence=repeated)
        rows.append(ledger_row(row, [verdict], _record(flow, row), {name: row.get(name) for name in USAGE_COLUMNS}))
    store.write("rejected", f"{prefix}{folder.SETTLED}.parquet", rows, LEDGER)


def _leaves(row: dict[str, Any], flow: Flow, leaving: set[Attempt], seen: set[str]) -> bool:
    """True for a row that is no longer accepted, and for one that was seen before under the same id."""
    if row["kind"] not in flow.quotas:
        return False
    if _attempt(row) in leaving or row["id"] in seen:
        return True
    seen.add(row["id"])
    return False


def rewrite(
    store: RunStore,
    folder: str,
    schema: pa.Schema,
    prefix: str,
    goes: Callable[[dict[str, Any]], bool],
    part: str = "",
    but: str = "\0",
) -> int:
    """Write a folder's files (with `part` in their names) without the rows for which `goes` is true, and count these.

    `goes` is asked once about each row, in order, and is given the columns of TOLD_BY alone. Files that keep all rows, and
    those whose names begin with `but`, stay as they are; the names of the new ones begin with `prefix`.
    """
    removed = 0
    for name in store.files(folder, part):
        if name.startswith(but):
            continue
        columns = [column for column in TOLD_BY if column in schema.names]
        stays = [not goes(row) for row in store.table(folder, name, columns).to_pylist()]
        if not all(stays):
            removed += stays.count(False)
            if any(stays):
                staying = store.table(folder, name).filter(pa.array(stays))
                store.write(folder, f"{prefix}kept-{digest(prefix, name)}.parquet", staying, schema)
            store.delete(folder, name)
    return removed


def _record(flow: Flow, row: dict[str, Any]) -> str:
    if flow.makes_dialogs:
        return row_dialog(row).model_dump_json()
    return str(row["record"])


def _accepted_row(flow: Flow, row: dict[str, Any]) -> dict[str, Any]:
    if flow.makes_dialogs:
        return dialog_row(Dialog.model_validate_json(row["record"]), row)
    return api_row(Api.model_validate_json(row["record"]), row)
