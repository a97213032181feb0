"""What the first half of a run leaves in the run's folder: documents, descriptions and the context tree."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from toolace_ray.records.api import Api
from toolace_ray.store.rows import DOCUMENT, NODE, UNDESCRIBED
from toolace_ray.store.storage import RunStore
from toolace_ray.tss.describing import Descriptions
from toolace_ray.tss.readers import Document
from toolace_ray.tss.speciation import Division, Extraction, Node, Parts


def document_ids(store: RunStore) -> set[str]:
    """The ids of a run's documents."""
    return {row["id"] for row in store.rows("sources/documents", ["id"])}


class Documents:
    """The documents of a run in the order in which they were met, as Arrow tables: texts become objects when asked for."""

    def __init__(self, store: RunStore) -> None:
        self._table = _by_attempt(store, "sources/documents", DOCUMENT)
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


class Undescribed:
    """The imported APIs of a run that wait for descriptions, or did, in the order in which they were met, as Arrow tables."""

    def __init__(self, store: RunStore) -> None:
        self._table = _by_attempt(store, "sources/undescribed", UNDESCRIBED)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def at(self, attempt: int) -> Api:
        """The API of an attempt, with its derived descriptions."""
        return Api.model_validate_json(self._table["record"][attempt].as_py())

    def places(self) -> list[tuple[str, str, str]]:
        """Id, key and source that each of them has in the pool."""
        return list(zip(*(self._table[name].to_pylist() for name in ("id", "key", "source")), strict=True))


def _by_attempt(store: RunStore, folder: str, schema: pa.Schema) -> pa.Table:
    tables = [store.table(folder, name) for name in store.files(folder)] or [schema.empty_table()]
    return pa.concat_tables(tables).sort_by("attempt")


def load_descriptions(store: RunStore) -> dict[int, Descriptions]:
    """Attempt -> what was written for the API of it."""
    rows = {row["attempt"]: row["record"] for row in store.rows("sources/descriptions", ["attempt", "record"])}
    return {attempt: Descriptions.model_validate_json(record) for attempt, record in rows.items()}


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
    records = {row["attempt"]: row["record"] for row in store.rows(folder, ["attempt", "record"])}
    return [records[attempt] for attempt in sorted(records)]
