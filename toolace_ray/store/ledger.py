"""What has a verdict, what waits for one, and which of the passing attempts are accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Any

from toolace_ray.records.usage import Usage
from toolace_ray.store.storage import RunStore
from toolace_ray.text.dedup import Exact, Novelty


def select(
    rows: Iterable[tuple[str, int, str]], quotas: dict[str, int], novelty: Callable[[], Novelty] = Exact
) -> tuple[set[tuple[str, int]], dict[tuple[str, int], str]]:
    """Which passing attempts are accepted and which repeat one that is; all others are surplus.

    Args:
        rows: (type, attempt, key) of every passing attempt; an empty key has no duplicates.
        quotas: type -> accepted wanted.
        novelty: makes what tells duplicates and remembers the accepted, once a type; it may give the same one for all.

    Returns:
        Accepted (type, attempt) pairs, by type the N lowest-numbered without duplicates; and duplicates with what they
        repeat.
    """
    accepted: set[tuple[str, int]] = set()
    duplicates: dict[tuple[str, int], str] = {}
    by_kind: dict[str, Novelty] = {}
    counts: dict[str, int] = {}
    for kind, attempt, key in sorted(set(rows)):
        if counts.get(kind, 0) >= quotas.get(kind, 0):
            continue
        judge = by_kind.get(kind) or by_kind.setdefault(kind, novelty())
        if repeated := judge.repeats(key, f"{kind}-{attempt:06d}"):
            duplicates[kind, attempt] = repeated
            continue
        counts[kind] = counts.get(kind, 0) + 1
        accepted.add((kind, attempt))
    return accepted, duplicates


def resolved(
    store: RunStore, accepted: str, kinds: Iterable[str], flow: str = ""
) -> Iterator[tuple[str, int, str | None]]:
    """(type, attempt, key or None) of every attempt that has a verdict. Surplus and duplicates passed once.

    Args:
        flow: part of the names of the files to read; all files when empty.
    """
    wanted = set(kinds)
    for row in store.rows(accepted, ["kind", "attempt", "key"], flow):
        if row["kind"] in wanted:
            yield row["kind"], row["attempt"], row["key"] or ""
    for row in store.rows("rejected", ["kind", "attempt", "key", "stage", "rule"], flow):
        if row["kind"] in wanted:
            passed = row["stage"] == "surplus"
            yield row["kind"], row["attempt"], (row["key"] or "") if passed else None


def usages(store: RunStore, columns: list[str]) -> Iterator[dict[str, Any]]:
    """What the run's folder tells of spending, as rows of the columns asked for: what was accepted, what was not, what waits
    for its verdict, and attempts that were given back. What was in flight in a process that died is not known."""
    yield from store.rows("spent", columns)
    seen: set[str] = set()
    # A draft's row is counted where it was judged, its judges' share included; settling may leave a row twice for a while.
    for folder in (
        "dialogs",
        "apis",
        "tree/extractions",
        "tree/divisions",
        "sources/descriptions",
        "rejected",
        "drafts/dialogs",
        "drafts/apis",
    ):
        for row in store.rows(folder, ["id", *columns]):
            if row["id"] not in seen:
                seen.add(row["id"])
                yield row


def total(store: RunStore) -> Usage:
    """What the run has spent so far, see usages."""
    totals: dict[str, Any] = {field.name: 0 for field in fields(Usage)}
    for row in usages(store, list(totals)):
        for name in totals:
            totals[name] += row.get(name) or 0  # what an earlier version wrote has no column for what it did not count
    return Usage(**totals)


def spending(store: RunStore) -> tuple[int, int, float]:
    """Generated tokens, prompt tokens and cost of the run so far, see usages; what is estimated counts like the rest."""
    spent = total(store)
    return spent.tokens, spent.prompt_tokens, spent.cost


def drafted(
    store: RunStore, folder: str, kinds: Iterable[str], flow: str = ""
) -> dict[str, list[tuple[str, int, str]]]:
    """Shard name -> (type, attempt, id) of its drafts."""
    wanted = set(kinds)
    shards = {}
    for name in store.files(folder, flow):
        rows = store.table(folder, name, ["id", "kind", "attempt"]).to_pylist()
        shards[name] = [(row["kind"], row["attempt"], row["id"]) for row in rows if row["kind"] in wanted]
    return shards
